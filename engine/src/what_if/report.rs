//! What came of it.

use chrono::{DateTime, Utc};
use domain::{CheckCode, ComponentName, DeploymentId, FindingId, Outcome, ResourceName, RunId};
use serde::{Deserialize, Serialize};

/// A turn in a finding's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MomentKind {
    /// It opened.
    Opened,
    /// It came back.
    Regressed,
    /// Its severity changed.
    SeverityChanged,
    /// It was gone.
    Resolved,
}

/// When something turned in a finding's life.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// What.
    pub kind: MomentKind,
    /// The run that saw it.
    pub run: RunId,
    /// How bad it was then.
    pub severity: Option<Outcome>,
    /// When it was recorded, or would have been.
    pub at: DateTime<Utc>,
}

impl Moment {
    /// Whether it is the same turn: the same thing in the same run. The clock of the decision is not compared.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.kind, self.run, self.severity) == (other.kind, other.run, other.severity)
    }
}

/// A finding's life within what is judged anew.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Life {
    /// Whether it was open before.
    pub was_open: bool,
    /// Its turns.
    pub moments: Vec<Moment>,
}

impl Life {
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.was_open == other.was_open
            && self.moments.len() == other.moments.len()
            && self.moments.iter().zip(&other.moments).all(|(a, b)| a.is_like(b))
    }

    /// Whether it is there at all.
    pub(super) fn is_there(&self) -> bool {
        let opens = |moment: &Moment| matches!(moment.kind, MomentKind::Opened | MomentKind::Regressed);
        self.was_open || self.moments.iter().any(opens)
    }
}

/// What would have become of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It would have been raised, and was not.
    Raised,
    /// It was raised, and would not have been.
    Vanished,
    /// It would have been raised, got worse or been resolved at other times.
    Changed,
    /// It hangs on results that can not be judged anew.
    NotDecidable,
}

/// A finding that would have been another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingDifference {
    /// The finding.
    pub finding: FindingId,
    /// Its check.
    pub check: CheckCode,
    /// The component that the check looked at.
    pub component: ComponentName,
    /// What it is about.
    pub resource: ResourceName,
    /// What would have become of it.
    pub verdict: Verdict,
    /// As it was.
    pub actual: Life,
    /// As it would have been.
    pub hypothetical: Life,
    /// What would have been seen first.
    pub symptom: Option<String>,
}

/// A result that would have come out otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DifferingResult {
    /// The run.
    pub run: RunId,
    /// The check.
    pub check: CheckCode,
    /// The component.
    pub component: ComponentName,
    /// When it was measured.
    pub measured_at: DateTime<Utc>,
    /// How it came out.
    pub actual: Outcome,
    /// How it would have.
    pub hypothetical: Outcome,
    /// What would have been said.
    pub summary: String,
}

/// Results that can not be judged anew, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecided {
    /// The check.
    pub check: CheckCode,
    /// Why not.
    pub reason: String,
    /// How many.
    pub results: u64,
    /// The first run of them.
    pub first_run: RunId,
}

/// What came of the question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whose runs were judged anew.
    pub deployment: DeploymentId,
    /// From which time on.
    pub since: Option<DateTime<Utc>>,
    /// Until when.
    pub until: Option<DateTime<Utc>>,
    /// The position of the log that it is as of: results behind it had not been answered with findings.
    pub as_of: i64,
    /// How many runs were looked at.
    pub runs: u64,
    /// How many results of the checks in question there are in them.
    pub results: u64,
    /// How many of them were judged anew.
    pub judged: u64,
    /// How many had not been measured: under any check they stay unknown.
    pub unmeasured: u64,
    /// How many would have come out otherwise.
    pub differing: u64,
    /// The first of those.
    pub differing_results: Vec<DifferingResult>,
    /// Those that can not be judged anew, by check and reason.
    pub undecided: Vec<Undecided>,
    /// How many findings would have been raised, and were not.
    pub raised: u64,
    /// How many were raised, and would not have been.
    pub vanished: u64,
    /// How many would have had another life.
    pub changed: u64,
    /// How many hang on what can not be judged anew.
    pub not_decidable: u64,
    /// How many would have been as they were.
    pub unchanged: u64,
    /// The first of those that would have been others, in the order of their first turn.
    pub findings: Vec<FindingDifference>,
    /// Whether there were more runs than were asked for at most: where it stopped.
    pub stopped_at: Option<DateTime<Utc>>,
    /// Checks in question that have no result here: what they would have seen, nobody measured.
    pub never_ran: Vec<CheckCode>,
}

impl Report {
    /// Whether everything would have come out just as it did, and all of it could be told.
    pub fn is_reproduced(&self) -> bool {
        self.differing == 0
            && self.raised + self.vanished + self.changed + self.not_decidable == 0
            && self.undecided.is_empty()
    }
}
