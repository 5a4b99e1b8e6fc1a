//! What holds for any sequence of commands to a policy.

use crate::replay::Story;
use domain::policy::{
    ADMISSIONS_MAX, AdmissionRequest, Approval, Automatic, BreakerSettings, Budget, Candidate, ChoiceRequest, Choosing,
    Mode, NOTES_MAX, Policy, PolicyCommand, PolicyDefinition, PolicyEvent, RateLimit, Rule, Settlement, Share, Span,
    StormGuard, answer, standing,
};
use domain::remediation::{Admission, BlastRadius, Trigger};
use domain::testing::{DEPLOYMENT, after, check};
use domain::{DeploymentId, Outcome, PolicyId, PolicyName, RemediationId, TenantId};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, VecDeque};
use uuid::Uuid;

fn name() -> PolicyName {
    "default".parse().expect("a policy's name")
}

fn story(definition: PolicyDefinition) -> Story<Policy> {
    let mut story = Story::of(PolicyId::of(&TenantId::default(), &name()).0);
    story.send(PolicyCommand::Define { policy: name(), definition }).expect("the definition is accepted");
    story
}

fn remediation(number: u32) -> RemediationId {
    RemediationId(Uuid::from_u128(0x0190_0000_0000_7000_b000_0000_0000_0000 + u128::from(number)))
}

fn request(number: u32, resource: u32, documents: u64) -> AdmissionRequest {
    AdmissionRequest {
        policy: name(),
        remediation: remediation(number),
        binding: format!("{number:064x}").parse().expect("a hash"),
        deployment: DEPLOYMENT,
        deployment_name: "records".to_owned(),
        labels: BTreeMap::new(),
        check: check("CM-PG-STATISTICS-STALE"),
        check_version: "1".to_owned(),
        runbook: "analyze-table".parse().expect("a runbook's name"),
        runbook_version: "1".to_owned(),
        actions: vec![("postgres.analyze".parse().expect("an action's name"), 1)],
        severity: Outcome::Warning,
        resource: format!("table-{resource}").parse().expect("a resource's name"),
        blast: BlastRadius { documents, ..BlastRadius::default() },
        reversible: true,
        always_approve: false,
        flapping: false,
        trigger: Trigger::Policy,
    }
}

fn admit(request: AdmissionRequest) -> PolicyCommand {
    PolicyCommand::Admit { request: Box::new(request) }
}

fn settle(number: u32, outcome: Settlement) -> PolicyCommand {
    PolicyCommand::Settle { remediation: remediation(number), outcome, attributable: true, failed_actions: Vec::new() }
}

fn all(mode: Mode) -> PolicyDefinition {
    let rule = serde_json::json!({"name": "all", "mode": "never"});
    let rule: Rule = serde_json::from_value(rule).expect("a rule");
    PolicyDefinition { rules: vec![Rule { mode, ..rule }], ..PolicyDefinition::default() }
}

/// Guards that hold back nothing in these tests, but for what each sets itself.
fn loose(mode: Mode) -> PolicyDefinition {
    PolicyDefinition {
        budget: Budget { documents: u64::MAX, max_open: 10_000, ..Budget::default() },
        rate: RateLimit { per_resource: 1_000, per: Span::seconds(60) },
        storm: StormGuard { per_deployment_minute: 1_000, ..PolicyDefinition::default().storm },
        breaker: BreakerSettings { open_after: 100, within: Span::seconds(60), half_open_after: Span::seconds(60) },
        ..all(mode)
    }
}

/// What the events say is reserved: kept apart from the state that decides.
#[derive(Default)]
struct Ledger(HashMap<RemediationId, BlastRadius>);

impl Ledger {
    fn enter(&mut self, events: &[PolicyEvent]) {
        for event in events {
            match event {
                PolicyEvent::RemediationReserved { request, .. } => {
                    self.0.insert(request.remediation, request.blast);
                }
                PolicyEvent::ReservationReleased { remediation, .. } => {
                    assert!(self.0.remove(remediation).is_some(), "released what was not reserved");
                }
                _ => {}
            }
        }
    }

    fn documents(&self) -> u64 {
        self.0.values().map(|blast| blast.documents).sum()
    }
}

#[derive(Debug, Clone)]
enum Act {
    Admit { number: u32, resource: u32, documents: u64, flapping: bool, critical: bool, again: bool },
    Settle { number: u32, outcome: Settlement, attributable: bool },
    Revise(PolicyDefinition),
    Choose { number: u32, seed: u64 },
    Retire,
    Define(PolicyDefinition),
}

