use super::*;
use crate::policy::story::{approval, automatic, rule, with_rules};

#[test]
fn the_built_in_policy_lets_nothing_run_by_itself() {
    let built_in = PolicyDefinition::default();
    assert_eq!(built_in.check(), Ok(()));
    assert!(built_in.rules.iter().all(|rule| rule.mode == Mode::Approval(Approval { people: 1 })));
    assert_eq!(built_in.irreversible_people, 2);
    let Budget { deployments, stores, documents, users, bytes, max_open } = built_in.budget;
    assert_eq!((deployments, stores, documents, users, bytes, max_open), (1, 2, 1_000, 100, 10_000_000_000, 10));
}

#[test]
fn a_budget_names_the_unit_that_is_spent() {
    let budget = Budget::default();
    let blast = BlastRadius { deployments: 1, stores: 2, documents: 1_000, users: 100, bytes: 10_000_000_000 };
    assert_eq!(budget.exceeded_by(&blast), None);
    for (unit, blast) in [
        ("deployments", BlastRadius { deployments: 2, ..blast }),
        ("stores", BlastRadius { stores: 3, ..blast }),
        ("documents", BlastRadius { documents: 1_001, ..blast }),
        ("users", BlastRadius { users: 101, ..blast }),
        ("bytes", BlastRadius { bytes: u64::MAX, ..blast }),
    ] {
        assert_eq!(budget.exceeded_by(&blast).map(|(name, _, _)| name), Some(unit));
    }
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let good = || with_rules(vec![rule("all", approval(1))]);
    let automatic = |change: fn(&mut Automatic)| {
        let mut automatic = automatic();
        change(&mut automatic);
        with_rules(vec![rule("all", Mode::Automatic(automatic))])
    };
    let changed = |change: fn(&mut PolicyDefinition)| {
        let mut definition = good();
        change(&mut definition);
        definition
    };
    let rows: Vec<(&str, PolicyDefinition)> = vec![
        ("no rules", with_rules(Vec::new())),
        ("too many rules", with_rules(vec![rule("all", Mode::Never); RULES_MAX + 1])),
        ("a rule without a name", with_rules(vec![rule(" ", Mode::Never)])),
        ("nobody approves", with_rules(vec![rule("all", approval(0))])),
        ("three approve", with_rules(vec![rule("all", approval(3))])),
        ("no irreversible people", changed(|definition| definition.irreversible_people = 0)),
        ("unknown", changed(|definition| definition.rules[0].severities = vec![Outcome::Unknown])),
        ("long list", changed(|definition| definition.rules[0].actions = vec![Glob::new("a").unwrap(); LIST_MAX + 1])),
        ("approvals for no time", changed(|definition| definition.approval_ttl = Span::seconds(0))),
        ("nothing may be open", changed(|definition| definition.budget.max_open = 0)),
        ("too much may be open", changed(|definition| definition.budget.max_open = OPEN_MAX + 1)),
        ("no rate", changed(|definition| definition.rate.per_resource = 0)),
        ("a rate for ever", changed(|definition| definition.rate.per = Span::seconds(8 * 86_400))),
        ("breaker", changed(|definition| definition.breaker.open_after = 0)),
        ("breaker's time", changed(|definition| definition.breaker.half_open_after = Span::seconds(0))),
        ("storm", changed(|definition| definition.storm.per_deployment_minute = 0)),
        ("flapping", changed(|definition| definition.storm.flapping_wait = Span::seconds(0))),
        ("no bound", automatic(|automatic| automatic.min_lower_bound = Share::millionths(0))),
        ("a bound never met", automatic(|automatic| automatic.min_lower_bound = Share::millionths(999_001))),
        ("no confidence", automatic(|automatic| automatic.confidence = Share::millionths(400_000))),
        ("certainty", automatic(|automatic| automatic.confidence = Share::millionths(Share::WHOLE))),
        ("no samples", automatic(|automatic| automatic.min_samples = 0)),
        ("no probation", automatic(|automatic| automatic.probation = 0)),
        ("nobody otherwise", automatic(|automatic| automatic.otherwise_people = 0)),
    ];
    assert_eq!(good().check(), Ok(()));
    for (what, definition) in rows {
        assert!(definition.check().is_err(), "{what} is accepted");
    }
}

#[test]
fn unknown_words_are_refused_and_left_out_ones_are_built_in() {
    let read = |text: &str| serde_json::from_str::<PolicyDefinition>(text);
    assert_eq!(read("{}").unwrap(), PolicyDefinition::default());
    assert_eq!(read(r#"{"budget": {"documents": 7}}"#).unwrap().budget, Budget { documents: 7, ..Budget::default() });
    assert!(read(r#"{"budgets": {}}"#).is_err());
    assert!(read(r#"{"budget": {"document": 7}}"#).is_err());
    assert!(read(r#"{"rules": [{"name": "x", "mode": "sometimes"}]}"#).is_err());
}
