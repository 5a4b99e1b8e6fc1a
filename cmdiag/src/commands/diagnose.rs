//! `cmdiag diagnose`.

use crate::cli::{DiagnoseArgs, Format};
use crate::commands::{find_deployment, findings, shown};
use crate::output;
use crate::platform::Platform;
use crate::progress::Progress;
use anyhow::{Context, Result, anyhow, bail};
use chrono::{TimeDelta, Utc};
use domain::diagnostic_run::{DiagnosticRun, Priority, RunCommand, RunEvent, Tally};
use domain::{AnyEvent, CheckCode, DeploymentId, Outcome, Position, RunId, StreamVersion};
use event_store::StreamId;
use query_side::{CheckResultView, DeploymentView, PageRequest};
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use uuid::Uuid;

/// After its deadline a run is ended by the sweeper; this much later we stop to wait for it.
const GRACE: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The run.
    pub run: RunId,
    /// `completed`, `cancelled`, `timed out`, `failed`.
    pub how: &'static str,
    /// The worst outcome; `None` unless it completed.
    pub outcome: Option<Outcome>,
    /// How many checks ended how.
    pub tally: Tally,
    /// Why, where it did not complete.
    pub reason: Option<String>,
    /// The position of the event that ended it.
    pub position: Position,
    /// From request to end.
    pub took: TimeDelta,
}

/// Diagnoses, shows progress and findings; the exit code follows the Nagios contract.
pub async fn run(platform: &Platform, format: Format, arguments: &DiagnoseArgs) -> Result<ExitCode> {
    let deployment = find_deployment(platform, &arguments.deployment).await?;
    let checks = arguments.checks.iter().map(|code| code.parse()).collect::<Result<Vec<CheckCode>, _>>()?;
    let deadline = TimeDelta::seconds(i64::from(arguments.deadline));
    let mut progress = Progress::new(arguments.watch);
    let ended = diagnose(platform, deployment.id, &arguments.profile, checks, deadline, &mut progress).await?;
    wait_for_findings(platform, &ended).await?;
    let findings = findings::read(platform, Some(&deployment.id.to_string()), false, 500).await?;
    let unknown = platform.queries.check_results(ended.run, &[Outcome::Unknown], &PageRequest::first(500)).await?.items;
    match format {
        Format::Json => output::json(&json!({
            "deployment": deployment.id,
            "is_double": deployment.is_double,
            "run": ended.run,
            "status": ended.how,
            "outcome": ended.outcome,
            "tally": ended.tally,
            "reason": ended.reason,
            "seconds": ended.took.num_milliseconds() as f64 / 1000.0,
            "problems": problems(platform, ended.run).await?,
            "findings": findings,
            "unknown": unknown,
        }))?,
        Format::Table => print(&deployment, &ended, &findings, &unknown)?,
    }
    Ok(ExitCode::from(ended.outcome.unwrap_or(Outcome::Unknown).exit_code()))
}

/// Requests a run and follows it to its end.
pub async fn diagnose(
    platform: &Platform,
    deployment: DeploymentId,
    profile: &str,
    checks: Vec<CheckCode>,
    deadline: TimeDelta,
    progress: &mut Progress,
) -> Result<Ended> {
    let run = RunId(Uuid::now_v7());
    let requested = Utc::now();
    let command = RunCommand::Request {
        run,
        deployment,
        profile: profile.to_owned(),
        checks,
        priority: Priority::High,
        deadline: requested + deadline,
    };
    platform.bus.execute::<DiagnosticRun>(run.0, command, platform.metadata()).await?;
    let bound = deadline.to_std().unwrap_or_default() + GRACE;
    tokio::select! {
        ended = follow(platform, run, requested, progress) => ended,
        () = tokio::time::sleep(bound) => bail!("run {run} did not end by its deadline: is a role missing or stuck? see `cmdiag doctor`"),
        _ = tokio::signal::ctrl_c() => {
            let command = RunCommand::Cancel { reason: "interrupted".to_owned() };
            platform.bus.execute::<DiagnosticRun>(run.0, command, platform.metadata()).await?;
            bail!("interrupted; run {run} is cancelled")
        }
    }
}