fn definition() -> impl Strategy<Value = PolicyDefinition> {
    let automatic = Automatic {
        min_lower_bound: Share::millionths(500_000),
        confidence: Share::millionths(900_000),
        min_samples: 3,
        probation: 1,
        otherwise_people: 1,
    };
    let modes = vec![Mode::Unattended, Mode::Approval(Approval { people: 2 }), Mode::Automatic(automatic), Mode::Never];
    (prop::sample::select(modes), 5..40_u64, 1..6_u32, 1..4_u32, 1..300_u32, any::<bool>()).prop_map(
        |(mode, documents, max_open, often, seconds, thompson)| PolicyDefinition {
            budget: Budget { documents, max_open, ..Budget::default() },
            rate: RateLimit { per_resource: often, per: Span::seconds(seconds) },
            breaker: BreakerSettings {
                open_after: often,
                within: Span::seconds(seconds * 2),
                half_open_after: Span::seconds(seconds),
            },
            storm: StormGuard { per_deployment_minute: often * 2, ..PolicyDefinition::default().storm },
            choose: if thompson { Choosing::Thompson } else { Choosing::First },
            ..all(mode)
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    use Settlement::{Cancelled, Failed, Stuck, Succeeded, Undone};
    let outcomes = prop::sample::select(vec![Succeeded, Succeeded, Succeeded, Failed, Undone, Stuck, Cancelled]);
    let flags = (prop::bool::weighted(0.05), any::<bool>(), prop::bool::weighted(0.1));
    prop_oneof![
        10 => (0..40_u32, 0..8_u32, 0..9_u64, flags).prop_map(
            |(number, resource, documents, (flapping, critical, again))| Act::Admit {
                number, resource, documents, flapping, critical, again,
            }
        ),
        10 => (0..40_u32, outcomes, prop::bool::weighted(0.9))
            .prop_map(|(number, outcome, attributable)| Act::Settle { number, outcome, attributable }),
        1 => definition().prop_map(Act::Revise),
        1 => (0..40_u32, any::<u64>()).prop_map(|(number, seed)| Act::Choose { number, seed }),
        1 => definition().prop_map(Act::Define),
        1 => Just(Act::Retire),
    ]
}

fn command(act: Act) -> PolicyCommand {
    let because = || "it is so".to_owned();
    match act {
        Act::Admit { number, resource, documents, flapping, critical, again } => {
            let severity = if critical { Outcome::Critical } else { Outcome::Warning };
            let mut request = AdmissionRequest { flapping, severity, ..request(number, resource, documents) };
            if again {
                request.binding = "a".repeat(64).parse().expect("a hash");
            }
            admit(request)
        }
        Act::Settle { number, outcome, attributable } => {
            let remediation = remediation(number);
            PolicyCommand::Settle { remediation, outcome, attributable, failed_actions: Vec::new() }
        }
        Act::Revise(definition) => PolicyCommand::Revise { definition, reason: because() },
        Act::Define(definition) => PolicyCommand::Define { policy: name(), definition },
        Act::Retire => PolicyCommand::Retire { reason: because() },
        Act::Choose { number, seed } => {
            let candidates = ["one", "two"].map(|runbook| Candidate {
                runbook: runbook.parse().expect("a runbook's name"),
                version: "1".to_owned(),
            });
            let (check, check_version) = (check("CM-PG-BLOAT"), "1".to_owned());
            let (policy, remediation) = (name(), remediation(number));
            let candidates = candidates.to_vec();
            PolicyCommand::ChooseRunbook {
                request: ChoiceRequest { policy, remediation, check, check_version, candidates, seed },
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn any_life_replays(acts in prop::collection::vec((act(), 0..200_i64), 0..150)) {
        let mut story = Story::<Policy>::of(PolicyId::of(&TenantId::default(), &name()).0);
        let mut ledger = Ledger::default();
        for (act, seconds) in acts {
            story.wait(seconds);
            let before = story.state.clone();
            let command = command(act);
            let never_refused = matches!(command, PolicyCommand::Admit { .. } | PolicyCommand::Settle { .. });
            let decided = story.send(command.clone());
            prop_assert!(decided.is_some() || !never_refused, "a plan's command was refused");
            let decided = decided.unwrap_or_default();
            ledger.enter(&decided);
            let budget = before.definition().budget;
            if let PolicyCommand::Admit { request } = command {
                let reserved = matches!(decided.first(), Some(PolicyEvent::RemediationReserved { .. }));
                prop_assert!(!reserved || ledger.documents() <= budget.documents, "over the budget");
                prop_assert!(!reserved || ledger.0.len() <= budget.max_open as usize, "too many are open");
                // Whatever the answer lets on holds a reservation.
                let (admission, _) = answer(&story.state, &request, story.now);
                let lets_on = !matches!(admission, Admission::Deferred { .. } | Admission::Forbidden);
                let held = story.state.reservation(request.remediation);
                let holds = held.is_some_and(|held| held.request.binding == request.binding);
                prop_assert!(!lets_on || holds, "let on without a reservation");
            }
            prop_assert_eq!(story.state.reserved().documents, ledger.documents());
        }
        story.check_replay();
    }

    /// 50 plans at once against a budget of 10: in whatever order they come and end.
    #[test]
    fn a_budget_is_never_exceeded(
        plans in prop::collection::vec(1..4_u64, 50),
        order in prop::collection::vec((0..50_u32, prop::bool::weighted(0.4)), 200..600),
    ) {
        let definition = loose(Mode::Unattended);
        let mut story = story(PolicyDefinition {
            budget: Budget { documents: 10, max_open: 10, ..Budget::default() },
            ..definition
        });
        let (mut ledger, mut most, mut ended) = (Ledger::default(), 0, 0);
        for (number, ends) in order {
            // Fast enough that all of them are there at once; slow enough that no other guard holds them back.
            story.wait(1);
            let command = if ends {
                settle(number, Settlement::Cancelled)
            } else {
                admit(request(number, number, plans[number as usize]))
            };
            for event in story.send(command).expect("accepted") {
                ended += u32::from(matches!(event, PolicyEvent::ReservationReleased { .. }));
                ledger.enter(std::slice::from_ref(&event));
                prop_assert!(ledger.documents() <= 10 && ledger.0.len() <= 10, "{} documents", ledger.documents());
            }
            most = most.max(ledger.documents());
        }
        prop_assert!(most > 7, "the budget was never nearly spent: {most}");
        prop_assert!(ended > 0);
        story.check_replay();
    }
}

/// Even numbers from a seed (SplitMix64): the tests' own chance.
struct Chance(u64);

impl Chance {
    fn happens(&mut self, percent: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100 < percent
    }
}

fn earned() -> Mode {
    Mode::Automatic(Automatic {
        min_lower_bound: Share::millionths(900_000),
        confidence: Share::millionths(950_000),
        min_samples: 30,
        probation: 3,
        otherwise_people: 1,
    })
}

/// Lets it run so often, at this chance of success; for each time, whether it ran by itself.
fn run(story: &mut Story<Policy>, numbers: std::ops::Range<u32>, percent: u64, chance: &mut Chance) -> Vec<bool> {
    let mut by_itself = Vec::new();
    for number in numbers {
        story.wait(60);
        let request = request(number, number, 1);
        story.send(admit(request.clone())).expect("accepted");
        let (admission, reason) = answer(&story.state, &request, story.now);
        assert!(
            matches!(admission, Admission::Automatic | Admission::Approval { people: 1, .. }),
            "{admission:?}: {reason}"
        );
        by_itself.push(admission == Admission::Automatic);
        let outcome = if chance.happens(percent) { Settlement::Succeeded } else { Settlement::Failed };
        story.send(settle(number, outcome)).expect("accepted");
    }
    by_itself
}

#[test]
fn an_action_of_98_percent_gains_the_right_to_run_by_itself() {
    for seed in 0..20 {
        let mut story = story(loose(earned()));
        let by_itself = run(&mut story, 0..500, 98, &mut Chance(seed));
        assert!(by_itself[..30].iter().all(|automatic| !automatic), "seed {seed}: before it was seen 30 times");
        let late = by_itself[200..].iter().filter(|automatic| **automatic).count();
        assert!(late > 210, "seed {seed}: by itself only {late} times of the last 300");
        assert!(story.events.iter().any(|event| matches!(event, PolicyEvent::AutomaticRightGained { .. })));
        // It never runs by itself right after a failure.
        let posterior = story.state.statistics.of(&request(0, 0, 1).statistics_key());
        assert_eq!(posterior.samples(), 500);
        if seed == 0 {
            story.check_replay();
        }
    }
}

#[test]
fn an_action_of_60_percent_loses_the_right_to_run_by_itself() {
    for seed in 0..20 {
        let mut story = story(loose(earned()));
        let mut chance = Chance(seed);
        // It was good for 60 times, and has the right.
        let good = run(&mut story, 0..60, 100, &mut chance);
        assert!(good[59], "it has not earned the right");
        let turned = run(&mut story, 60..360, 60, &mut chance);
        let last = turned.iter().rposition(|automatic| *automatic).unwrap_or(0);
        assert!(last < 60, "seed {seed}: it still ran by itself after {last} times of 60 percent");
        let lost = story.events.iter().any(|event| matches!(event, PolicyEvent::AutomaticRightLost { .. }));
        assert!(lost, "seed {seed}: the right was not lost");
        assert!(matches!(standing(&story.state, &request(999, 999, 1), story.now).0, Admission::Approval { .. }));
        if seed == 0 {
            story.check_replay();
        }
    }
}

#[test]
fn an_action_of_60_percent_never_gains_it_from_nothing() {
    for seed in 0..20 {
        let mut story = story(loose(earned()));
        assert!(run(&mut story, 0..300, 60, &mut Chance(seed)).iter().all(|automatic| !automatic), "seed {seed}");
    }
}

#[test]
fn with_breakers_as_they_are_a_failing_action_is_stopped_soon() {
    let breaker = PolicyDefinition::default().breaker;
    let mut story = story(PolicyDefinition { breaker, ..loose(Mode::Unattended) });
    let mut admitted_at = Vec::new();
    // For ten hours, one a minute, and each fails.
    for number in 0..600 {
        story.wait(60);
        let request = request(number, number, 1);
        story.send(admit(request.clone())).expect("accepted");
        if answer(&story.state, &request, story.now).0 == Admission::Unattended {
            admitted_at.push(story.now);
            story.send(settle(number, Settlement::Failed)).expect("accepted");
        }
    }
    // Three open the breaker; then one in half an hour.
    assert!((20..=23).contains(&admitted_at.len()), "{} were let on", admitted_at.len());
    story.check_replay();
}

/// 1,000 plans a second about one resource, for two minutes; each that is let on ends at once.
#[test]
fn a_storm_leads_to_the_policys_number_of_admissions() {
    const PER: i64 = 30;
    let rate = RateLimit { per_resource: 2, per: Span::seconds(PER as u32) };
    let mut story = story(PolicyDefinition { rate, ..loose(Mode::Unattended) });
    let mut admitted = VecDeque::new();
    let mut deferrals = 0;
    for number in 0..120_000_u32 {
        story.now = after(0) + chrono::TimeDelta::milliseconds(i64::from(number));
        let decided = story.send(admit(request(number, 1, 1))).expect("accepted");
        for event in &decided {
            match event {
                PolicyEvent::RemediationReserved { at, .. } => {
                    admitted.push_back(*at);
                    story.send(settle(number, Settlement::Succeeded)).expect("accepted");
                }
                PolicyEvent::AdmissionDeferred { .. } => deferrals += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    // Two in each half minute, the first at its beginning.
    assert_eq!(admitted.len(), 8);
    for (index, at) in admitted.iter().enumerate() {
        let within = admitted.iter().skip(index).take_while(|later| **later - *at < chrono::TimeDelta::seconds(PER));
        assert!(within.count() <= 2, "more than two within {PER} s from {at}");
    }
    assert!((4..=8).contains(&deferrals), "{deferrals} times it was recorded that a plan was held back");
    assert!(story.events.len() < 40, "{} events", story.events.len());
    story.check_replay();
}

/// As many resources as there can be, far more often than allowed.
#[test]
fn what_is_remembered_is_bounded() {
    let rate = RateLimit { per_resource: 1, per: Span::seconds(7 * 86_400) };
    let breaker =
        BreakerSettings { open_after: 100, within: Span::seconds(86_400), half_open_after: Span::seconds(60) };
    let mut story = story(PolicyDefinition { rate, breaker, ..loose(Mode::Unattended) });
    for number in 0..1_500 {
        story.now = after(i64::from(number));
        let elsewhere = DeploymentId(Uuid::from_u128(u128::from(number % 7)));
        let request = AdmissionRequest { deployment: elsewhere, ..request(number, number, 1) };
        story.send(admit(request)).expect("accepted");
        story.send(settle(number, Settlement::Failed)).expect("accepted");
    }
    let remembered = story.state.memory.len();
    assert!(remembered > 700 && remembered <= ADMISSIONS_MAX + NOTES_MAX, "{remembered}");
    // 512 closed ones, of resources; and those of the action in seven deployments.
    let breakers = story.state.breakers.all().len();
    assert!((512..=519).contains(&breakers), "{breakers} breakers");
    assert!(story.state.settled.len() <= domain::policy::SETTLED_MAX);
    assert!(story.state.open.is_empty());
}
