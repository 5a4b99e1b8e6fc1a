use crate::replay::Story;
use domain::finding::{Finding, FindingCommand, FindingEvent, FindingPhase, Fingerprint, Hysteresis};
use domain::testing::{fingerprint, ok_sighting, sighting};
use domain::{FindingId, Outcome};
use proptest::prelude::*;
use std::collections::HashSet;

/// What somebody does, and how many seconds later.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a few hundred live at a time")]
enum Act {
    Observe { run: u32, outcome: Outcome },
    Command(FindingCommand),
    Mute { seconds: i64 },
}

fn act() -> impl Strategy<Value = Act> {
    let outcome = prop::sample::select(vec![Outcome::Ok, Outcome::Ok, Outcome::Warning, Outcome::Critical]);
    let said = || "it is so".to_owned();
    prop_oneof![
        // The run's number advances by the step; 0 observes the same run again.
        20 => (0..3_u32, outcome).prop_map(|(run, outcome)| Act::Observe { run, outcome }),
        1 => Just(Act::Command(FindingCommand::Acknowledge { comment: said() })),
        1 => Just(Act::Command(FindingCommand::Unmute)),
        1 => Just(Act::Command(FindingCommand::MarkFalsePositive { reason: said() })),
        2 => Just(Act::Command(FindingCommand::WithdrawFalsePositive { reason: said() })),
        1 => (-100..10_000_i64).prop_map(|seconds| Act::Mute { seconds }),
    ]
}

fn hysteresis() -> impl Strategy<Value = Hysteresis> {
    (1..4_u32, 1..4_u32, 2..10_u32, 0..3_u32).prop_map(|(open_after, resolve_after, flap_from, below)| Hysteresis {
        open_after,
        resolve_after,
        flap_from,
        flap_until: (flap_from - 1).saturating_sub(below),
    })
}

/// Good and bad as the events tell, and what they must not tell.
#[derive(Default)]
struct Watch {
    good_in_a_row: u32,
    occurrences: u32,
    counted: HashSet<domain::RunId>,
    flapping: bool,
}

impl Watch {
    fn see(&mut self, events: &[FindingEvent], hysteresis: Hysteresis) {
        for event in events {
            match event {
                FindingEvent::FindingOpened { sighting, .. } => self.bad(sighting.run, 1),
                FindingEvent::FindingSeenAgain { sighting, occurrences, .. }
                | FindingEvent::FindingRegressed { sighting, occurrences, .. } => self.bad(sighting.run, *occurrences),
                FindingEvent::FindingSuspected { .. } => self.good_in_a_row = 0,
                FindingEvent::FindingRecovering { in_a_row, .. } => {
                    self.good_in_a_row += 1;
                    assert_eq!(*in_a_row, self.good_in_a_row);
                }
                FindingEvent::FindingResolved { .. } => {
                    self.good_in_a_row += 1;
                    assert!(self.good_in_a_row >= hysteresis.resolve_after, "resolved too early");
                    assert!(!self.flapping, "resolved while flapping");
                }
                FindingEvent::FindingFlappingStarted { .. } => self.flapping = true,
                FindingEvent::FindingFlappingStopped { .. } => self.flapping = false,
                _ => {}
            }
        }
    }

    fn bad(&mut self, run: domain::RunId, occurrences: u32) {
        self.good_in_a_row = 0;
        assert!(occurrences > self.occurrences, "occurrences went from {} to {occurrences}", self.occurrences);
        assert!(self.counted.insert(run), "a run was counted twice");
        self.occurrences = occurrences;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_life_replays(
        acts in prop::collection::vec((act(), 0..5_000_i64), 0..120),
        hysteresis in hysteresis(),
    ) {
        let Fingerprint { deployment, check, resource } = fingerprint();
        let mut story = Story::<Finding>::of(FindingId::of(deployment, &check, &resource).0);
        let (mut watch, mut run) = (Watch::default(), 1);
        for (act, seconds) in acts {
            story.wait(seconds);
            let command = match act {
                Act::Command(command) => command,
                Act::Mute { seconds } => FindingCommand::Mute {
                    until: story.now + chrono::TimeDelta::seconds(seconds),
                    reason: "known".to_owned(),
                },
                Act::Observe { run: step, outcome } => {
                    run += step;
                    let sighting = if outcome == Outcome::Ok { ok_sighting(run) } else { sighting(run, outcome) };
                    FindingCommand::Observe { fingerprint: fingerprint(), sighting, hysteresis }
                }
            };
            let is_observation = matches!(command, FindingCommand::Observe { .. });
            let decided = story.send(command);
            prop_assert!(decided.is_some() || !is_observation, "an observation was refused");
            watch.see(&decided.unwrap_or_default(), hysteresis);
            prop_assert!(story.state.occurrences >= watch.occurrences);
            watch.occurrences = story.state.occurrences;
        }
        prop_assert_eq!(story.state.flapping, watch.flapping);
        prop_assert!(story.state.phase != FindingPhase::Resolved || story.state.opened_at.is_none());
        story.check_replay();
    }

    #[test]
    fn a_persistent_problem_ends_open_and_a_persistent_good_one_resolved(
        to_and_fro in prop::collection::vec(any::<bool>(), 0..60),
        hysteresis in hysteresis(),
    ) {
        for (last, phase) in [(Outcome::Warning, FindingPhase::Open), (Outcome::Ok, FindingPhase::Resolved)] {
            let Fingerprint { deployment, check, resource } = fingerprint();
            let mut story = Story::<Finding>::of(FindingId::of(deployment, &check, &resource).0);
            let first = [Outcome::Warning; 4];
            let changing = to_and_fro.iter().map(|bad| if *bad { Outcome::Critical } else { Outcome::Ok });
            let settled = std::iter::repeat_n(last, 25);
            for (run, outcome) in (1..).zip(first.into_iter().chain(changing).chain(settled)) {
                story.wait(60);
                let sighting = if outcome == Outcome::Ok { ok_sighting(run) } else { sighting(run, outcome) };
                story.send(FindingCommand::Observe { fingerprint: fingerprint(), sighting, hysteresis });
            }
            prop_assert_eq!(story.state.phase, phase);
            story.check_replay();
        }
    }
}