async fn follow(
    platform: &Platform,
    run: RunId,
    requested: chrono::DateTime<Utc>,
    progress: &mut Progress,
) -> Result<Ended> {
    let stream = StreamId::new(domain::any_event::DIAGNOSTIC_RUN, &run.to_string());
    let mut events = platform.feed.subscribe_stream(stream, StreamVersion(0));
    loop {
        for event in events.next().await.context("follow the run")?.iter().flat_map(|event| event.parts()) {
            let AnyEvent::Run(what) = event.decode()? else { continue };
            let ended = |how, outcome, tally, reason, at: chrono::DateTime<Utc>| Ended {
                run,
                how,
                outcome,
                tally,
                reason,
                position: event.position,
                took: at - requested,
            };
            let ended = match what {
                RunEvent::RunPlanned { checks, .. } => {
                    progress.planned(u32::try_from(checks.len()).unwrap_or(u32::MAX));
                    continue;
                }
                RunEvent::ChecksCompleted { results, done, planned, .. } => {
                    progress.completed(&results, done, planned);
                    continue;
                }
                RunEvent::RunRequested { .. } | RunEvent::RunStarted { .. } => continue,
                RunEvent::RunCompleted { outcome, tally, at, .. } => ended("completed", Some(outcome), tally, None, at),
                RunEvent::RunCancelled { reason, tally, at, .. } => ended("cancelled", None, tally, Some(reason), at),
                RunEvent::RunTimedOut { tally, missing, at, .. } => {
                    let reason = format!("{} check(s) had not ended by the deadline", missing.len());
                    ended("timed out", None, tally, Some(reason), at)
                }
                RunEvent::RunFailed { reason, tally, at, .. } => ended("failed", None, tally, Some(reason), at),
            };
            progress.ended(&format!("{} after {:.1} s", ended.how, ended.took.num_milliseconds() as f64 / 1000.0));
            return Ok(ended);
        }
    }
}

/// Findings follow from results: waits until the process manager has answered the run's events, and the views show it.
pub async fn wait_for_findings(platform: &Platform, ended: &Ended) -> Result<()> {
    let deadline = tokio::time::Instant::now() + GRACE;
    while command_side::findings_known_up_to(&platform.pool).await? < ended.position {
        if tokio::time::Instant::now() > deadline {
            return Err(anyhow!("the findings of run {} are not known yet: see `cmdiag doctor`", ended.run));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let head = platform.log.head().await?;
    shown(platform, head).await
}

/// One problem that a run saw, or one check that it could not measure.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// The check's code.
    pub check: String,
    /// What it is about; for what could not be measured: the component.
    pub resource: String,
    /// warning, critical or unknown.
    pub outcome: String,
    /// What is seen, or why it could not be measured.
    pub said: String,
}

/// What a run saw, worst first.
pub async fn problems(platform: &Platform, run: RunId) -> Result<Vec<Problem>> {
    let outcomes = [Outcome::Critical, Outcome::Warning, Outcome::Unknown];
    let results = platform.queries.check_results(run, &outcomes, &PageRequest::first(PageRequest::MAX)).await?;
    let mut problems = Vec::new();
    for result in results.items {
        if result.outcome == Outcome::Unknown {
            problems.push((
                Outcome::Unknown,
                Problem {
                    check: result.check_code.clone(),
                    resource: result.component.clone(),
                    outcome: Outcome::Unknown.to_string(),
                    said: result.unknown_cause.unwrap_or_default(),
                },
            ));
        }
        for seen in result.observations {
            problems.push((
                seen.outcome,
                Problem {
                    check: result.check_code.clone(),
                    resource: seen.resource.to_string(),
                    outcome: seen.outcome.to_string(),
                    said: seen.symptom,
                },
            ));
        }
    }
    problems.sort_by_key(|(outcome, problem)| (std::cmp::Reverse(outcome.rank()), problem.check.clone()));
    Ok(problems.into_iter().map(|(_, problem)| problem).collect())
}

fn print(
    deployment: &DeploymentView,
    ended: &Ended,
    findings: &[query_side::FindingView],
    unknown: &[CheckResultView],
) -> Result<()> {
    for finding in findings {
        output::line(&findings::describe(finding))?;
        output::line("")?;
    }
    for result in unknown {
        let cause = result.unknown_cause.as_deref().unwrap_or("no cause given");
        let check = format!("{} ({})", result.check_code, result.component);
        output::line(&format!("{} {check}: {cause}", output::coloured("unknown")))?;
    }
    let tally = ended.tally;
    let double = if deployment.is_double { " (a double)" } else { "" };
    output::line(&format!(
        "{}{double}: run {} {} in {:.1} s: {} ok, {} warning, {} critical, {} unknown; {} finding(s) open",
        deployment.name,
        ended.run,
        ended.how,
        ended.took.num_milliseconds() as f64 / 1000.0,
        tally.ok,
        tally.warning,
        tally.critical,
        tally.unknown,
        findings.len()
    ))?;
    if let Some(reason) = &ended.reason {
        output::line(reason)?;
    }
    Ok(())
}
