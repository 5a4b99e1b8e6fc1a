//! What every result must be.

use super::{CheckResult, Observation, RunRefusal};
use crate::outcome::Outcome;
use crate::text::{TextRefusal, bounded};
use serde_json::Value;
use std::io;

/// The longest text of a result or an observation, in characters.
pub const RESULT_TEXT_CHARS_MAX: usize = 8_000;
/// The most figures of one result.
pub const METRICS_MAX: usize = 16;
/// The largest inline evidence, in bytes of JSON; what is larger goes to the evidence store.
pub const EVIDENCE_BYTES_MAX: usize = 4_096;
const METRIC_NAME_CHARS_MAX: usize = 128;

/// Refuses a result that contradicts itself or is out of bounds.
pub(super) fn check_result(result: &CheckResult) -> Result<(), RunRefusal> {
    let check = || result.key.check.to_string();
    match (&result.unknown_cause, result.outcome) {
        (Some(cause), Outcome::Unknown) if !cause.trim().is_empty() => {}
        (_, Outcome::Unknown) => return Err(RunRefusal::UnknownWithoutCause { check: check() }),
        (Some(_), _) => return Err(RunRefusal::CauseWithoutUnknown { check: check() }),
        (None, _) => {}
    }
    let too_large = |what, max| RunRefusal::ResultTooLarge { check: check(), what, max };
    if result.observations.len() > CheckResult::MAX_OBSERVATIONS {
        return Err(too_large("observations", CheckResult::MAX_OBSERVATIONS));
    }
    if result.metrics.len() > METRICS_MAX {
        return Err(too_large("figures", METRICS_MAX));
    }
    if !outcome_matches(result) {
        return Err(RunRefusal::OutcomeMismatch { check: check() });
    }
    bounded("a result's version", &result.version, 64)?;
    bounded("a result's summary", &result.summary, RESULT_TEXT_CHARS_MAX)?;
    bounded("a result's cause", result.unknown_cause.as_deref().unwrap_or_default(), RESULT_TEXT_CHARS_MAX)?;
    for (metric, value) in &result.metrics {
        bounded("a figure's name", metric, METRIC_NAME_CHARS_MAX)?;
        if !value.is_finite() {
            return Err(RunRefusal::MetricNotFinite { check: check(), metric: metric.clone() });
        }
    }
    for observation in &result.observations {
        check_texts(observation)?;
        if observation.evidence.inline.as_ref().is_some_and(|value| !fits(value)) {
            return Err(too_large("bytes of inline evidence", EVIDENCE_BYTES_MAX));
        }
    }
    Ok(())
}

/// The outcome is the worst observation's, and `Ok` or `Unknown` where there is none. Observations are problems.
fn outcome_matches(result: &CheckResult) -> bool {
    let are_problems =
        result.observations.iter().all(|seen| matches!(seen.outcome, Outcome::Warning | Outcome::Critical));
    let worst = result.observations.iter().map(|seen| seen.outcome).reduce(Outcome::worse);
    are_problems
        && match worst {
            Some(worst) => result.outcome == worst,
            None => matches!(result.outcome, Outcome::Ok | Outcome::Unknown),
        }
}

fn check_texts(observation: &Observation) -> Result<(), TextRefusal> {
    bounded("an observation's symptom", &observation.symptom, RESULT_TEXT_CHARS_MAX)?;
    bounded("an observation's cause", &observation.cause, RESULT_TEXT_CHARS_MAX)?;
    bounded("an observation's impact", &observation.impact, RESULT_TEXT_CHARS_MAX)?;
    bounded("an observation's advice", &observation.advice, RESULT_TEXT_CHARS_MAX)
}

/// Whether a value is small enough to be stored inline. Gives up at the bound: a huge value costs no more.
fn fits(value: &Value) -> bool {
    struct Room(usize);
    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(EVIDENCE_BYTES_MAX), value).is_ok()
}

