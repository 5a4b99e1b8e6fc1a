//! The double has teeth of its own: the rules that KurrentDB documents, and faults that really strike.

use super::double::{ExpectedRevision, Fault, KurrentDouble, Outcome, ProposedMessage, Store, WireUuid};
use eventstore::{
    AppendToStreamOptions, Client, Error, EventData, ReadAllOptions, ReadStreamOptions, StreamPosition, StreamState,
    SubscriptionFilter,
};
use uuid::Uuid;

fn event(id: u128) -> ProposedMessage {
    ProposedMessage {
        id: Some(WireUuid::text(Uuid::from_u128(id))),
        metadata: [("type".to_owned(), "Happened".to_owned())].into(),
        custom_metadata: bytes::Bytes::new(),
        data: bytes::Bytes::from_static(b"{}"),
    }
}

fn append(store: &mut Store, expected: ExpectedRevision, ids: &[u128]) -> Outcome {
    let events: Vec<_> = ids.iter().map(|id| event(*id)).collect();
    store.append("s", expected, &events)
}

#[test]
fn appends_keep_the_documented_rules() {
    use ExpectedRevision::{Any, NoStream, Revision, StreamExists};
    use Outcome::{InvalidTransaction, WrongRevision};
    let mut store = Store::default();
    assert_eq!(append(&mut store, StreamExists(()), &[1]), WrongRevision(None));
    assert_eq!(append(&mut store, Revision(0), &[1]), WrongRevision(None));
    assert!(matches!(append(&mut store, NoStream(()), &[1, 2, 3]), Outcome::Written { revision: 2, .. }));
    // Expected revision, events, and what must come of it while the stream holds 1, 2, 3.
    let wrong = WrongRevision(Some(2));
    for (expected, ids, outcome) in [
        (NoStream(()), &[9][..], &wrong),
        (Revision(0), &[9], &wrong),
        (Revision(3), &[9], &wrong),
        (Revision(7), &[9], &wrong),
        // Ids that stand elsewhere in the stream are no repetition.
        (NoStream(()), &[2, 3], &wrong),
        // A part of them, or more than them: neither one nor the other.
        (NoStream(()), &[1, 9], &InvalidTransaction),
        (NoStream(()), &[1, 2, 3, 4], &InvalidTransaction),
        (Revision(1), &[3, 4], &InvalidTransaction),
    ] {
        assert_eq!(append(&mut store, expected, ids), *outcome, "{expected:?} {ids:?}");
    }
    // Repetitions, whole or of a part at its place.
    for (expected, ids, revision) in [
        (NoStream(()), &[1, 2, 3][..], 2),
        (NoStream(()), &[1], 0),
        (NoStream(()), &[1, 2], 1),
        (Revision(0), &[2, 3], 2),
        (Revision(1), &[3], 2),
    ] {
        let outcome = append(&mut store, expected, ids);
        assert!(matches!(outcome, Outcome::Written { revision: at, .. } if at == revision), "{ids:?}: {outcome:?}");
    }
    assert_eq!(store.records().len(), 3, "repetitions write nothing");
    assert!(matches!(append(&mut store, Revision(2), &[4]), Outcome::Written { revision: 3, .. }));
    assert!(matches!(append(&mut store, Any(()), &[5]), Outcome::Written { revision: 4, .. }));
    let places: Vec<u64> = store.records().iter().map(|record| record.place).collect();
    assert!(places.windows(2).all(|pair| pair[0] + 1 < pair[1]), "rising, and not dense: {places:?}");
    let large = ProposedMessage { data: vec![0; 1_048_577].into(), ..event(6) };
    assert_eq!(store.append("s", Any(()), &[large]), Outcome::TooLarge);
}

fn client(double: &KurrentDouble) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new(double.url().parse().unwrap()).unwrap()
}

async fn write(client: &Client, stream: &str, state: StreamState, kind: &str) -> Result<u64, Error> {
    let options = AppendToStreamOptions::default().stream_state(state).requires_leader(true);
    let event = EventData::binary(kind, bytes::Bytes::from_static(b"{}")).id(Uuid::now_v7());
    client.append_to_stream(stream, &options, event).await.map(|written| written.next_expected_version)
}

