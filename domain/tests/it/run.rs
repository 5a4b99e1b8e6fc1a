use crate::replay::Story;
use domain::Outcome;
use domain::diagnostic_run::{DiagnosticRun, RunCommand, RunEvent, RunPhase};
use domain::testing::{RUN, check_result, planned_check, request_run};
use proptest::prelude::*;
use std::collections::HashSet;

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(Outcome::ALL.to_vec())
}

fn command() -> impl Strategy<Value = RunCommand> {
    let results = prop::collection::vec((0..70_u32, outcome()), 0..40);
    prop_oneof![
        2 => Just(request_run()),
        3 => (0..70_u32).prop_map(|count| RunCommand::Plan { checks: (0..count).rev().map(planned_check).collect() }),
        2 => Just(RunCommand::Start),
        20 => results.prop_map(|results| RunCommand::RecordResults {
            results: results.into_iter().map(|(number, outcome)| check_result(number, outcome)).collect(),
        }),
        1 => Just(RunCommand::Cancel { reason: "enough".to_owned() }),
        1 => Just(RunCommand::TimeOut),
        1 => Just(RunCommand::Fail { reason: "no such profile".to_owned() }),
    ]
}

fn is_end(event: &RunEvent) -> bool {
    matches!(
        event,
        RunEvent::RunCompleted { .. }
            | RunEvent::RunCancelled { .. }
            | RunEvent::RunTimedOut { .. }
            | RunEvent::RunFailed { .. }
    )
}

/// Each check counted once, `done` never above `planned` and always what the results say.
fn check_counts(events: &[RunEvent]) {
    let mut counted = HashSet::new();
    for event in events {
        if let RunEvent::ChecksCompleted { results, done, planned, .. } = event {
            assert!(!results.is_empty(), "an empty batch was recorded");
            for result in results {
                assert!(counted.insert(result.key.clone()), "{:?} was counted twice", result.key);
            }
            assert!(done <= planned, "{done} of {planned} are done");
            assert_eq!(*done as usize, counted.len());
        }
    }
    let ends = events.iter().filter(|event| is_end(event)).count();
    assert!(ends <= 1, "a run ended {ends} times");
    assert!(ends == 0 || events.last().is_some_and(is_end), "something happened after the end");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_life_replays(commands in prop::collection::vec((command(), 0..200_i64), 0..40)) {
        let mut story = Story::<DiagnosticRun>::of(RUN.0);
        for (command, seconds) in commands {
            story.wait(seconds);
            let had_ended = story.state.phase.has_ended();
            let decided = story.send(command);
            prop_assert!(!had_ended || decided.is_none(), "an ended run accepts nothing");
            prop_assert_eq!(story.state.tally.total(), story.state.done);
        }
        check_counts(&story.events);
        story.check_replay();
    }

    #[test]
    fn whatever_the_order_every_result_completes_the_run(
        order in Just((0..130_u32).collect::<Vec<_>>()).prop_shuffle(),
        batch in 1..40_usize,
        outcomes in prop::collection::vec(outcome(), 130),
    ) {
        let mut story = Story::<DiagnosticRun>::of(RUN.0);
        story.send(request_run());
        story.send(RunCommand::Plan { checks: (0..130).map(planned_check).collect() });
        for numbers in order.chunks(batch) {
            let results = numbers.iter().map(|number| check_result(*number, outcomes[*number as usize])).collect();
            let accepted = story.send(RunCommand::RecordResults { results });
            prop_assert!(accepted.is_some());
        }
        check_counts(&story.events);
        prop_assert_eq!(story.state.phase, RunPhase::Completed);
        let worst = outcomes.iter().copied().reduce(Outcome::worse);
        prop_assert_eq!(Some(story.state.worst()), worst);
        story.check_replay();
    }
}
