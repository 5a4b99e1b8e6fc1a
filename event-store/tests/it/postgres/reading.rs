//! Reading what is old, odd or damaged: an error says so, the end never comes silently.

use crate::support::{append, new_stream, within};
use domain::{Position, StreamVersion};
use event_store::{
    EventLog, LiveFeed, LogError, PostgresEventLog, PostgresLogOptions, StreamId, UpcastError, Upcasted, Upcaster,
    Upcasters,
};
use private_servers::testing::TestDatabase;
use serde_json::value::RawValue;
use sqlx::{Connection, Executor, PgConnection};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

async fn log_on(database: &TestDatabase, upcasters: Upcasters) -> Arc<PostgresEventLog> {
    let options = PostgresLogOptions { upcasters, ..PostgresLogOptions::default() };
    PostgresEventLog::connect(database.pool().await, options).await.unwrap()
}

/// An event as an old release, or a vandal, left it.
async fn insert(database: &TestDatabase, position: i64, id: &str, version: (i64, &str), metadata: &str) {
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let sql = format!(
        "INSERT INTO cmdiag.events
             (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
         VALUES ('Thing', '{id}', {}, 'Named', '{}', '{{\"name\": \"old\"}}', '{metadata}', {position})",
        version.0, version.1
    );
    connection.execute(sql.as_str()).await.unwrap();
}

struct Step {
    from: &'static str,
    to: &'static str,
}

impl Upcaster for Step {
    fn aggregate_type(&self) -> &'static str {
        "Thing"
    }
    fn event_type(&self) -> &'static str {
        if self.from == "3" { "Titled" } else { "Named" }
    }
    fn old_version(&self) -> &str {
        self.from
    }
    fn upcast(&self, payload: &RawValue) -> Result<Upcasted, UpcastError> {
        if self.from == "broken" {
            return Err(UpcastError("no such field".to_owned()));
        }
        let text = payload.get().replace('}', &format!(", \"v{}\": true}}", self.to));
        Ok(Upcasted {
            event_type: if self.from == "2" { "Titled" } else { self.event_type() }.to_owned(),
            event_version: self.to.to_owned(),
            payload: RawValue::from_string(text).map_err(|error| UpcastError(error.to_string()))?,
        })
    }
}