/// By the official client, without any code of ours between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_reads_what_it_wrote() {
    let double = KurrentDouble::start(1).await;
    let client = client(&double);
    for (n, stream) in ["a.one-1", "b.one-1", "a.two-1", "a.one-1"].into_iter().enumerate() {
        write(&client, stream, StreamState::Any, &format!("Kind{n}")).await.unwrap();
    }
    let wrong = write(&client, "a.one-1", StreamState::NoStream, "Kind").await;
    assert!(matches!(wrong, Err(Error::WrongExpectedVersion { .. })), "{wrong:?}");
    let filter = SubscriptionFilter::on_stream_name().add_prefix("a.");
    let mut read = client.read_all(&ReadAllOptions::default().filter(filter)).await.unwrap();
    let mut kinds = Vec::new();
    let mut second = None;
    while let Some(event) = read.next().await.unwrap() {
        let event = event.event.unwrap();
        kinds.push(event.event_type.clone());
        second = second.or((kinds.len() == 2).then_some(event.position));
    }
    assert_eq!(kinds, ["Kind0", "Kind2", "Kind3"]);
    // Forwards from a place begins with it.
    let from = ReadAllOptions::default().position(StreamPosition::Position(second.unwrap())).max_count(1);
    let first = client.read_all(&from).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(first.event.unwrap().event_type, "Kind2");
    let last = ReadStreamOptions::default().position(StreamPosition::End).max_count(1);
    let mut stream = client.read_stream("a.one-1", &last).await.unwrap();
    let event = stream.next().await.unwrap().unwrap().event.unwrap();
    assert_eq!((event.revision, event.event_type.as_str()), (1, "Kind3"));
    assert!(event.position.commit < u64::MAX, "reads of a stream tell places, as servers do since 22.6");
    let missing = client.read_stream("nowhere", &last).await.unwrap().next().await;
    assert!(matches!(missing, Err(Error::ResourceNotFound)), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_strike_the_calls_that_they_are_planted_for() {
    let double = KurrentDouble::start(1).await;
    let client = client(&double);
    write(&client, "a-1", StreamState::Any, "Kind").await.unwrap();
    double.plant("Append", "b-", 1, Fault::Unavailable);
    write(&client, "a-1", StreamState::Any, "Kind").await.unwrap();
    write(&client, "b-1", StreamState::Any, "Kind").await.unwrap();
    let struck = write(&client, "b-1", StreamState::Any, "Kind").await;
    assert!(matches!(struck, Err(Error::ServerError(_))), "{struck:?}");
    assert_eq!(double.planted(), 0);
    for (fault, written) in [(Fault::DropBefore, 0), (Fault::DropAfter, 1)] {
        let before = double.store().records().len();
        double.plant("Append", "a-", 0, fault);
        assert!(write(&client, "a-1", StreamState::Any, "Kind").await.is_err());
        assert_eq!(double.store().records().len() - before, written);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_leader_takes_what_wants_a_leader() {
    let double = KurrentDouble::start(2).await;
    let client = client(&double);
    for leader in [1, 0] {
        double.elect(leader);
        // The client is told where the leader is, at the latest by its second call.
        let first = write(&client, "a-1", StreamState::Any, "Kind").await;
        assert!(matches!(first, Ok(_) | Err(Error::NotLeaderException(_))), "{first:?}");
        crate::support::eventually("the client has followed", async || {
            write(&client, "a-1", StreamState::Any, "Kind").await.ok()
        })
        .await;
    }
}

/// `cargo nextest run -p event-store --features kurrentdb --run-ignored only to_try_the_platform --no-capture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "serves for four minutes: to try the platform on it by hand"]
async fn to_try_the_platform_on() {
    let double = KurrentDouble::start(1).await;
    println!("{}", double.url());
    tokio::time::sleep(std::time::Duration::from_mins(4)).await;
    println!("{} calls, {} records", double.calls(), double.store().records().len());
}
