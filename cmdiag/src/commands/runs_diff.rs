//! `cmdiag runs diff`: two runs of one deployment beside each other, and what happened in between.

use crate::cli::Format;
use crate::commands::find_deployment;
use crate::output;
use crate::platform::Platform;
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use domain::RunId;
use query_side::{Change, ComparedProblem, Comparison, PageRequest, RunFilter, RunStatus};
use std::process::ExitCode;

/// Nothing is worse, but something could not be told.
const UNDECIDED: u8 = 3;

#[derive(Debug, Args)]
pub struct RunsDiffArgs {
    /// The run that is compared with: its id, or `previous` for the one before the newest
    pub base: String,
    /// The run that is compared: its id, or `latest`
    pub head: String,
    /// The deployment whose runs `previous` and `latest` are (name or id); completed runs only
    #[arg(long)]
    pub deployment: Option<String>,
}

/// Prints what became of each problem. Exit code 0: nothing is worse; 1: something is new, came back or is worse; 3:
/// nothing is worse as far as both runs measured, but one of them did not measure all.
pub async fn run(platform: &Platform, format: Format, arguments: &RunsDiffArgs) -> Result<ExitCode> {
    let base = named(platform, arguments, &arguments.base).await?;
    let head = named(platform, arguments, &arguments.head).await?;
    let compared = platform.queries.compare_runs(&platform.tenant, base, head).await?;
    let compared = compared.ok_or_else(|| anyhow!("there are no two runs {base} and {head} of one deployment"))?;
    if format == Format::Json {
        output::json(&compared)?;
    } else {
        print(&compared)?;
    }
    Ok(if compared.is_worse() {
        ExitCode::FAILURE
    } else if compared.count(Change::Undecided) > 0 {
        ExitCode::from(UNDECIDED)
    } else {
        ExitCode::SUCCESS
    })
}

async fn named(platform: &Platform, arguments: &RunsDiffArgs, text: &str) -> Result<RunId> {
    let back = match text {
        "latest" => 0,
        "previous" => 1,
        id => return id.parse().context("a run's id, `latest` or `previous`"),
    };
    let Some(name) = &arguments.deployment else { bail!("{text:?} needs --deployment") };
    let deployment = Some(find_deployment(platform, name).await?.id);
    let tenant = Some(platform.tenant.to_string());
    let statuses = vec![RunStatus::Completed];
    let filter = RunFilter { tenant, deployment, statuses, ..RunFilter::default() };
    let page = platform.queries.runs(&filter, &PageRequest::first(2)).await?;
    let found = page.items.get(back).map(|run| run.id);
    found.ok_or_else(|| anyhow!("{name} has only {} completed runs", page.items.len()))
}

fn print(compared: &Comparison) -> Result<()> {
    let told: Vec<String> = Change::ALL
        .into_iter()
        .filter(|change| compared.count(*change) > 0)
        .map(|change| format!("{} {}", compared.count(change), change.as_str()))
        .collect();
    let told = if told.is_empty() { "no problem in either run".to_owned() } else { told.join(", ") };
    output::line(&format!("{} → {}: {told}", compared.base.id, compared.head.id))?;
    let header = ["change", "was", "is", "check", "resource", "symptom"];
    output::list(Format::Table, &header, &compared.problems, row)?;
    for check in &compared.changed_checks {
        let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "not there".to_owned());
        output::line(&format!(
            "check {} on {}: version {} → {}",
            check.check_code,
            check.component,
            version(&check.base_version),
            version(&check.head_version)
        ))?;
    }
    if !compared.between.is_empty() {
        output::line("in between:")?;
        output::list(Format::Table, &["position", "when", "what", "who", "detail"], &compared.between, |event| {
            let detail: String = event.detail.to_string().chars().take(120).collect();
            let at = event.at.format("%Y-%m-%d %H:%M:%S").to_string();
            vec![event.position.to_string(), at, event.event_type.clone(), event.actor.clone(), detail]
        })?;
    }
    if compared.truncated {
        output::line("… there is more than is shown")?;
    }
    Ok(())
}

fn row(problem: &ComparedProblem) -> Vec<String> {
    let outcome = |seen: &Option<domain::diagnostic_run::Observation>| {
        seen.as_ref().map_or_else(|| "-".to_owned(), |seen| output::coloured(seen.outcome.as_str()))
    };
    let seen = problem.head.as_ref().or(problem.base.as_ref());
    let symptom = seen.map(|seen| seen.symptom.clone()).unwrap_or_default();
    vec![
        problem.change.as_str().to_owned(),
        outcome(&problem.base),
        outcome(&problem.head),
        problem.check_code.clone(),
        problem.resource.clone(),
        problem.reason.clone().unwrap_or(symptom),
    ]
}
