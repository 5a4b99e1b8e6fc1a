//! What a measurement means: a pure function of the check, the measurement, the thresholds in force and the time.
//!
//! What can not be judged is never `Ok`: a missing column, a condition that gives neither true nor false, or a probe's
//! error gives `Unknown` with its cause. A measured problem outranks what could not be judged beside it; then the rows
//! that could not be judged are counted as omitted, so that nobody takes their silence for good news.

mod metrics;
mod range;
mod thresholds;
mod verdict;

pub use range::{Range, RangeError};
pub use thresholds::{Effective, ThresholdOverride};

use crate::check::{Check, Each};
use crate::probe::{Measurement, ProbeError, Row};
use chrono::{DateTime, Utc};
use domain::diagnostic_run::{CheckResult, Evidence, Observation};
use domain::{Outcome, ResourceName};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use verdict::{Bench, Verdict};

const MAX_SYMPTOM_CHARS: usize = 300;
const MAX_TEXT_CHARS: usize = 2_000;
const MAX_SUMMARY_CHARS: usize = 300;
const MAX_INLINE_EVIDENCE_BYTES: usize = 600;

/// What the check looks at, and when.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The component's name.
    pub component: &'a str,
    /// The component's settings.
    pub settings: &'a BTreeMap<String, String>,
    /// The time of the judgement.
    pub now: DateTime<Utc>,
}

/// What a measurement means.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The worst observation's outcome, or `Ok`, or `Unknown`.
    pub outcome: Outcome,
    /// One line.
    pub summary: String,
    /// Why it could not be measured or judged: present if and only if the outcome is `Unknown`.
    pub unknown_cause: Option<String>,
    /// The problems, worst first, at most [`CheckResult::MAX_OBSERVATIONS`].
    pub observations: Vec<Observation>,
    /// How many further rows were left out, or could not be judged.
    pub omitted: u32,
    /// Measured figures by name.
    pub metrics: BTreeMap<String, f64>,
    /// Texts that could not be rendered: mistakes of the check, for its cases. The findings stand all the same.
    pub text_errors: Vec<String>,
}

impl Judgement {
    /// It could not be measured.
    pub fn unknown(cause: impl Into<String>) -> Self {
        let cause = crate::check::cut(&cause.into(), MAX_TEXT_CHARS);
        Self {
            outcome: Outcome::Unknown,
            summary: crate::check::cut(&format!("could not be measured: {cause}"), MAX_SUMMARY_CHARS),
            unknown_cause: Some(cause),
            observations: Vec::new(),
            omitted: 0,
            metrics: BTreeMap::new(),
            text_errors: Vec::new(),
        }
    }
}

/// Judges a measurement, or the error of its probe.
pub fn judge(
    check: &Check,
    subject: Subject<'_>,
    measured: Result<&Measurement, &ProbeError>,
    limits: &Effective,
) -> Judgement {
    let measurement = match measured {
        Ok(measurement) => measurement,
        Err(error) => return Judgement::unknown(&error.cause),
    };
    if measurement.rows.is_empty() && check.judge.empty == Outcome::Unknown {
        return Judgement::unknown("the measurement gave nothing to judge");
    }
    let mut bench = Bench::new(check, subject, measurement, limits);
    let mut tally = Tally::default();
    match check.judge.each {
        Each::All => {
            let row = if let [only] = measurement.rows.as_slice() { Some(only) } else { None };
            tally.take(&mut bench, row);
        }
        Each::Row => {
            for row in &measurement.rows {
                tally.take(&mut bench, Some(row));
            }
        }
    }
    tally.conclude(check, &bench, measurement)
}

/// The row of a measurement that an observation of this resource is about: the worst, where several are. `None` where
/// none is, or where the measurement is judged as a whole and has not just one row.
pub(crate) fn row_about<'a>(
    check: &'a Check,
    subject: Subject<'a>,
    measurement: &'a Measurement,
    limits: &'a Effective,
    resource: &ResourceName,
) -> Option<&'a Row> {
    if check.judge.each == Each::All {
        return if let [only] = measurement.rows.as_slice() { Some(only) } else { None };
    }
    let mut bench = Bench::new(check, subject, measurement, limits);
    let mut found: Option<(u8, &Row)> = None;
    for row in &measurement.rows {
        bench.turn_to(Some(row));
        if bench.resource().ok().as_ref() != Some(resource) {
            continue;
        }
        let rank = match bench.verdict() {
            Verdict::Bad(outcome) => 1 + outcome.rank(),
            _ => 0,
        };
        if found.is_none_or(|(known, _)| rank > known) {
            found = Some((rank, row));
        }
    }
    found.map(|(_, row)| row)
}

/// What the rows gave, while they are gone through.
#[derive(Default)]
struct Tally<'a> {
    bad: Vec<Bad<'a>>,
    judged: usize,
    unjudged: u32,
    first_cause: Option<String>,
    seen: HashMap<ResourceName, usize>,
    metrics: metrics::Metrics,
}

struct Bad<'a> {
    resource: ResourceName,
    outcome: Outcome,
    row: Option<&'a Row>,
}

