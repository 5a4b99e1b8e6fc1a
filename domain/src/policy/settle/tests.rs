use crate::policy::story::{
    action, admit, automatic, built_in, id, policy, remediation, request, rule, settle, succeeded, with_rules,
};
use crate::policy::{
    AdmissionRequest, BreakerKey, BreakerSettings, BreakerStatus, Mode, Policy, PolicyCommand, PolicyDefinition,
    PolicyState, Posterior, Settlement, Span, standing,
};
use crate::remediation::Admission;
use crate::testing::{Given, after, refuses};

fn breaker() -> BreakerSettings {
    BreakerSettings { open_after: 2, within: Span::seconds(600), half_open_after: Span::seconds(300) }
}

fn unattended() -> PolicyDefinition {
    PolicyDefinition { breaker: breaker(), ..with_rules(vec![rule("all", Mode::Unattended)]) }
}

fn of_action(name: &str) -> BreakerKey {
    BreakerKey::Action { deployment: request(1).deployment, action: action(name) }
}

fn status(state: &PolicyState, key: &BreakerKey) -> Option<BreakerStatus> {
    state.breakers.get(key).map(|breaker| breaker.status)
}

fn posterior(state: &PolicyState) -> Posterior {
    state.statistics.of(&request(1).statistics_key())
}

fn ended(mut story: Given<Policy>, ends: &[(u32, i64, Settlement)]) -> Given<Policy> {
    for (number, seconds, outcome) in ends {
        story = story.at(after(*seconds)).and(admit(request(*number))).and(settle(*number, *outcome));
    }
    story
}

#[test]
fn what_was_held_is_free_once() {
    let story = || built_in().and(admit(request(1)));
    let state = story().when(settle(1, Settlement::Succeeded)).then_types(&["ReservationReleased"]);
    assert!(state.open.is_empty());
    assert_eq!(posterior(&state), Posterior { successes: 1, failures: 0, in_a_row: 1 });
    story().and(settle(1, Settlement::Succeeded)).when(settle(1, Settlement::Failed)).then_nothing();
    built_in().when(settle(1, Settlement::Succeeded)).then_nothing();
}

#[test]
fn only_what_says_something_of_the_runbook_counts() {
    let story = || policy(unattended()).and(admit(request(1)));
    for (outcome, attributable, expected) in [
        (Settlement::Succeeded, true, (1, 0)),
        (Settlement::Failed, true, (0, 1)),
        (Settlement::Stuck, true, (0, 1)),
        (Settlement::Undone, true, (0, 1)),
        (Settlement::Cancelled, true, (0, 0)),
        (Settlement::Failed, false, (0, 0)),
        (Settlement::Succeeded, false, (0, 0)),
    ] {
        let command =
            PolicyCommand::Settle { remediation: remediation(1), outcome, attributable, failed_actions: Vec::new() };
        let state = story().when(command).then_types(&["ReservationReleased"]);
        let Posterior { successes, failures, .. } = posterior(&state);
        assert_eq!((successes, failures), expected, "{outcome:?}, attributable: {attributable}");
        assert!(state.open.is_empty());
        assert_eq!(state.breakers.all().is_empty(), expected.1 == 0);
    }
}

#[test]
fn a_success_that_a_person_takes_back_becomes_a_failure_once() {
    let story = || ended(policy(unattended()), &[(1, 0, Settlement::Succeeded), (2, 0, Settlement::Succeeded)]);
    let state = story().when(settle(1, Settlement::Undone)).then_types(&["SettlementCorrected"]);
    assert_eq!(posterior(&state), Posterior { successes: 1, failures: 1, in_a_row: 0 });
    story().and(settle(1, Settlement::Undone)).when(settle(1, Settlement::Undone)).then_nothing();
    let not_its_fault = PolicyCommand::Settle {
        remediation: remediation(1),
        outcome: Settlement::Undone,
        attributable: false,
        failed_actions: Vec::new(),
    };
    story().when(not_its_fault).then_nothing();
}

#[test]
fn the_right_to_run_by_itself_is_gained_and_lost() {
    let definition = with_rules(vec![rule("all", Mode::Automatic(automatic()))]);
    let story = || succeeded(policy(definition.clone()), 1..5).and(admit(request(9)));
    let gained =
        story().when(settle(9, Settlement::Succeeded)).then_types(&["ReservationReleased", "AutomaticRightGained"]);
    assert_eq!(standing(&gained, &request(10), after(0)).0, Admission::Automatic);
    let story = || story().and(settle(9, Settlement::Succeeded)).and(admit(request(10)));
    let lost = story().when(settle(10, Settlement::Failed)).then_types(&["ReservationReleased", "AutomaticRightLost"]);
    assert!(matches!(standing(&lost, &request(11), after(0)).0, Admission::Approval { people: 1, .. }));
    // It takes two successes in a row, and the bound must have recovered: with nine of ten it has.
    let again = succeeded(story().and(settle(10, Settlement::Failed)), 11..15);
    assert_eq!(standing(&again.state(), &request(16), after(0)).0, Admission::Automatic);
}

