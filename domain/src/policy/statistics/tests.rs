use super::*;
use crate::policy::story::{automatic, request};
use crate::testing::after;

fn seen(successes: u32, failures: u32, in_a_row: u32) -> Posterior {
    Posterior { successes, failures, in_a_row }
}

#[test]
fn bound_and_samples_must_both_pass() {
    let automatic = automatic();
    let earned = |posterior: Posterior| posterior.earned(&automatic).1.is_ok();
    // Four of four have a lower bound of 0.549, and are too few anyway; five of five have one of 0.607.
    assert!(!earned(seen(4, 0, 4)));
    assert!(earned(seen(5, 0, 5)));
    assert!(!earned(Posterior::default()));
    let many = Automatic { min_samples: 6, ..automatic };
    assert!(seen(5, 0, 5).earned(&many).1.unwrap_err().contains("not yet 6"));
    assert!(seen(30, 30, 5).earned(&automatic).1.unwrap_err().contains("not 60.0 %"));
}

#[test]
fn after_a_failure_it_must_succeed_under_approval_first() {
    let automatic = automatic();
    let mut posterior = seen(50, 0, 50);
    posterior = posterior.with(false);
    assert!(posterior.earned(&automatic).0 > automatic.min_lower_bound);
    assert!(posterior.earned(&automatic).1.unwrap_err().contains("0 of 2"));
    posterior = posterior.with(true);
    assert!(posterior.earned(&automatic).1.is_err());
    posterior = posterior.with(true);
    assert!(posterior.earned(&automatic).1.is_ok());
    assert_eq!(posterior.taken_back(), seen(51, 2, 0));
}

#[test]
fn what_was_not_seen_for_longest_is_forgotten() {
    let mut statistics = Statistics::default();
    let key = |number: usize| {
        let mut key = request(1).statistics_key();
        key.runbook_version = format!("v{number}");
        key
    };
    for number in 0..STATISTICS_MAX {
        statistics.set(&key(number), seen(1, 0, 1), after(number as i64));
    }
    statistics.set(&key(0), seen(2, 0, 2), after(10_000));
    statistics.set(&key(STATISTICS_MAX), seen(3, 0, 3), after(10_001));
    assert_eq!(statistics.all().len(), STATISTICS_MAX);
    assert_eq!(statistics.of(&key(1)), Posterior::default());
    assert_eq!(statistics.of(&key(0)), seen(2, 0, 2));
    assert_eq!(statistics.of(&key(STATISTICS_MAX)), seen(3, 0, 3));
}
