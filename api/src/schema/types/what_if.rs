//! What a changed check or threshold would have found.

use async_graphql::{Enum, SimpleObject};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

/// A turn in a finding's life.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhatIfTurn {
    /// It opened.
    Opened,
    /// It came back.
    Regressed,
    /// Its severity changed.
    SeverityChanged,
    /// It was gone.
    Resolved,
}

/// What would have become of a finding.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhatIfVerdict {
    /// It would have been raised, and was not.
    Raised,
    /// It was raised, and would not have been.
    Vanished,
    /// It would have been raised, got worse or been resolved at other times.
    Changed,
    /// It hangs on results that can not be judged anew.
    NotDecidable,
}

/// When something turned in a finding's life.
#[derive(Debug, SimpleObject, Deserialize)]
pub struct WhatIfMoment {
    /// What.
    kind: WhatIfTurn,
    /// The run that saw it.
    run: Uuid,
    /// How bad it was then: `warning` or `critical`.
    severity: Option<String>,
    /// When it was recorded, or would have been.
    at: DateTime<Utc>,
}

/// A finding's life within what is judged anew.
#[derive(Debug, SimpleObject, Deserialize)]
pub struct WhatIfLife {
    /// Whether it was open before.
    was_open: bool,
    /// Its turns.
    moments: Vec<WhatIfMoment>,
}

/// A finding that would have been another one.
#[derive(Debug, SimpleObject, Deserialize)]
pub struct WhatIfFinding {
    /// The finding's UUID.
    finding: Uuid,
    /// Its check.
    check: String,
    /// The component that the check looked at.
    component: String,
    /// What it is about.
    resource: String,
    /// What would have become of it.
    verdict: WhatIfVerdict,
    /// As it was.
    actual: WhatIfLife,
    /// As it would have been.
    hypothetical: WhatIfLife,
    /// What would have been seen first.
    symptom: Option<String>,
}

/// A result that would have come out otherwise.
#[derive(Debug, SimpleObject, Deserialize)]
pub struct WhatIfResult {
    /// The run.
    run: Uuid,
    /// The check.
    check: String,
    /// The component.
    component: String,
    /// When it was measured.
    measured_at: DateTime<Utc>,
    /// How it came out.
    actual: String,
    /// How it would have.
    hypothetical: String,
    /// What would have been said.
    summary: String,
}

/// Results that can not be judged anew, and why.
#[derive(Debug, SimpleObject, Deserialize)]
pub struct WhatIfUndecided {
    /// The check.
    check: String,
    /// Why not.
    reason: String,
    /// How many.
    results: i64,
    /// The first run of them.
    first_run: Uuid,
}

/// What came of a what-if question. Nothing was measured for it.
#[derive(Debug, SimpleObject, Deserialize)]
pub struct WhatIfReport {
    /// The position of the log that it is as of.
    as_of: i64,
    /// How many runs were looked at.
    runs: i64,
    /// How many results of the checks in question there are in them.
    results: i64,
    /// How many of them were judged anew.
    judged: i64,
    /// How many had not been measured: under any check they stay unknown.
    unmeasured: i64,
    /// How many would have come out otherwise.
    differing: i64,
    /// The first of those.
    differing_results: Vec<WhatIfResult>,
    /// Those that can not be judged anew, by check and reason.
    undecided: Vec<WhatIfUndecided>,
    /// How many findings would have been raised, and were not.
    raised: i64,
    /// How many were raised, and would not have been.
    vanished: i64,
    /// How many would have had another life.
    changed: i64,
    /// How many hang on what can not be judged anew.
    not_decidable: i64,
    /// How many would have been as they were.
    unchanged: i64,
    /// The first of those that would have been others, in the order of their first turn.
    findings: Vec<WhatIfFinding>,
    /// Where it stopped, where there were more runs than were asked for at most.
    stopped_at: Option<DateTime<Utc>>,
    /// Checks in question that have no result here: what they would have seen, nobody measured.
    never_ran: Vec<String>,
}

/// How far a what-if question has come; with its answer, once there is one.
#[derive(Debug, SimpleObject)]
pub struct WhatIfProgress {
    /// How many runs have been read.
    pub runs: i64,
    /// How many results have been judged anew, or found that they can not be.
    pub results: i64,
    /// When the run that was read last was asked for.
    pub at: Option<DateTime<Utc>>,
    /// The answer; the last thing that is sent.
    pub report: Option<WhatIfReport>,
}
