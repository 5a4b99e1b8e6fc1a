//! A command is executed once, however often it is sent.

use super::Backend;
use crate::support::{append, append_by, command, new_stream, read_rest, refusal};
use domain::{CommandId, Position};
use event_store::{Append, AppendError, Appended, CommandOutcome, CommandRecord};
use futures::future::join_all;
use uuid::Uuid;

pub async fn a_repeated_command_gets_its_first_outcome(backend: &impl Backend) {
    let log = backend.log().await;
    let (stream, id) = (new_stream(), Uuid::now_v7());
    let first = log.append(append_by(id, &stream, 0, 3)).await.unwrap();
    log.append(append(&stream, 3, 1)).await.unwrap();
    // Whatever the repetition rests on and decided this time: what happened then is the answer.
    for (expected, events) in [(0, 3), (3, 1), (4, 2), (99, 1), (4, 0)] {
        let again = log.append(append_by(id, &stream, expected, events)).await.unwrap();
        assert_eq!(again, Appended { repeated: true, ..first }, "sent again at version {expected}");
    }
    let outcome = log.command_outcome(CommandId(id), command(1).body_hash).await.unwrap();
    assert_eq!(outcome, Some(CommandOutcome::Accepted(Appended { repeated: true, ..first })));
    assert_eq!(read_rest(&*log, Position::START).await.len(), 4);
}

pub async fn a_repeated_command_across_instances_gets_its_first_outcome(backend: &impl Backend) {
    let (log, other) = (backend.log().await, backend.log().await);
    let ids: Vec<_> = (0..40).map(|_| (Uuid::now_v7(), new_stream())).collect();
    let mut firsts = Vec::new();
    for (id, stream) in ids.iter().step_by(4) {
        firsts.push(log.append(append_by(*id, stream, 0, 2)).await.unwrap());
    }
    // In one batch: ten repetitions, half of them at a version that no key objects to, and thirty new ones.
    let answers = join_all(ids.iter().enumerate().map(|(n, (id, stream))| {
        let expected = if n % 8 == 0 { 2 } else { 0 };
        other.append(append_by(*id, stream, expected, 2))
    }))
    .await;
    for (n, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap();
        if n % 4 == 0 {
            assert_eq!(answer, Appended { repeated: true, ..firsts[n / 4] });
        } else {
            assert!(!answer.repeated);
        }
    }
    assert_eq!(read_rest(&*log, Position::START).await.len(), 80);
}

pub async fn a_repeated_command_with_another_body_is_refused(backend: &impl Backend) {
    let (log, other) = (backend.log().await, backend.log().await);
    let (stream, id) = (new_stream(), Uuid::now_v7());
    log.append(append_by(id, &stream, 0, 1)).await.unwrap();
    for log in [&log, &other] {
        for expected in [0, 1, 7] {
            let changed = Append { command: command(2), ..append_by(id, &stream, expected, 1) };
            let answer = log.append(changed).await;
            assert!(matches!(answer, Err(AppendError::CommandReused(reused)) if reused.0 == id), "{answer:?}");
        }
        let answer = log.command_outcome(CommandId(id), command(2).body_hash).await;
        assert!(matches!(answer, Err(AppendError::CommandReused(_))), "{answer:?}");
        let changed = event_store::RefusedCommand { command: command(2), ..refusal(id, &stream) };
        let answer = log.record_refusal(changed).await;
        assert!(matches!(answer, Err(AppendError::CommandReused(_))), "{answer:?}");
    }
    assert_eq!(log.head().await.unwrap(), Position(1));
}

pub async fn a_refusal_is_kept_and_repeated(backend: &impl Backend) {
    let (log, other) = (backend.log().await, backend.log().await);
    let (stream, id) = (new_stream(), Uuid::now_v7());
    let refused = CommandOutcome::Refused { code: "not_now".to_owned(), message: "not now, please".to_owned() };
    assert_eq!(log.record_refusal(refusal(id, &stream)).await.unwrap(), refused);
    for log in [&log, &other] {
        let another = event_store::RefusedCommand { code: "other".to_owned(), ..refusal(id, &stream) };
        assert_eq!(log.record_refusal(another).await.unwrap(), refused);
        let CommandRecord { body_hash, .. } = command(1);
        assert_eq!(log.command_outcome(CommandId(id), body_hash).await.unwrap(), Some(refused.clone()));
        let answer = log.append(append_by(id, &stream, 0, 1)).await;
        assert!(matches!(answer, Err(AppendError::RefusedBefore { ref code, .. }) if code == "not_now"), "{answer:?}");
    }
    // A command that was accepted stays so.
    let accepted = Uuid::now_v7();
    let first = other.append(append_by(accepted, &stream, 0, 1)).await.unwrap();
    let outcome = log.record_refusal(refusal(accepted, &stream)).await.unwrap();
    assert_eq!(outcome, CommandOutcome::Accepted(Appended { repeated: true, ..first }));
    // A message that holds what the database can not store is kept without it.
    let odd = event_store::RefusedCommand { message: "a\0b".to_owned(), ..refusal(Uuid::now_v7(), &stream) };
    assert!(matches!(log.record_refusal(odd).await.unwrap(), CommandOutcome::Refused { .. }));
}

pub async fn one_command_sent_many_times_at_once_is_executed_once(backend: &impl Backend) {
    let (log, other) = (backend.log().await, backend.log().await);
    let id = Uuid::now_v7();
    // To several streams even, as a derived id might: it is one command all the same.
    let streams = [new_stream(), new_stream(), new_stream()];
    let answers = join_all((0..60).map(|n| [&log, &other][n % 2].append(append_by(id, &streams[n % 3], 0, 2)))).await;
    let answers: Vec<Appended> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
    assert!(
        answers.iter().all(|answer| (answer.position, answer.version) == (answers[0].position, answers[0].version))
    );
    assert_eq!(read_rest(&*log, Position::START).await.len(), 2);
}

pub async fn an_unknown_command_has_no_outcome(backend: &impl Backend) {
    let log = backend.log().await;
    assert_eq!(log.command_outcome(CommandId(Uuid::now_v7()), [0; 32]).await.unwrap(), None);
}
