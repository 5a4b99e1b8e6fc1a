//! What if a check, or a threshold, had been another one: which findings would it have raised, when, and which would
//! never have been there.
//!
//! Nothing is measured. What the probes measured is in the evidence store, with all that its judgement rested on; it is
//! judged anew, and the findings are folded anew by the same pure decisions that made the real ones. There is no probe,
//! no target and no command in here: a replay can not touch anything, because it has nothing to touch it with.
//!
//! What can not be told is said: [`Undecided`] counts the results whose measurement was not kept, or that the changed
//! check would have measured otherwise, with the reason; no finding that hangs on one of them is called vanished.
//!
//! Read in this order: [`changes`] (what is changed), [`rejudge`] (one result), [`lives`] (the findings), [`replay`]
//! (run by run, in bounded memory), [`report`].

mod changes;
mod lives;
mod rejudge;
mod replay;
mod report;

pub use changes::{ChangeError, Changes, ThresholdChange};
pub use replay::{Progress, RunAsked, WhatIf, WhatIfError, WhatIfSource};
pub use report::{DifferingResult, FindingDifference, Life, Moment, MomentKind, Report, Undecided, Verdict};

use chrono::{DateTime, Utc};
use domain::DeploymentId;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose runs are judged anew.
    pub deployment: DeploymentId,
    /// Runs that were asked for at that time or later; from the first one where there is none.
    pub since: Option<DateTime<Utc>>,
    /// Runs that were asked for before; up to the last one where there is none.
    pub until: Option<DateTime<Utc>>,
    /// What is another one. Nothing: all is judged as it was, and must come out as it did.
    pub changes: Changes,
    /// The most runs that are judged anew; the report says where it stopped.
    pub runs_max: usize,
}
