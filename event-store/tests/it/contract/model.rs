//! Whatever is sent, the log is what a simple model says.

use super::Backend;
use crate::support::{append_by, assert_dense, assert_holds, new_stream, read_rest};
use domain::Position;
use event_store::{AppendError, Appended, StreamId};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// One append of a random mix: `off` is how far its expected version is off the real one, `repeats` which earlier
/// command it repeats, if any.
#[derive(Debug, Clone)]
struct Step {
    stream: usize,
    off: i64,
    events: usize,
    repeats: Option<usize>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let off = prop_oneof![6 => Just(0_i64), 1 => -2..=-1_i64, 1 => 1..=3_i64];
    let repeats =
        prop_oneof![5 => Just(None), 1 => any::<prop::sample::Index>().prop_map(|index| Some(index.index(8)))];
    let step = (0..4_usize, off, 0..4_usize, repeats).prop_map(|(stream, off, events, repeats)| Step {
        stream,
        off,
        events,
        repeats,
    });
    prop::collection::vec(step, 1..24)
}

#[derive(Default)]
struct Model {
    /// Stream and command of every event, in order.
    log: Vec<(usize, Uuid)>,
    versions: HashMap<usize, i64>,
    outcomes: HashMap<Uuid, Appended>,
}

pub async fn the_log_is_the_model(backend: &impl Backend) {
    let logs = [backend.log().await, backend.log().await];
    let mut runner = TestRunner::deterministic();
    let mut start = Position::START;
    for _ in 0..40 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let streams: Vec<StreamId> = (0..4).map(|_| new_stream()).collect();
        let mut model = Model::default();
        let mut sent: Vec<Uuid> = Vec::new();
        for (n, step) in steps.iter().enumerate() {
            let id = step.repeats.and_then(|back| sent.iter().rev().nth(back).copied()).unwrap_or_else(Uuid::now_v7);
            sent.push(id);
            let version = model.versions.get(&step.stream).copied().unwrap_or(0);
            let expected = version + step.off;
            let answer = logs[n % 2].append(append_by(id, &streams[step.stream], expected, step.events)).await;
            let case = format!("step {n} of {steps:#?}");
            match (model.outcomes.get(&id), step.off) {
                (Some(first), _) => assert_eq!(answer.unwrap(), Appended { repeated: true, ..*first }, "{case}"),
                (None, 0) => {
                    let appended = answer.unwrap_or_else(|error| panic!("{error}: {case}"));
                    model.log.extend(std::iter::repeat_n((step.stream, id), step.events));
                    model.versions.insert(step.stream, version + step.events as i64);
                    assert_eq!(appended.version.0, version + step.events as i64, "{case}");
                    if step.events > 0 {
                        assert_eq!(appended.position.0, start.0 + model.log.len() as i64, "{case}");
                    }
                    assert!(!appended.repeated, "{case}");
                    model.outcomes.insert(id, appended);
                }
                (None, _) => assert!(matches!(answer, Err(AppendError::Conflict { .. })), "{answer:?}: {case}"),
            }
        }
        let read = read_rest(&*logs[0], start).await;
        assert_dense(&read, start);
        let read: Vec<_> = read.iter().map(|event| (event.stream.clone(), event.metadata.command_id.0)).collect();
        let expected: Vec<_> = model.log.iter().map(|(stream, id)| (streams[*stream].clone(), *id)).collect();
        assert_eq!(read, expected, "{steps:#?}");
        start = Position(start.0 + expected.len() as i64);
    }
}

pub async fn concurrent_appends_leave_a_consistent_log(backend: &impl Backend) {
    let logs = [backend.log().await, backend.log().await, backend.log().await];
    let mut runner = TestRunner::deterministic();
    let mut start = Position::START;
    for _ in 0..15 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let streams: Vec<StreamId> = (0..4).map(|_| new_stream()).collect();
        // All at once, twice over and through three instances: every command has a rival and a repetition.
        let sent: Vec<(Uuid, &Step)> = steps.iter().map(|step| (Uuid::now_v7(), step)).collect();
        let answers = join_all(sent.iter().chain(&sent).enumerate().map(|(n, (id, step))| {
            let answer = logs[n % 3].append(append_by(*id, &streams[step.stream], 0, step.events));
            async move { (*id, answer.await) }
        }))
        .await;
        let read = read_rest(&*logs[0], start).await;
        assert_dense(&read, start);
        let mut written = HashMap::new();
        let mut lost = HashSet::new();
        for (id, answer) in answers {
            match answer {
                Ok(appended) => {
                    assert_holds(&read, start, &appended, id);
                    written.insert(id, appended.events as usize);
                }
                Err(AppendError::Conflict { .. }) => {
                    lost.insert(id);
                }
                Err(error) => panic!("{error}: {steps:#?}"),
            }
        }
        assert_eq!(written.values().sum::<usize>(), read.len(), "every event belongs to an acknowledged append");
        // (An append without events may be late for its stream while its twin is on its way: a conflict is not
        // final.)
        let certain = |id: &&Uuid| written.get(id).is_some_and(|events| *events > 0);
        assert!(lost.iter().find(certain).is_none(), "a repetition gets the same answer: {steps:#?}");
        start = Position(start.0 + read.len() as i64);
    }
}
