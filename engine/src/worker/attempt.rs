//! One item, run under its limits: its time, its run's deadline, cancellation, and the runner's own panics.

use super::CheckRunner;
use crate::queue::WorkItem;
use chrono::{DateTime, Utc};
use command_side::Clock;
use domain::diagnostic_run::CheckResult;
use futures::FutureExt;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What became of one item's work.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Its result; none where it was cancelled.
    pub(super) result: Option<CheckResult>,
    /// How long it took.
    pub(super) took: Duration,
    /// Whether the runner panicked.
    pub(super) panicked: bool,
}

/// What an attempt needs.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) runner: Arc<dyn CheckRunner>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) grace: Duration,
    pub(super) most_crashes: i32,
}

/// Runs an item; `cancel` is the item's own token.
pub(super) async fn run_item(around: Surroundings, item: Arc<WorkItem>, cancel: CancellationToken) -> Attempt {
    let begin = Instant::now();
    let measured_at = around.clock.now();
    let unknown = |cause: String| unknown_result(&item, cause, measured_at, begin.elapsed());
    if item.crashes >= around.most_crashes {
        let cause = format!(
            "worker died {} times while running this check, or was cut off from the database for longer than its lease",
            item.crashes
        );
        return Attempt { result: Some(unknown(cause)), took: begin.elapsed(), panicked: false };
    }
    let left = (item.deadline - measured_at).to_std().unwrap_or_default();
    let limit = item.timeout.min(left);
    let runner = Arc::clone(&around.runner);
    let (work_item, token) = (WorkItem::clone(&item), cancel.clone());
    // Nothing of ours is shared with the runner but the token: after a panic there is no half-changed state to see.
    let work = AssertUnwindSafe(async move { runner.run(work_item, token).await }).catch_unwind();
    tokio::pin!(work);
    let mut panicked = false;
    let result = tokio::select! {
        biased;
        ended = &mut work => match ended {
            // A result that was cut short by the cancellation says nothing of what it measured.
            _ if cancel.is_cancelled() => None,
            Ok(result) if result.key == item.key.check => Some(result),
            Ok(result) => Some(unknown(format!("the runner answered for {} instead", result.key.check))),
            Err(panic) => {
                panicked = true;
                Some(unknown(format!("the check's runner panicked: {}", panic_text(panic.as_ref()))))
            }
        },
        () = cancel.cancelled() => {
            let _ = tokio::time::timeout(around.grace, &mut work).await;
            None
        }
        () = tokio::time::sleep(limit) => {
            cancel.cancel();
            let _ = tokio::time::timeout(around.grace, &mut work).await;
            let cause = if item.timeout <= left { "timed out after" } else { "the run's deadline passed after" };
            Some(unknown(format!("{cause} {} ms", limit.as_millis())))
        }
    };
    Attempt { result, took: begin.elapsed(), panicked }
}

/// The result of a check that could not be measured.
pub(crate) fn unknown_result(item: &WorkItem, cause: String, at: DateTime<Utc>, took: Duration) -> CheckResult {
    CheckResult {
        key: item.key.check.clone(),
        version: item.version.clone(),
        outcome: domain::Outcome::Unknown,
        summary: cause.clone(),
        unknown_cause: Some(cause),
        observations: Vec::new(),
        omitted: 0,
        metrics: BTreeMap::new(),
        evidence: None,
        measured_at: at,
        duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    const MAX_CHARS: usize = 300;
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    text.char_indices().nth(MAX_CHARS).map_or(text, |(end, _)| &text[..end])
}
