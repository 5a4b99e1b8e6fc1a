//! Runs a check's own cases.

use crate::check::{Case, Check};
use crate::judge::{Effective, Judgement, Subject, judge};
use crate::probe::{Measurement, ProbeError, ProbeErrorKind};
use std::fmt;
use std::time::Duration;

/// A case that did not come out as its file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFailure {
    /// The check's file.
    pub file: String,
    /// The case's line in it.
    pub line: usize,
    /// The case.
    pub case: String,
    /// What came out instead.
    pub message: String,
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: case {:?}: {}", self.file, self.line, self.case, self.message)
    }
}

/// Runs a check's own cases and tells which fail.
pub fn run_cases(check: &Check) -> Vec<CaseFailure> {
    let failed = |case: &Case, message: String| CaseFailure {
        file: check.file.clone(),
        line: case.line,
        case: case.name.clone(),
        message,
    };
    check.cases.iter().flat_map(|case| run_case(check, case).into_iter().map(move |m| failed(case, m))).collect()
}

fn run_case(check: &Check, case: &Case) -> Vec<String> {
    let subject = Subject { component: &case.component, settings: &case.settings, now: case.now };
    let limits = Effective::own(check);
    let verdict = match &case.measured {
        Ok(given) => {
            let measurement = Measurement {
                rows: given.rows.clone(),
                facts: given.facts.clone(),
                truncated: false,
                taken_at: case.now,
                duration: Duration::ZERO,
            };
            judge(check, subject, Ok(&measurement), &limits)
        }
        Err(trouble) => {
            let error = ProbeError { kind: ProbeErrorKind::Unreachable, cause: trouble.clone() };
            judge(check, subject, Err(&error), &limits)
        }
    };
    differences(case, &verdict)
}

fn differences(case: &Case, judgement: &Judgement) -> Vec<String> {
    let mut messages = judgement.text_errors.clone();
    if judgement.outcome != case.expected.outcome {
        let why = judgement.unknown_cause.as_deref().unwrap_or(&judgement.summary);
        messages.push(format!("gave {} and not {}: {why}", judgement.outcome, case.expected.outcome));
    }
    if let Some(expected) = &case.expected.resources {
        let found: Vec<&str> = judgement.observations.iter().map(|seen| seen.resource.as_str()).collect();
        if found != expected.iter().map(String::as_str).collect::<Vec<_>>() {
            messages.push(format!("reported {found:?} and not {expected:?}"));
        }
    }
    messages
}
