//! The example file that operators start from is a policy, and says what its comments say.

use domain::policy::{Approval, Automatic, Choosing, Mode, PolicyDefinition, Share, Span, When, in_force};

fn example() -> PolicyDefinition {
    toml::from_str(include_str!("../../../docs/examples/policy.toml")).expect("the example is a policy")
}

#[test]
fn the_example_is_a_policy() {
    let example = example();
    assert_eq!(example.check(), Ok(()));
    let names: Vec<&str> = example.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["hands-off", "statistics-at-night", "test-systems", "restarts", "rest"]);
    let earned = Automatic {
        min_lower_bound: Share::millionths(900_000),
        confidence: Share::millionths(950_000),
        min_samples: 30,
        probation: 3,
        otherwise_people: 1,
    };
    let modes: Vec<Mode> = example.rules.iter().map(|rule| rule.mode.clone()).collect();
    let approval = |people| Mode::Approval(Approval { people });
    assert_eq!(modes, [Mode::Never, Mode::Automatic(earned), Mode::Unattended, approval(2), approval(1)]);
    assert_eq!((example.choose, example.approval_ttl), (Choosing::Thompson, Span::seconds(28_800)));
}

#[test]
fn what_the_example_leaves_as_it_is_is_built_in() {
    let (example, built_in) = (example(), PolicyDefinition::default());
    assert_eq!(example.budget, built_in.budget);
    assert_eq!(example.rate, built_in.rate);
    assert_eq!(example.breaker, built_in.breaker);
    assert_eq!(example.storm, built_in.storm);
    assert_eq!(example.irreversible_people, built_in.irreversible_people);
}

#[test]
fn the_hours_of_the_example_are_those_of_its_comments() {
    let example = example();
    let night = &example.rules[1].windows[0];
    let at = |text: &str| text.parse().expect("a moment");
    // Friday 03:00 there is of Thursday's night; Friday's own does not begin.
    assert!(night.contains(at("2026-01-09T02:00:00Z")) && !night.contains(at("2026-01-09T22:00:00Z")));
    assert!(example.blackouts.iter().any(|blackout| matches!(blackout.when, When::Days(_))));
    let (blackout, end) = in_force(&example.blackouts, at("2026-12-31T12:00:00Z")).expect("a blackout");
    // The last day is a Monday, and its rush begins after the blackout has ended.
    assert_eq!((blackout.reason.as_str(), end), ("end of the financial year", at("2027-01-04T05:00:00Z")));
}

#[test]
fn what_is_stored_is_what_was_read() {
    let example = example();
    let stored = serde_json::to_string(&example).expect("a policy is storable");
    assert_eq!(serde_json::from_str::<PolicyDefinition>(&stored).expect("a stored policy is readable"), example);
    let written = toml::to_string(&example).expect("a policy can be written as TOML");
    assert_eq!(toml::from_str::<PolicyDefinition>(&written).expect("what is written is readable"), example);
}

#[test]
fn a_misspelt_word_is_refused() {
    let text = include_str!("../../../docs/examples/policy.toml");
    for (right, wrong) in
        [("per-resource", "per-ressource"), ("\"monday\"", "\"mon\""), ("max-open = 10", "max-open = -1")]
    {
        assert!(text.contains(right));
        assert!(toml::from_str::<PolicyDefinition>(&text.replace(right, wrong)).is_err(), "{wrong} is accepted");
    }
}