/// Replaces NUL characters, which a measured text may hold and the views' `jsonb` can not, by the replacement
/// character.
pub(super) fn make_storable(result: &mut CheckResult) {
    clean(&mut result.summary);
    if let Some(cause) = &mut result.unknown_cause {
        clean(cause);
    }
    for seen in &mut result.observations {
        for text in [&mut seen.symptom, &mut seen.cause, &mut seen.impact, &mut seen.advice] {
            clean(text);
        }
        if let Some(value) = &mut seen.evidence.inline {
            clean_value(value);
        }
    }
}

fn clean(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

fn clean_value(value: &mut Value) {
    match value {
        Value::String(text) => clean(text),
        Value::Array(values) => values.iter_mut().for_each(clean_value),
        Value::Object(entries) => {
            if entries.keys().any(|key| key.contains('\0')) {
                let all = std::mem::take(entries);
                entries.extend(all.into_iter().map(|(key, value)| (key.replace('\0', "\u{fffd}"), value)));
            }
            entries.values_mut().for_each(clean_value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_result as sample, problem_result};
    use serde_json::json;

    #[test]
    fn results_are_judged() {
        let ok = || sample(0, Outcome::Ok);
        let bad = || problem_result(0, Outcome::Warning, &["store-1/a", "store-1/b"]);
        let with_evidence = |value: Value| {
            let mut result = bad();
            result.observations[1].evidence.inline = Some(value);
            result
        };
        let with_metric = |value: f64| CheckResult { metrics: [("used".to_owned(), value)].into(), ..ok() };
        let mut crowded = bad();
        crowded.observations = vec![crowded.observations[0].clone(); 101];
        let mut figures = ok();
        figures.metrics = (0..17).map(|number| (format!("m{number}"), 1.0)).collect();
        let mut tame = bad();
        tame.observations[0].outcome = Outcome::Unknown;
        let unknown = || sample(0, Outcome::Unknown);
        let long = || "x".repeat(8_001);
        let rows = [
            ("ok", ok(), None),
            ("bad", bad(), None),
            ("unknown", unknown(), None),
            ("a figure", with_metric(1.5), None),
            ("evidence", with_evidence(json!({"n": "x".repeat(4_000)})), None),
            ("no cause", CheckResult { unknown_cause: None, ..unknown() }, Some("unknown_without_cause")),
            (
                "blank cause",
                CheckResult { unknown_cause: Some(" ".into()), ..unknown() },
                Some("unknown_without_cause"),
            ),
            ("cause of ok", CheckResult { unknown_cause: Some("x".into()), ..ok() }, Some("cause_without_unknown")),
            ("ok with problems", CheckResult { outcome: Outcome::Ok, ..bad() }, Some("outcome_mismatch")),
            ("milder than seen", CheckResult { outcome: Outcome::Critical, ..bad() }, Some("outcome_mismatch")),
            ("bad without problems", CheckResult { observations: vec![], ..bad() }, Some("outcome_mismatch")),
            ("an unknown problem", tame, Some("outcome_mismatch")),
            ("many observations", crowded, Some("result_too_large")),
            ("many figures", figures, Some("result_too_large")),
            ("big evidence", with_evidence(json!({"n": "x".repeat(4_096)})), Some("result_too_large")),
            ("not a number", with_metric(f64::NAN), Some("metric_not_finite")),
            ("infinite", with_metric(f64::INFINITY), Some("metric_not_finite")),
            ("long summary", CheckResult { summary: long(), ..ok() }, Some("text_too_long")),
            ("long cause", CheckResult { unknown_cause: Some(long()), ..unknown() }, Some("text_too_long")),
        ];
        for (what, result, code) in rows {
            assert_eq!(check_result(&result).err().map(|refusal| refusal.code()), code, "{what}");
        }
    }

    #[test]
    fn nothing_stored_holds_a_nul() {
        let mut result = problem_result(0, Outcome::Warning, &["store-1/a"]);
        result.observations[0].symptom = "a\0".to_owned();
        result.observations[0].evidence.inline = Some(json!({"k\0": ["v\0", {"w": "\0"}], "n": 1}));
        make_storable(&mut result);
        let stored = serde_json::to_string(&result).unwrap();
        assert!(!stored.contains("\\u0000"), "{stored}");
        assert_eq!(stored.matches('\u{fffd}').count(), 4, "{stored}");
    }
}
