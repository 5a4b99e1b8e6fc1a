//! `cmdiag export`: the history and its reports, to take away.

mod arguments;
mod progress;
mod sealed;

pub use arguments::ExportCommand;

use crate::cli::Format;
use crate::commands;
use crate::commands::packs::page_of;
use crate::config::Config;
use crate::output;
use crate::platform::Platform;
use anyhow::{Context, Result, anyhow, bail};
use arguments::{AuditArgs, EventsArgs, RunArgs, TableArgs, moment};
use chrono::Utc;
use domain::personal::Sealed;
use domain::{Actor, RunId, TenantId};
use export::event::StoredEvents;
use export::log::verify::Verdict;
use export::log::{LogExport, proof};
use export::output::Names;
use export::report::period::{Period, PeriodFacts};
use export::report::period_page::PeriodReport;
use export::report::{Rule, RunReport};
use export::table::TableFilter;
use export::{ExportError, Output};
use futures::future::BoxFuture;
use progress::ExportProgress;
use query_side::{PageRequest, RunFilter, RunStatus, RunView};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use vault::Vault;

/// What a run's base is called that stands for the one before it.
const PREVIOUS: &str = "previous";
/// So many runs are looked through for the one before.
const RUNS_LOOKED_AT: i64 = 200;

/// Exports, or checks an export.
pub async fn run(config: Config, actor: Actor, format: Format, command: &ExportCommand) -> Result<ExitCode> {
    match command {
        ExportCommand::Verify { folder, key } => verify(format, folder, key),
        ExportCommand::Events(arguments) => {
            let platform = Platform::connect(config, actor, false).await?;
            let result = events(&platform, format, arguments).await;
            platform.shutdown().await;
            done(result)
        }
        ExportCommand::Run(_) | ExportCommand::Table(_) | ExportCommand::Audit(_) => {
            let (platform, roles) = commands::reader(config, actor).await?;
            let result = match command {
                ExportCommand::Run(arguments) => run_report(&platform, arguments).await,
                ExportCommand::Table(arguments) => table(&platform, arguments).await,
                ExportCommand::Audit(arguments) => audit(&platform, arguments).await,
                ExportCommand::Events(_) | ExportCommand::Verify { .. } => Err(anyhow!("that was exported above")),
            };
            commands::done(platform, roles).await;
            done(result)
        }
    }
}