impl<'a> Tally<'a> {
    fn take(&mut self, bench: &mut Bench<'a>, row: Option<&'a Row>) {
        bench.turn_to(row);
        let verdict = bench.verdict();
        if matches!(verdict, Verdict::Ignored) {
            return;
        }
        self.judged += 1;
        let resource = match bench.resource() {
            Ok(resource) => resource,
            Err(cause) => return self.not_judged(cause),
        };
        self.metrics.record(bench, &resource);
        match verdict {
            Verdict::Ignored | Verdict::Good => {}
            Verdict::Unknown(cause) => self.not_judged(cause),
            // One resource is one finding: the worst of its rows speaks for it.
            Verdict::Bad(outcome) => {
                if let Some(&known) = self.seen.get(&resource) {
                    if outcome.rank() > self.bad[known].outcome.rank() {
                        self.bad[known] = Bad { resource, outcome, row };
                    }
                } else {
                    self.seen.insert(resource.clone(), self.bad.len());
                    self.bad.push(Bad { resource, outcome, row });
                }
            }
        }
    }

    fn not_judged(&mut self, cause: String) {
        self.unjudged += 1;
        self.first_cause.get_or_insert(cause);
    }

    fn conclude(mut self, check: &Check, bench: &Bench<'_>, measurement: &Measurement) -> Judgement {
        if measurement.truncated {
            let rows = measurement.rows.len();
            self.not_judged(format!("there are more than the {rows} rows that the probe may read"));
        }
        let outcome = self.bad.iter().fold(Outcome::Ok, |worst, bad| worst.worse(bad.outcome));
        if let (Outcome::Ok, Some(cause)) = (outcome, &self.first_cause) {
            let mut judgement = Judgement::unknown(cause.as_str());
            judgement.metrics = self.metrics.into_map();
            return judgement;
        }
        // Stable: rows of one outcome stay in the order in which the probe gave them.
        self.bad.sort_by_key(|bad| std::cmp::Reverse(bad.outcome.rank()));
        let found = self.bad.len();
        let mut text_errors = Vec::new();
        let observations: Vec<Observation> = self
            .bad
            .iter()
            .take(CheckResult::MAX_OBSERVATIONS)
            .map(|bad| observation(check, bench, bad, &mut text_errors))
            .collect();
        let summary = self.summary(&observations);
        Judgement {
            outcome,
            summary,
            unknown_cause: None,
            omitted: (found - observations.len()) as u32 + self.unjudged,
            observations,
            metrics: self.metrics.into_map(),
            text_errors,
        }
    }

    fn summary(&self, observations: &[Observation]) -> String {
        let count = |outcome| self.bad.iter().filter(|bad| bad.outcome == outcome).count();
        let (critical, warning) = (count(Outcome::Critical), count(Outcome::Warning));
        let mut parts = Vec::new();
        if critical > 0 {
            parts.push(format!("{critical} critical"));
        }
        if warning > 0 {
            parts.push(format!("{warning} warning"));
        }
        if parts.is_empty() {
            return format!("{} measured, nothing wrong", self.judged);
        }
        let mut text = format!("{} of {}", parts.join(", "), self.judged);
        if self.unjudged > 0 {
            let _ = write!(text, " ({} could not be judged)", self.unjudged);
        }
        if let Some(worst) = observations.first() {
            let _ = write!(text, ": {}", worst.symptom);
        }
        crate::check::cut(&text, MAX_SUMMARY_CHARS)
    }
}

fn observation(check: &Check, bench: &Bench<'_>, bad: &Bad<'_>, errors: &mut Vec<String>) -> Observation {
    let context = bench.text_context(bad.row, bad.outcome);
    let mut text = |name: &str, max: usize| match check.texts.render(name, &context, max) {
        Ok(text) => text,
        Err(error) => {
            errors.push(format!("text.{name}: {error}"));
            // A problem that was measured must not vanish because its text is wrong.
            format!("{} (its text can not be shown: {error})", check.title)
        }
    };
    Observation {
        resource: bad.resource.clone(),
        outcome: bad.outcome,
        symptom: text("symptom", MAX_SYMPTOM_CHARS).replace(['\n', '\r'], " "),
        cause: text("cause", MAX_TEXT_CHARS),
        impact: text("impact", MAX_TEXT_CHARS),
        advice: text("advice", MAX_TEXT_CHARS),
        evidence: Evidence { inline: bad.row.map(inline_evidence), hash: None },
    }
}

/// As much of a row as fits into an event: long texts are cut, and what no longer fits is left to the evidence store.
fn inline_evidence(row: &Row) -> Value {
    let mut kept = Row::new();
    let mut left = MAX_INLINE_EVIDENCE_BYTES;
    for (name, value) in row {
        let value = match value {
            // A sealed text is of use as a whole only.
            Value::String(text) if domain::Sealed::parse(text).is_none() => Value::String(crate::check::cut(text, 120)),
            other => other.clone(),
        };
        let size = name.len() + value.to_string().len() + 4;
        if size <= left {
            left -= size;
            kept.insert(name.clone(), value);
        }
    }
    Value::Object(kept)
}
