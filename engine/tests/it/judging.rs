//! Judgements of measurements as they may come, whatever a check's author thought of.

use chrono::Utc;
use domain::Outcome;
use engine::check::{Check, parse_check};
use engine::judge::{Effective, Judgement, Subject, ThresholdOverride, judge};
use engine::probe::{Measurement, Row};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A check whose `[judge]` and `[thresholds…]` are given; a row's name is its resource.
fn check(rules: &str) -> Check {
    let text = format!(
        r#"
code = "T-1"
title = "A test"
component = "host"
reversible = "none"
[probe]
kind = "host"
{rules}
[text]
symptom = "{{{{ outcome }}}}: {{{{ row.name }}}}"
cause = "{{{{ settings.a }}}}"
impact = "i"
advice = "a"
unknown = "{{{{ row.name }}}} was not measured"
[[case]]
name = "good"
rows = []
outcome = "ok"
[[case]]
name = "bad"
rows = []
outcome = "critical"
"#
    );
    parse_check("test", "T-1.toml", &text).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

const BOUNDED: &str = "[thresholds.v]\nwarning = \"80\"\ncritical = \"95\"\n[judge]\neach = \"row\"\n\
    resource = \"{{ component }}/{{ row.name }}\"\nvalue = \"v\"\nmetric = \"v\"\n";

fn rows(rows: Value) -> Vec<Row> {
    serde_json::from_value(rows).unwrap()
}

fn judged(check: &Check, rows: Vec<Row>, truncated: bool, limits: &Effective) -> Judgement {
    let settings = BTreeMap::from([("a".to_owned(), "why".to_owned())]);
    let measurement =
        Measurement { rows, facts: Row::new(), truncated, taken_at: Utc::now(), duration: Duration::ZERO };
    let subject = Subject { component: "host", settings: &settings, now: Utc::now() };
    judge(check, subject, Ok(&measurement), limits)
}

fn by(rules: &str, given: Value) -> Judgement {
    let check = check(rules);
    judged(&check, rows(given), false, &Effective::own(&check))
}

#[test]
fn each_row_gets_its_outcome_by_the_rules() {
    let when = |rules: &str| {
        format!("[judge]\neach = \"row\"\nresource = \"{{{{ row.name }}}}\"\ncritical_when = \"row.v > 9\"\n{rules}")
    };
    let row = |v: Value| json!([{"name": "a", "v": v}]);
    let table: Vec<(String, Value, Outcome)> = vec![
        (BOUNDED.to_owned(), row(json!(80)), Outcome::Ok),
        (BOUNDED.to_owned(), row(json!(80.1)), Outcome::Warning),
        (BOUNDED.to_owned(), row(json!(96)), Outcome::Critical),
        (BOUNDED.to_owned(), row(json!(-1)), Outcome::Critical),
        (BOUNDED.to_owned(), row(json!(null)), Outcome::Unknown),
        (BOUNDED.to_owned(), row(json!("96")), Outcome::Unknown),
        (BOUNDED.to_owned(), json!([{"name": "a"}]), Outcome::Unknown),
        (BOUNDED.to_owned(), json!([{"v": 10}]), Outcome::Unknown),
        (BOUNDED.to_owned(), json!([]), Outcome::Ok),
        (format!("{BOUNDED}empty = \"unknown\"\n"), json!([]), Outcome::Unknown),
        (when(""), row(json!(10)), Outcome::Critical),
        (when("warning_when = \"row.v > 5\""), row(json!(6)), Outcome::Warning),
        (when("warning_when = \"row.w > 5\""), row(json!(6)), Outcome::Unknown),
        (when("warning_when = \"row.w > 5\""), row(json!(10)), Outcome::Critical),
        (when("ignore_when = \"row.v > 100\""), row(json!(101)), Outcome::Ok),
        (when("ignore_when = \"row.w > 100\""), row(json!(1)), Outcome::Unknown),
        (when("unknown_when = \"row.v > 100\""), row(json!(101)), Outcome::Unknown),
        (when("warning_when = \"row.v\""), row(json!(1)), Outcome::Unknown),
    ];
    for (rules, given, expected) in table {
        let judgement = by(&rules, given.clone());
        assert_eq!(judgement.outcome, expected, "{rules}\n{given}\n{judgement:?}");
        assert_eq!(judgement.unknown_cause.is_some(), expected == Outcome::Unknown, "{judgement:?}");
    }
    let judgement = by(&when("unknown_when = \"row.v > 100\""), json!([{"name": "a", "v": 101}]));
    assert_eq!(judgement.unknown_cause.as_deref(), Some("a was not measured"));
}

#[test]
fn the_measurement_as_a_whole_is_judged_by_its_only_row_its_facts_and_its_count() {
    let rules = |value: &str| {
        format!(
            "[thresholds.{value}]\ncritical = \"2\"\n[judge]\neach = \"all\"\nresource = \"{{{{ component }}}}\"\n\
             value = \"{value}\"\n"
        )
    };
    let three = json!([{"v": 1}, {"v": 1}, {"v": 1}]);
    assert_eq!(by(&rules("count"), three.clone()).outcome, Outcome::Critical);
    assert_eq!(by(&rules("count"), json!([{"v": 1}])).outcome, Outcome::Ok);
    assert_eq!(by(&rules("v"), json!([{"v": 3}])).outcome, Outcome::Critical);
    assert_eq!(by(&rules("v"), three).outcome, Outcome::Unknown);
}

#[test]
fn the_worst_comes_first_and_what_is_left_out_is_counted() {
    let mut given: Vec<Value> = (0..150).map(|n| json!({"name": format!("w{n:03}"), "v": 90})).collect();
    given.push(json!({"name": "c", "v": 99}));
    given.push(json!({"name": "w000", "v": 99}));
    let judgement = by(BOUNDED, json!(given));
    assert_eq!((judgement.outcome, judgement.observations.len(), judgement.omitted), (Outcome::Critical, 100, 51));
    let first: Vec<&str> = judgement.observations.iter().take(3).map(|seen| seen.resource.as_str()).collect();
    // One resource is one finding, and its worst row speaks for it.
    assert_eq!(first, ["host/w000", "host/c", "host/w001"]);
    assert_eq!(judgement.observations[0].symptom, "critical: w000");
    assert_eq!(judgement.observations[0].cause, "why");
    assert!(judgement.summary.starts_with("2 critical, 149 warning of 152: critical: w000"), "{}", judgement.summary);
    assert_eq!(judgement.metrics.len(), 16);
    assert!((judgement.metrics["v[host/w000]"] - 90.0).abs() < f64::EPSILON);
}

#[test]
fn rows_that_could_not_be_judged_are_no_good_news() {
    let judgement = by(BOUNDED, json!([{"name": "a", "v": 99}, {"name": "b", "v": null}]));
    assert_eq!((judgement.outcome, judgement.omitted), (Outcome::Critical, 1));
    assert!(judgement.summary.contains("1 could not be judged"), "{}", judgement.summary);

    let check = check(BOUNDED);
    let cut = judged(&check, rows(json!([{"name": "a", "v": 1}])), true, &Effective::own(&check));
    assert_eq!(cut.outcome, Outcome::Unknown);
    let cut = judged(&check, rows(json!([{"name": "a", "v": 99}])), true, &Effective::own(&check));
    assert_eq!((cut.outcome, cut.omitted), (Outcome::Critical, 1));
}

#[test]
fn a_finding_stands_without_its_text() {
    let judgement = by(&BOUNDED.replace("row.name", "row.id"), json!([{"id": "a", "v": 99}]));
    assert_eq!(judgement.outcome, Outcome::Critical);
    assert!(judgement.observations[0].symptom.contains("A test"), "{judgement:?}");
    assert_eq!(judgement.text_errors.len(), 1);
}

#[test]
fn evidence_of_a_row_is_cut_to_what_an_event_carries() {
    let long = "x".repeat(10_000);
    let judgement = by(BOUNDED, json!([{"name": "a", "v": 99, "long": long, "list": vec![1; 5_000]}]));
    let inline = judgement.observations[0].evidence.inline.clone().unwrap();
    assert!(inline.to_string().len() < 700 && inline["v"] == 99, "{inline}");
}

proptest! {
    /// Whatever the ranges: an outcome follows from the alerts alone, and critical does not need a warning beside it.
    #[test]
    fn the_outcome_follows_from_the_ranges(
        value in -50.0_f64..150.0, warning in 0_u8..100, critical in 0_u8..100, inside: bool,
    ) {
        let check = check(BOUNDED);
        let sign = if inside { "@" } else { "" };
        let (warning, critical) = (format!("{sign}{warning}"), format!("{sign}{critical}"));
        let given = ThresholdOverride { threshold: "v", warning: Some(&warning), critical: Some(&critical) };
        let limits = Effective::overridden(&check, [given]).unwrap();
        let alerts = |range: &str| range.parse::<engine::judge::Range>().unwrap().alerts(value);
        let expected = match (alerts(&critical), alerts(&warning)) {
            (true, _) => Outcome::Critical,
            (false, true) => Outcome::Warning,
            (false, false) => Outcome::Ok,
        };
        let judgement = judged(&check, rows(json!([{"name": "a", "v": value}])), false, &limits);
        prop_assert_eq!(judgement.outcome, expected);
    }

    /// Any JSON at all in the rows: never a panic, never `Ok` for a row that lacks its number.
    #[test]
    fn odd_rows_are_never_ok(name in "\\PC{0,20}", number in any::<i64>(), kind in 0_u8..5) {
        let odd = [json!(null), json!(true), json!(number.to_string()), json!([number]), json!({"n": number})];
        let judgement = by(BOUNDED, json!([{"name": name, "v": odd[usize::from(kind)]}]));
        prop_assert_eq!(judgement.outcome, Outcome::Unknown);
    }
}
