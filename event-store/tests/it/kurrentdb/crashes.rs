//! A process that dies between any two steps of an append: nothing is lost, doubled or left half done.

use super::double::Fault;
use super::scene::Scene;
use crate::support::{append, append_by, assert_dense, command, new_stream, read_rest, refusal, within};
use domain::{CommandId, Position};
use event_store::{AppendError, Appended, CommandOutcome};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_claim_the_repetition_finishes_what_was_decided() {
    let scene = Scene::new().await;
    let [_, aggregates, _] = scene.kinds();
    let (stream, id) = (new_stream(), Uuid::now_v7());
    let first = append_by(id, &stream, 0, 3);
    let ids: Vec<Uuid> = first.events.iter().map(|event| event.event_id).collect();
    scene.dies_at(&aggregates, first).await;
    let log = scene.log().await;
    assert_eq!(log.head().await.unwrap(), Position::START, "nothing was done yet");
    // The repetition has decided otherwise: what was decided first counts.
    let again = log.append(append_by(id, &stream, 0, 1)).await.unwrap();
    assert_eq!((again.events, again.version.0, again.position, again.repeated), (3, 3, Position(3), true));
    let read = read_rest(&*log, Position::START).await;
    assert_eq!(read.iter().map(|event| event.event_id).collect::<Vec<_>>(), ids);
    assert!(read.iter().all(|event| event.metadata.command_id.0 == id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_claim_the_question_for_the_outcome_finishes_it_too() {
    let scene = Scene::new().await;
    let [_, aggregates, _] = scene.kinds();
    let (stream, id) = (new_stream(), Uuid::now_v7());
    scene.dies_at(&aggregates, append_by(id, &stream, 0, 2)).await;
    let log = scene.log().await;
    let Some(CommandOutcome::Accepted(outcome)) =
        log.command_outcome(CommandId(id), command(1).body_hash).await.unwrap()
    else {
        panic!("it is decided")
    };
    assert_eq!((outcome.events, outcome.position), (2, Position(2)));
    // A refusal of the same command comes too late.
    let refused = log.record_refusal(refusal(id, &stream)).await.unwrap();
    assert_eq!(refused, CommandOutcome::Accepted(outcome));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_claim_a_stream_that_went_on_makes_it_void() {
    let scene = Scene::new().await;
    let [_, aggregates, _] = scene.kinds();
    let (stream, id) = (new_stream(), Uuid::now_v7());
    let first = append_by(id, &stream, 0, 2);
    scene.dies_at(&aggregates, first.clone()).await;
    let log = scene.log().await;
    log.append(append(&stream, 0, 1)).await.unwrap();
    assert_eq!(log.command_outcome(CommandId(id), command(1).body_hash).await.unwrap(), None);
    let late = log.append(first).await;
    assert!(matches!(late, Err(AppendError::Conflict { .. })), "{late:?}");
    let anew = log.append(append_by(id, &stream, 1, 1)).await.unwrap();
    assert_eq!((anew.position, anew.version.0, anew.repeated), (Position(2), 2, false));
    let again = scene.log().await.append(append_by(id, &stream, 0, 5)).await.unwrap();
    assert_eq!(again, Appended { repeated: true, ..anew });
    assert_eq!(read_rest(&*log, Position::START).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_void_claim_can_end_in_a_refusal() {
    let scene = Scene::new().await;
    let [_, aggregates, _] = scene.kinds();
    let (stream, id) = (new_stream(), Uuid::now_v7());
    scene.dies_at(&aggregates, append_by(id, &stream, 0, 2)).await;
    let log = scene.log().await;
    log.append(append(&stream, 0, 1)).await.unwrap();
    let refused = log.record_refusal(refusal(id, &stream)).await.unwrap();
    assert!(matches!(refused, CommandOutcome::Refused { .. }));
    let again = log.append(append_by(id, &stream, 1, 1)).await;
    assert!(matches!(again, Err(AppendError::RefusedBefore { .. })), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_append_others_number_it() {
    let scene = Scene::new().await;
    let [_, _, links] = scene.kinds();
    let (stream, id) = (new_stream(), Uuid::now_v7());
    scene.dies_at(&links, append_by(id, &stream, 0, 3)).await;
    let log = scene.log().await;
    let mut newest = log.newest();
    within("adoption", newest.wait_for(|newest| newest.0 == 3)).await.unwrap();
    assert_dense(&read_rest(&*log, Position::START).await, Position::START);
    let again = log.append(append_by(id, &stream, 0, 3)).await.unwrap();
    assert_eq!((again.position, again.version.0, again.repeated), (Position(3), 3, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_append_a_reader_of_the_stream_need_not_wait_for_adoption() {
    let scene = Scene::new().await;
    let [_, _, links] = scene.kinds();
    let stream = new_stream();
    scene.dies_at(&links, append(&stream, 0, 3)).await;
    let log = scene.log().await;
    let read = log.read_stream(stream.clone(), domain::StreamVersion(1), 10).await.unwrap();
    assert_eq!(read.iter().map(|event| event.position.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(log.append(append(&stream, 3, 1)).await.unwrap().position, Position(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_claim_nothing_has_happened() {
    let scene = Scene::new().await;
    let [commands, ..] = scene.kinds();
    let (stream, id) = (new_stream(), Uuid::now_v7());
    scene.dies_at(&commands, append_by(id, &stream, 0, 3)).await;
    let log = scene.log().await;
    assert_eq!(log.command_outcome(CommandId(id), command(1).body_hash).await.unwrap(), None);
    let first = log.append(append_by(id, &stream, 0, 1)).await.unwrap();
    assert_eq!((first.events, first.repeated), (1, false));
}

/// Whatever step's answer is lost or refused, for whatever reason, the same process goes on and does all of it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_fails_is_done_once_all_the_same() {
    let scene = Scene::new().await;
    let log = scene.log().await;
    let mut position = 0;
    for kind in scene.kinds() {
        for fault in [Fault::DropBefore, Fault::DropAfter, Fault::Unavailable, Fault::NotLeader] {
            let case = format!("{kind} {fault:?}");
            let (stream, id) = (new_stream(), Uuid::now_v7());
            scene.double.plant("Append", kind.clone(), 0, fault);
            let appended = within(&case, log.append(append_by(id, &stream, 0, 2))).await.unwrap();
            scene.struck().await;
            position += 2;
            assert_eq!((appended.position.0, appended.version.0, appended.repeated), (position, 2, false), "{case}");
            let again = log.append(append_by(id, &stream, 0, 2)).await.unwrap();
            assert_eq!(again, Appended { repeated: true, ..appended }, "{case}");
        }
    }
    let all = read_rest(&*log, Position::START).await;
    assert_eq!(all.len() as i64, position);
    assert_dense(&all, Position::START);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_whose_answer_is_lost_is_recorded_once() {
    let scene = Scene::new().await;
    let log = scene.log().await;
    let (stream, id) = (new_stream(), Uuid::now_v7());
    let [commands, ..] = scene.kinds();
    scene.double.plant("Append", commands, 0, Fault::DropAfter);
    let refused = log.record_refusal(refusal(id, &stream)).await.unwrap();
    assert!(matches!(refused, CommandOutcome::Refused { .. }));
    let name = format!("{}:command-{id}", scene.name);
    assert_eq!(scene.double.store().stream(&name).map(<[usize]>::len), Some(1));
}
