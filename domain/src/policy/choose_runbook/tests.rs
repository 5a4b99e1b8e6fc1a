use super::*;
use crate::policy::story::{built_in, id, name, policy, remediation};
use crate::policy::{Policy, PolicyCommand, PolicyDefinition};
use crate::testing::{after, check, refuses};

fn candidate(runbook: &str) -> Candidate {
    Candidate { runbook: runbook.parse().unwrap(), version: "1".to_owned() }
}

fn asked(runbooks: &[&str], seed: u64) -> ChoiceRequest {
    ChoiceRequest {
        policy: name(),
        remediation: remediation(1),
        check: check("CM-PG-BLOAT"),
        check_version: "1".to_owned(),
        candidates: runbooks.iter().map(|runbook| candidate(runbook)).collect(),
        seed,
    }
}

fn thompson() -> PolicyDefinition {
    PolicyDefinition { choose: Choosing::Thompson, ..PolicyDefinition::default() }
}

/// One runbook with 18 of 20, one with 9 of 10, one with 2 of 20.
fn learned(by: Choosing) -> PolicyState {
    let mut state = policy(PolicyDefinition { choose: by, ..PolicyDefinition::default() }).state();
    for (runbook, successes, failures) in [("good", 18, 2), ("newer", 9, 1), ("bad", 2, 18)] {
        let key = StatisticsKey {
            runbook: runbook.parse().unwrap(),
            runbook_version: "1".to_owned(),
            check: check("CM-PG-BLOAT"),
            check_version: "1".to_owned(),
        };
        state.statistics.set(&key, Posterior { successes, failures, in_a_row: 0 }, after(0));
    }
    state
}

#[test]
fn the_first_is_taken_where_the_policy_says_so() {
    let choice = choose_runbook(&learned(Choosing::First), &asked(&["bad", "good"], 1)).unwrap();
    assert_eq!(choice.chosen, candidate("bad"));
    assert!(choice.draws.iter().all(|draw| draw.uniform.is_none() && draw.drawn.is_none()));
}

#[test]
fn each_is_taken_as_often_as_it_is_likely_to_be_the_best() {
    let state = learned(Choosing::Thompson);
    let mut taken = std::collections::BTreeMap::new();
    for seed in 0..2_000 {
        let choice = choose_runbook(&state, &asked(&["good", "newer", "bad"], seed * 0x1234_5678_9abc)).unwrap();
        *taken.entry(choice.chosen.runbook.to_string()).or_insert(0) += 1;
    }
    // By numerical integration: Beta(19, 3) is above Beta(10, 2) with a probability of 0.573; Beta(3, 19) never is.
    let good = taken["good"];
    assert!((1_080..1_210).contains(&good), "good was taken {good} times of 2,000");
    assert_eq!(taken.get("bad"), None);
}

#[test]
fn the_event_holds_all_that_the_choice_was_made_from() {
    let state = learned(Choosing::Thompson);
    let request = asked(&["good", "newer", "bad"], 42);
    let choice = choose_runbook(&state, &request).unwrap();
    assert_eq!(choose_runbook(&state, &request), Some(choice.clone()), "another choice from the same seed");
    for draw in &choice.draws {
        assert_eq!(draw.posterior.draw(draw.uniform.unwrap()), draw.drawn.unwrap());
    }
    let best = choice.draws.iter().max_by_key(|draw| draw.drawn).unwrap();
    assert_eq!(best.candidate, choice.chosen);
}

#[test]
fn even_draws_are_even() {
    let mut tenths = [0_u32; 10];
    for seed in 0..10_000 {
        let share = uniform(seed, (seed % 7) as usize).as_millionths();
        assert!((1..Share::WHOLE).contains(&share));
        tenths[(share / 100_000) as usize] += 1;
    }
    assert!(tenths.iter().all(|count| (900..1_100).contains(count)), "{tenths:?}");
}

#[test]
fn a_choice_is_made_once() {
    let choose = |runbooks: &[&str], seed| PolicyCommand::ChooseRunbook { request: asked(runbooks, seed) };
    let state = policy(thompson()).when(choose(&["a", "b"], 7)).then_types(&["RunbookChosen"]);
    assert_eq!(state.choice(remediation(1)).unwrap().seed, 7);
    policy(thompson()).and(choose(&["a", "b"], 7)).when(choose(&["a", "b"], 8)).then_nothing();
    let other = policy(thompson()).and(choose(&["a", "b"], 7)).when(choose(&["a", "c"], 8));
    assert_eq!(other.then_types(&["RunbookChosen"]).choice(remediation(1)).unwrap().seed, 8);
    built_in().when(choose(&["a", "b"], 7)).then_types(&["RunbookChosen"]);
}

#[test]
fn refusals() {
    let elsewhere = ChoiceRequest { policy: "other".parse().unwrap(), ..asked(&["a"], 1) };
    let unversioned = ChoiceRequest { check_version: String::new(), ..asked(&["a"], 1) };
    let defined = || vec![crate::policy::story::defined(thompson())];
    let choose = |request| PolicyCommand::ChooseRunbook { request };
    refuses::<Policy>(
        id(),
        [
            ("of another policy", defined(), choose(elsewhere), "policy_misaddressed"),
            ("no candidates", defined(), choose(asked(&[], 1)), "candidates_out_of_bounds"),
            ("too many", defined(), choose(asked(&["a"; 33], 1)), "candidates_out_of_bounds"),
            ("no version", defined(), choose(unversioned), "text_empty"),
        ],
    );
}