/// A reader that has gone (`| head`) is no failure of ours.
fn done(result: Result<()>) -> Result<ExitCode> {
    match result {
        Err(error) if matches!(error.downcast_ref(), Some(ExportError::ReaderGone)) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

fn verify(format: Format, folder: &Path, key: &[String]) -> Result<ExitCode> {
    let Verdict { manifest, mut faults } = export::log::verify::verify(folder)?;
    let seal =
        if faults.is_empty() { sealed::check(folder, &manifest, &commands::audit::keys(key)?)? } else { Vec::new() };
    faults.extend(seal.iter().filter_map(|said| said.as_ref().err().cloned()));
    if format == Format::Json {
        let positions = serde_json::json!({ "first": manifest.first_position, "last": manifest.last_position });
        output::json(&serde_json::json!({
            "files": manifest.files.len(),
            "events": manifest.events,
            "positions": positions,
            "proof": manifest.proof,
            "seal": seal.iter().flatten().collect::<Vec<_>>(),
            "faults": faults,
        }))?;
    } else {
        let first = manifest.first_position.map_or("none".to_owned(), |first| first.to_string());
        let (files, events, last) = (manifest.files.len(), manifest.events, manifest.last_position);
        output::line(&format!("{files} files, {events} events, positions {first} to {last}"))?;
        for said in seal.iter().flatten() {
            output::line(said)?;
        }
        for fault in &faults {
            output::line(fault)?;
        }
        output::line(if faults.is_empty() {
            "all of it is as the manifest says"
        } else {
            "it is NOT as the manifest says"
        })?;
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn events(platform: &Platform, format: Format, arguments: &EventsArgs) -> Result<()> {
    let source = StoredEvents(platform.pool.clone());
    if arguments.to == Path::new("-") {
        if arguments.form() != export::log::manifest::Format::CloudEvents {
            bail!("only CloudEvents without compression can be written to standard output");
        }
        let mut out = Output::open(&arguments.to).await?;
        export::log::stream(&source, arguments.after, arguments.until, &mut out).await?;
        return Ok(out.finish().await?);
    }
    let wish = LogExport {
        folder: arguments.to.clone(),
        format: arguments.form(),
        partition: arguments.partition(),
        after: arguments.after,
        until: arguments.until,
    };
    let stop = platform.cancel.child_token();
    let stopping = stop.clone();
    let watching = tokio::spawn(async move {
        crate::shutdown::requested().await;
        stopping.cancel();
    });
    let mut progress = ExportProgress::new();
    let result = export::log::export(&source, &wish, Utc::now(), &mut |at| progress.at(at), &stop).await;
    watching.abort();
    progress.ended();
    let mut manifest = result?;
    manifest.proof = proof::within(&platform.pool, manifest.last_position).await?;
    manifest.write(&wish.folder)?;
    if format == Format::Json {
        return output::json(&manifest);
    }
    let first = manifest.first_position.map_or("none".to_owned(), |first| first.to_string());
    output::line(&format!(
        "{}: {} files, {} events, positions {first} to {}; {}",
        wish.folder.display(),
        manifest.files.len(),
        manifest.events,
        manifest.last_position,
        manifest.proof.as_ref().map_or("the log is not sealed".to_owned(), |proof| {
            format!("the checkpoint of {} events proves it up to {}", proof.tree_size, proof.covers_through)
        })
    ))
}

async fn run_report(platform: &Platform, arguments: &RunArgs) -> Result<()> {
    let run = find_run(platform, &arguments.run).await?;
    let base = match arguments.base.as_deref() {
        None => None,
        Some(PREVIOUS) => Some(run_before(platform, run).await?),
        Some(other) => Some(find_run(platform, other).await?),
    };
    let last = platform.queries.run(run).await?.map_or(0, |run| run.last_position);
    let rules = rules(platform);
    let report = RunReport {
        queries: &platform.queries,
        tenant: &platform.tenant,
        rules: &rules,
        now: Utc::now(),
        proof: proof::covering(&platform.pool, last).await?,
    };
    let mut out = Output::open(&arguments.out).await?.naming(names(platform));
    report.write(arguments.form.into(), run, base, &mut out).await?;
    Ok(out.finish().await?)
}

/// Opens people's names where a report leaves the platform.
struct VaultNames {
    vault: Vault,
    tenant: TenantId,
}

impl Names for VaultNames {
    fn name<'a>(&'a self, sealed: Sealed<'a>) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let known = self.vault.personal(&self.tenant, &sealed).await;
            known
                .unwrap_or_else(|error| {
                    tracing::warn!(%error, "a name stays sealed");
                    None
                })
                .map(|personal| personal.to_string())
        })
    }
}

fn names(platform: &Platform) -> Arc<dyn Names> {
    Arc::new(VaultNames { vault: platform.vault.clone(), tenant: platform.tenant.clone() })
}

/// The checks of the packs in force, by code.
pub fn rules(platform: &Platform) -> Vec<Rule> {
    let rules = platform.packs.checks().map(|check| {
        let component = serde_json::to_value(check.component).ok();
        Rule {
            code: check.code.to_string(),
            title: check.title.clone(),
            version: check.version.clone(),
            pack: check.pack.clone(),
            component: component.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default(),
            page: page_of(check.code.as_str()).map_or_else(|| check.title.clone(), str::to_owned),
        }
    });
    rules.collect()
}

/// A run by its id, or the newest one of a deployment that has ended.
async fn find_run(platform: &Platform, named: &str) -> Result<RunId> {
    if let Ok(id) = named.parse::<RunId>() {
        // A deployment's id looks the same: a run is what was more likely meant.
        if platform.queries.run(id).await?.is_some() {
            return Ok(id);
        }
    }
    let deployment = commands::find_deployment(platform, named).await;
    let deployment = deployment.with_context(|| format!("{named:?} is neither a run's id nor a deployment"))?;
    let found = ended_runs(platform, deployment.id, None).await?;
    let newest = found.first().map(|run| run.id);
    newest.ok_or_else(|| anyhow!("no run of {} has ended: see `cmdiag runs`", deployment.name))
}

async fn run_before(platform: &Platform, run: RunId) -> Result<RunId> {
    let of = platform.queries.run(run).await?.ok_or_else(|| anyhow!("there is no run {run}"))?;
    let found = ended_runs(platform, of.deployment_id, Some(&of)).await?;
    let before = found.iter().find(|other| other.id != of.id).map(|run| run.id);
    before.ok_or_else(|| anyhow!("no run of profile {} was completed before {run}", of.profile))
}

/// Runs that have ended, newest first; those completed before another one, where one is given.
async fn ended_runs(
    platform: &Platform,
    deployment: domain::DeploymentId,
    before: Option<&RunView>,
) -> Result<Vec<RunView>> {
    let ended = RunStatus::ALL.iter().copied().filter(|status| status.has_ended()).collect();
    let filter = RunFilter {
        tenant: Some(platform.tenant.to_string()),
        deployment: Some(deployment),
        statuses: if before.is_some() { vec![RunStatus::Completed] } else { ended },
        profile: before.map(|run| run.profile.clone()),
        until: before.map(|run| run.requested_at),
        ..RunFilter::default()
    };
    Ok(platform.queries.runs(&filter, &PageRequest::first(RUNS_LOOKED_AT)).await?.items)
}

async fn table(platform: &Platform, arguments: &TableArgs) -> Result<()> {
    let deployment = match &arguments.deployment {
        Some(named) => Some(commands::find_deployment(platform, named).await?.id),
        None => None,
    };
    let run = match &arguments.run {
        Some(named) => Some(find_run(platform, named).await?),
        None => None,
    };
    let filter = TableFilter {
        deployment,
        run,
        since: arguments.since.as_deref().map(moment).transpose()?,
        until: arguments.until.as_deref().map(moment).transpose()?,
    };
    let mut out = Output::open(&arguments.out).await?.naming(names(platform));
    export::table::write(arguments.table.into(), &platform.queries, &platform.tenant, &filter, &mut out).await?;
    Ok(out.finish().await?)
}

async fn audit(platform: &Platform, arguments: &AuditArgs) -> Result<()> {
    let now = Utc::now();
    let period =
        Period { since: moment(&arguments.since)?, until: arguments.until.as_deref().map_or(Ok(now), moment)? };
    if period.since >= period.until {
        bail!("the period is empty: --since is not before --until");
    }
    let mut progress = ExportProgress::new();
    let mut at = |at, last| progress.of(at, last);
    let facts = PeriodFacts::read(&*platform.log, &platform.pool, &platform.tenant, period, &mut at).await?;
    progress.ended();
    let proof = proof::covering(&platform.pool, facts.last_position.unwrap_or(0)).await?;
    let report = PeriodReport {
        queries: &platform.queries,
        tenant: &platform.tenant,
        period,
        facts: &facts,
        proof: proof.as_ref(),
        now,
    };
    let mut out = Output::open(&arguments.out).await?.naming(names(platform));
    report.write(&mut out).await?;
    Ok(out.finish().await?)
}