#[test]
fn a_breaker_opens_lets_one_try_and_closes() {
    let action = of_action("postgres.analyze");
    let failed = || ended(policy(unattended()), &[(1, 0, Settlement::Failed)]);
    assert_eq!(status(&failed().state(), &action), Some(BreakerStatus::Closed));
    let opened = || ended(failed(), &[(2, 10, Settlement::Failed)]);
    assert_eq!(status(&opened().state(), &action), Some(BreakerStatus::Open { until: after(310) }));
    let held = standing(&opened().state(), &request(3), after(309)).0;
    assert_eq!(held, Admission::Deferred { retry_at: after(314) });
    let half = || opened().at(after(310)).and(admit(request(3)));
    let probe = BreakerStatus::HalfOpen { probe: remediation(3), until: after(310) };
    assert_eq!(status(&half().state(), &action), Some(probe));
    let (_, reason) = standing(&half().state(), &request(4), after(311));
    assert!(reason.contains("is trying again"), "{reason}");
    let closed = half().when(settle(3, Settlement::Succeeded)).then_types(&["ReservationReleased", "BreakerClosed"]);
    assert_eq!(status(&closed, &action), None);
    assert_eq!(standing(&closed, &request(4), after(311)).0, Admission::Unattended);
}

#[test]
fn a_failed_trial_opens_it_again_and_one_that_says_nothing_lets_another_try() {
    let action = of_action("postgres.analyze");
    let half = || {
        ended(policy(unattended()), &[(1, 0, Settlement::Failed), (2, 10, Settlement::Failed)])
            .at(after(400))
            .and(admit(request(3)))
    };
    let failed = half().when(settle(3, Settlement::Stuck)).then_types(&["ReservationReleased", "BreakerOpened"]);
    assert_eq!(status(&failed, &action), Some(BreakerStatus::Open { until: after(700) }));
    let cancelled = half().and(settle(3, Settlement::Cancelled));
    assert_eq!(status(&cancelled.state(), &action), Some(BreakerStatus::Open { until: after(400) }));
    cancelled.when(admit(request(4))).then_types(&["RemediationReserved", "BreakerHalfOpened"]);
}

#[test]
fn old_failures_do_not_count() {
    let ends = [(1, 0, Settlement::Failed), (2, 600, Settlement::Failed)];
    let state = ended(policy(unattended()), &ends).state();
    assert_eq!(status(&state, &of_action("postgres.analyze")), Some(BreakerStatus::Closed));
}

#[test]
fn a_resource_has_its_own_breaker() {
    let same = |number: u32, name: &str| AdmissionRequest {
        resource: request(1).resource,
        actions: vec![(action(name), 1)],
        ..request(number)
    };
    let mut story = policy(unattended());
    for (number, name) in [(1, "a.one"), (2, "a.two")] {
        story = story.and(admit(same(number, name))).and(settle(number, Settlement::Failed));
    }
    let state = story.state();
    assert_eq!(status(&state, &of_action("a.one")), Some(BreakerStatus::Closed));
    let (_, reason) = standing(&state, &same(3, "a.three"), after(0));
    assert!(reason.contains("the resource table-1"), "{reason}");
    assert_eq!(
        standing(&state, &AdmissionRequest { actions: vec![(action("a.one"), 1)], ..request(4) }, after(0)).0,
        Admission::Unattended
    );
}

#[test]
fn where_it_is_known_only_the_failed_action_bears_it() {
    let two = AdmissionRequest { actions: vec![(action("a.one"), 1), (action("a.two"), 1)], ..request(1) };
    let story = policy(unattended()).and(admit(two));
    let command = PolicyCommand::Settle {
        remediation: remediation(1),
        outcome: Settlement::Failed,
        attributable: true,
        failed_actions: vec![action("a.two")],
    };
    let state = story.when(command).then_types(&["ReservationReleased"]);
    assert_eq!(status(&state, &of_action("a.one")), None);
    assert_eq!(status(&state, &of_action("a.two")), Some(BreakerStatus::Closed));
}

#[test]
fn more_failed_actions_than_a_plan_can_have_are_refused() {
    let failed_actions = vec![action("a.one"); 65];
    let outcome = Settlement::Failed;
    let command = PolicyCommand::Settle { remediation: remediation(1), outcome, attributable: true, failed_actions };
    refuses::<Policy>(id(), [("too many", vec![], command, "too_many_actions")]);
}

#[test]
fn a_person_closes_a_breaker() {
    let reset = |reason: &str| PolicyCommand::ResetBreaker {
        breaker: of_action("postgres.analyze"),
        reason: reason.to_owned(),
    };
    let ends = [(1, 0, Settlement::Failed), (2, 10, Settlement::Failed)];
    let open = || ended(policy(unattended()), &ends);
    let state = open().when(reset("the disk is new")).then_types(&["BreakerClosed"]);
    assert_eq!(standing(&state, &request(3), after(11)).0, Admission::Unattended);
    open().when(reset(" ")).then_refused("text_empty");
    refuses::<Policy>(id(), [("none is open", vec![], reset("because"), "breaker_not_open")]);
}
