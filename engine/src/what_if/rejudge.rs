//! One result, judged anew from what was measured then.

use super::Changes;
use crate::check::Check;
use crate::evidence::EvidenceError;
use crate::evidence::judged::{JudgedMeasurement, in_force};
use crate::judge::{Judgement, Subject, judge};
use domain::Outcome;
use domain::diagnostic_run::CheckResult;
use domain::finding::Hysteresis;
use std::sync::Arc;

/// What becomes of a result.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rejudged {
    /// It comes out so, under a check of this hysteresis.
    Judged(Box<CheckResult>, Hysteresis),
    /// It was not measured: nothing can be judged, by no check.
    Unmeasured,
    /// It can not be told, and why.
    NotDecidable(String),
}

/// What is stored under a result's hash.
pub(super) type Stored<'a> = Option<&'a Result<Vec<u8>, EvidenceError>>;

/// The record of a result's measurement, or what it becomes without one.
pub(super) fn record(result: &CheckResult, stored: Stored<'_>) -> Result<JudgedMeasurement, Rejudged> {
    let not = |reason: String| Rejudged::NotDecidable(reason);
    if result.evidence.is_none() {
        return Err(match result.outcome {
            Outcome::Unknown => Rejudged::Unmeasured,
            _ => not("the measurement was not kept with the result".to_owned()),
        });
    }
    let bytes = match stored {
        Some(Ok(bytes)) => bytes,
        Some(Err(error)) => return Err(not(error_in_words(error))),
        None => return Err(not("the measurement is not in the evidence store any more".to_owned())),
    };
    let record = JudgedMeasurement::read(bytes).map_err(|error| not(error.to_string()))?;
    if record.check != result.key.check || record.component != result.key.component {
        return Err(not("the stored measurement is another check's or another component's".to_owned()));
    }
    Ok(record)
}

/// Without the hash, so that the reasons can be counted.
fn error_in_words(error: &EvidenceError) -> String {
    match error {
        EvidenceError::Damaged { .. } => "the stored measurement is damaged: its bytes have another hash".to_owned(),
        EvidenceError::Packing { .. } => "the stored measurement can not be unpacked".to_owned(),
        other => other.to_string(),
    }
}

/// Judges anew. `then` is the check that judged then, by its own file.
pub(super) fn rejudge(
    result: &CheckResult,
    record: &JudgedMeasurement,
    then: &Result<Arc<Check>, String>,
    changes: &Changes,
) -> Rejudged {
    let then = match then {
        Ok(check) => check,
        Err(reason) => return Rejudged::NotDecidable(reason.clone()),
    };
    let check = changes.check(&result.key.check).unwrap_or(then);
    if let Some(reason) = measures_otherwise(then, check) {
        return Rejudged::NotDecidable(reason);
    }
    let overrides = match changes.overrides(check, &record.overrides) {
        Ok(overrides) => overrides,
        Err(reason) => return Rejudged::NotDecidable(reason),
    };
    let judgement = match in_force(check, &overrides) {
        Ok(limits) => {
            let component = record.component.as_str();
            let subject = Subject { component, settings: &record.settings, now: result.measured_at };
            judge(check, subject, Ok(&record.measurement(result.measured_at)), &limits)
        }
        // As it would have been: a wrong override is no reason to judge by another bound.
        Err(cause) => Judgement::unknown(cause),
    };
    Rejudged::Judged(Box::new(as_result(result, check, judgement)), check.hysteresis)
}

/// Why another check would not have measured the same; what it judges by does not matter here.
fn measures_otherwise(then: &Check, now: &Check) -> Option<String> {
    if then.digest == now.digest {
        return None;
    }
    if then.component != now.component {
        return Some("the changed check looks at another kind of component".to_owned());
    }
    let differs = match (probe_of(then), probe_of(now)) {
        (Some(then), Some(now)) => then != now,
        _ => true,
    };
    differs.then(|| "the changed check measures something else: its [probe] is not the one that measured".to_owned())
}

/// A check's `[probe]`, but for how long it may take.
fn probe_of(check: &Check) -> Option<toml::Table> {
    let file: toml::Table = check.source.parse().ok()?;
    let mut probe = file.get("probe")?.as_table()?.clone();
    probe.remove("timeout");
    // Columns that are kept apart in the evidence are part of what is measured.
    if let Some(personal) = file.get("personal") {
        probe.insert("personal".to_owned(), personal.clone());
    }
    Some(probe)
}

fn as_result(result: &CheckResult, check: &Check, judgement: Judgement) -> CheckResult {
    let mut observations = judgement.observations;
    for seen in &mut observations {
        seen.evidence.hash.clone_from(&result.evidence);
    }
    let new = CheckResult {
        key: result.key.clone(),
        version: check.version.clone(),
        outcome: judgement.outcome,
        summary: judgement.summary,
        unknown_cause: judgement.unknown_cause,
        observations,
        omitted: judgement.omitted,
        metrics: judgement.metrics,
        evidence: result.evidence.clone(),
        measured_at: result.measured_at,
        duration_ms: result.duration_ms,
    };
    through_text(new.storable())
}

/// A result as whoever reads it from the log has it: the last digit of a decimal may change on its way through text.
fn through_text(result: CheckResult) -> CheckResult {
    let read = serde_json::to_string(&result).ok().and_then(|text| serde_json::from_str(&text).ok());
    read.unwrap_or(result)
}

/// Whether a result says the same, whoever judged it.
pub(super) fn says_the_same(a: &CheckResult, b: &CheckResult) -> bool {
    a.outcome == b.outcome
        && a.summary == b.summary
        && a.unknown_cause == b.unknown_cause
        && a.omitted == b.omitted
        && a.metrics == b.metrics
        && a.observations == b.observations
}
