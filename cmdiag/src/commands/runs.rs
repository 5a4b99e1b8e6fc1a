//! `cmdiag runs`.

use crate::cli::Format;
use crate::commands::find_deployment;
use crate::output;
use crate::platform::Platform;
use anyhow::Result;
use query_side::{PageRequest, RunFilter, RunView};

/// Prints past and present runs, newest first.
pub async fn run(platform: &Platform, format: Format, deployment: Option<&str>, limit: u32) -> Result<()> {
    let deployment = match deployment {
        Some(name) => Some(find_deployment(platform, name).await?.id),
        None => None,
    };
    let filter = RunFilter { tenant: Some(platform.tenant.to_string()), deployment, ..RunFilter::default() };
    let page = platform.queries.runs(&filter, &PageRequest::first(i64::from(limit))).await?;
    let header =
        ["run", "requested", "profile", "status", "done", "outcome", "ok", "warn", "crit", "unknown", "seconds"];
    output::list(format, &header, &page.items, row)
}

fn row(run: &RunView) -> Vec<String> {
    let seconds = run.ended_at.map(|ended| (ended - run.requested_at).num_milliseconds() as f64 / 1000.0);
    vec![
        run.id.to_string(),
        run.requested_at.format("%Y-%m-%d %H:%M:%S").to_string(),
        run.profile.clone(),
        output::coloured(run.status.as_str()),
        format!("{}/{}", run.done, run.planned),
        run.outcome.map_or("-".to_owned(), |outcome| output::coloured(outcome.as_str())),
        run.tally.ok.to_string(),
        run.tally.warning.to_string(),
        run.tally.critical.to_string(),
        run.tally.unknown.to_string(),
        seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1}")),
    ]
}
