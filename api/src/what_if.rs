//! What-if questions, as the API asks them. The engine answers; the API only asks and shows.

use chrono::{DateTime, Utc};
use domain::DeploymentId;
use futures::future::BoxFuture;
use tokio::sync::watch;

/// The most check files of one question, and the largest of them in bytes.
pub const CHECK_FILES_MAX: usize = 50;
/// The largest check file.
pub const CHECK_FILE_BYTES_MAX: usize = 64 << 10;
/// The most thresholds of one question.
pub const THRESHOLDS_MAX: usize = 100;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatIfQuestion {
    /// Whose runs are judged anew.
    pub deployment: DeploymentId,
    /// Runs that were asked for at that time or later.
    pub since: Option<DateTime<Utc>>,
    /// Runs that were asked for before.
    pub until: Option<DateTime<Utc>>,
    /// The texts of changed check files.
    pub check_files: Vec<String>,
    /// Changed thresholds: `CHECK[/THRESHOLD]=WARNING[,CRITICAL]`.
    pub thresholds: Vec<String>,
    /// The most runs that are judged anew.
    pub runs_max: usize,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WhatIfSteps {
    /// How many runs have been read.
    pub runs: u64,
    /// How many results have been looked at.
    pub results: u64,
    /// When the run that was read last was asked for.
    pub at: Option<DateTime<Utc>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhatIfProblem {
    /// The question is wrong: what the client can mend.
    Wrong(String),
    /// The platform can not answer just now.
    Unavailable(String),
}

/// Answers what-if questions.
pub trait WhatIfAnswers: Send + Sync + 'static {
    /// The report as JSON, in the form of the schema's `WhatIfReport`; `steps` is told after each run.
    fn ask(
        &self,
        question: WhatIfQuestion,
        steps: watch::Sender<WhatIfSteps>,
    ) -> BoxFuture<'_, Result<serde_json::Value, WhatIfProblem>>;
}