fn steps(steps: &[(&'static str, &'static str)]) -> Upcasters {
    Upcasters::new(steps.iter().map(|(from, to)| Arc::new(Step { from, to }) as Arc<dyn Upcaster>)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_are_brought_up_to_date() {
    let database = TestDatabase::migrated().await;
    insert(&database, 1, "1", (1, "1"), "{}").await;
    insert(&database, 2, "1", (2, "2"), "{}").await;
    insert(&database, 3, "1", (3, "9"), "{}").await;
    let log = log_on(&database, steps(&[("1", "2"), ("2", "3"), ("3", "4")])).await;
    let expected = [
        ("Titled", "4", r#"{"name": "old", "v2": true, "v3": true, "v4": true}"#),
        ("Titled", "4", r#"{"name": "old", "v3": true, "v4": true}"#),
        ("Named", "9", r#"{"name": "old"}"#),
    ];
    let stream = StreamId::new("Thing", "1");
    for events in
        [log.read_all(Position::START, 9).await.unwrap(), log.read_stream(stream, StreamVersion(0), 9).await.unwrap()]
    {
        let read: Vec<_> = events
            .iter()
            .map(|event| (event.event_type.as_str(), event.event_version.as_str(), event.payload.get()))
            .collect();
        assert_eq!(read, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_upcast_is_an_error_with_its_position() {
    for (upcasters, version) in [(steps(&[("broken", "2")]), "broken"), (steps(&[("a", "b"), ("b", "a")]), "a")] {
        let database = TestDatabase::migrated().await;
        insert(&database, 1, "1", (1, "fine"), "{}").await;
        insert(&database, 2, "1", (2, version), "{}").await;
        let log = log_on(&database, upcasters).await;
        let read = log.read_all(Position::START, 9).await;
        assert!(matches!(read, Err(LogError::Damaged { position: Position(2), .. })), "{version}: {read:?}");
    }
}

/// An old event that is two today, or none.
struct Split(&'static str, usize);

impl Upcaster for Split {
    fn aggregate_type(&self) -> &'static str {
        "Thing"
    }
    fn event_type(&self) -> &'static str {
        "Named"
    }
    fn old_version(&self) -> &str {
        self.0
    }
    fn upcast_all(&self, payload: &RawValue) -> Result<Vec<Upcasted>, UpcastError> {
        let one = |nth| Upcasted {
            event_type: format!("Part{nth}"),
            event_version: "1".to_owned(),
            payload: payload.to_owned(),
        };
        Ok((0..self.1).map(one).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_became_several_or_none_keeps_its_place_for_every_reader() {
    let database = TestDatabase::migrated().await;
    for (position, version) in [(1, "fine"), (2, "two"), (3, "none"), (4, "fine")] {
        insert(&database, position, "1", (position, version), "{}").await;
    }
    let split = [Arc::new(Split("two", 2)) as Arc<dyn Upcaster>, Arc::new(Split("none", 0))];
    let log = log_on(&database, Upcasters::new(split).unwrap()).await;
    let feed = LiveFeed::start(Arc::clone(&log) as Arc<dyn EventLog>, CancellationToken::new());
    let stream = StreamId::new("Thing", "1");
    let all = log.read_all(Position::START, 9).await.unwrap();
    let of_stream = log.read_stream(stream.clone(), StreamVersion(0), 9).await.unwrap();
    let followed = within("the feed", feed.subscribe(Position::START).next()).await.unwrap();
    let mut follower = feed.subscribe_stream(stream, StreamVersion(0));
    let of_follower = within("the follower", follower.next()).await.unwrap();
    let read: [Vec<&event_store::RecordedEvent>; 4] = [
        all.iter().collect(),
        of_stream.iter().collect(),
        followed.iter().map(AsRef::as_ref).collect(),
        of_follower.iter().map(AsRef::as_ref).collect(),
    ];
    for events in read {
        let places: Vec<_> = events.iter().map(|event| (event.position.0, event.version.0)).collect();
        assert_eq!(places, [(1, 1), (2, 2), (3, 3), (4, 4)]);
        let parts = events.iter().flat_map(|event| event.parts());
        let told: Vec<_> = parts.map(|part| (part.position.0, part.event_type.clone())).collect();
        let expected = [(1, "Named"), (2, "Part0"), (2, "Part1"), (4, "Named")];
        assert_eq!(told, expected.map(|(position, name)| (position, name.to_owned())));
    }
    // What comes live goes the same way: a cut between two reads never goes through a position.
    insert(&database, 5, "1", (5, "none"), "{}").await;
    insert(&database, 6, "1", (6, "two"), "{}").await;
    assert_eq!(log.read_all(Position(4), 1).await.unwrap().len(), 1);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(within("live", follower.next()).await.unwrap());
    }
    assert_eq!(seen.iter().map(|event| event.parts().len()).collect::<Vec<_>>(), [0, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_an_error_in_every_reader() {
    let database = TestDatabase::migrated().await;
    let log = log_on(&database, Upcasters::default()).await;
    log.append(append(&new_stream(), 0, 2)).await.unwrap();
    let feed = LiveFeed::start(Arc::clone(&log) as Arc<dyn EventLog>, CancellationToken::new());
    let mut follower = feed.subscribe(Position::START);
    let mut of_stream = feed.subscribe_stream(StreamId::new("Thing", "1"), StreamVersion(0));
    assert_eq!(within("the first", follower.next()).await.unwrap().len(), 2);
    insert(&database, 5, "1", (2, "1"), "{}").await;
    let read = log.read_all(Position::START, 9).await;
    assert!(matches!(read, Err(LogError::Damaged { position: Position(3), .. })), "{read:?}");
    let read = log.read_stream(StreamId::new("Thing", "1"), StreamVersion(0), 9).await;
    assert!(matches!(read, Err(LogError::Damaged { position: Position(5), .. })), "{read:?}");
    let failed = within("the feed's alarm", follower.next()).await;
    assert!(matches!(failed, Err(LogError::Damaged { position: Position(3), .. })), "{failed:?}");
    let failed = within("the follower's alarm", of_stream.next()).await;
    assert!(matches!(failed, Err(LogError::Damaged { .. })), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_metadata_is_an_error() {
    let database = TestDatabase::migrated().await;
    insert(&database, 1, "1", (1, "1"), r#"{"actor": "mara"}"#).await;
    let log = log_on(&database, Upcasters::default()).await;
    let read = log.read_all(Position::START, 9).await;
    assert!(matches!(read, Err(LogError::Damaged { position: Position(1), .. })), "{read:?}");
}
