//! `cmdiag demo`: the whole way on the lab.

use crate::cli::{DemoArgs, Role};
use crate::commands::diagnose::{self, Ended};
use crate::commands::lab::{self as lab_command, RunningLab};
use crate::commands::{deployment, done, findings, serve};
use crate::config::Config;
use crate::deployment_file::DeploymentFile;
use crate::output;
use crate::platform::{Platform, Roles};
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use domain::deployment::{Component, Deployment, DeploymentCommand};
use domain::{Actor, DeploymentId};
use lab::{Fault, Lab, Score, SeenFinding};
use query_side::DeploymentView;
use std::process::ExitCode;
use std::time::Duration;

/// Planted where nobody names others: one of each kind of probe, none that hides another.
const DEFAULT_FAULTS: [&str; 16] = [
    "audit-log-gap",
    "certificate-expiring",
    "delete-retries",
    "error-burst",
    "file-corrupt",
    "file-missing",
    "invalid-index",
    "orphan-files",
    "poison-event",
    "processor-suspended",
    "redis-memory-full",
    "render-stuck",
    "sequence-near-end",
    "store-near-capacity",
    "wgs-config-behind",
    "wgs-down",
];

/// Starts everything, plants faults, diagnoses, scores, serves.
pub async fn run(config: Config, actor: Actor, arguments: &DemoArgs) -> Result<ExitCode> {
    let faults = chosen(&arguments.faults)?;
    output::line("Starting the platform …")?;
    let platform = Platform::connect(config, actor, true).await?;
    output::line(&format!("Its servers: {}.", platform.servers.describe()))?;
    let roles = Roles::start(&platform, &Role::ALL);
    let result = match serve::listen(&platform, &roles, arguments.listen, true).await {
        Ok(served) => {
            let result = on_lab(&platform, arguments, faults, &served.url()).await;
            served.stop().await;
            result
        }
        Err(error) => Err(error),
    };
    done(platform, roles).await;
    result
}

/// The lab's part of it: however it ends, the lab is stopped in good order.
async fn on_lab(platform: &Platform, arguments: &DemoArgs, faults: Chosen, url: &str) -> Result<ExitCode> {
    output::line("Starting the lab: a DOUBLE of a Content Manager deployment on real parts (made the first time) …")?;
    let running = RunningLab::start(&platform.config, arguments.scale).await?;
    let result = async {
        let faults = faults.possible(running.has_cache())?;
        let result = tokio::select! {
            result = show(platform, &running.lab, &faults) => result?,
            () = crate::shutdown::requested() => return Ok(ExitCode::FAILURE),
        };
        if !arguments.once {
            output::line(&format!("\nThe API is at {url}/graphql; Ctrl-C ends the demo and keeps its data."))?;
            crate::shutdown::requested().await;
        }
        Ok(result)
    };
    let result = result.await;
    running.stop().await;
    result
}

/// The faults to be planted.
struct Chosen {
    faults: Vec<&'static Fault>,
    /// Asked for by their names, so that none may be left out in silence.
    by_name: bool,
}

impl Chosen {
    /// Without a cache its faults can not be planted.
    fn possible(mut self, has_cache: bool) -> Result<Vec<&'static Fault>> {
        let needs_cache = |fault: &Fault| fault.name.starts_with("redis-");
        if !has_cache {
            if let Some(fault) = self.faults.iter().find(|fault| self.by_name && needs_cache(fault)) {
                bail!("{} needs a Redis in the lab, and there is none (Debian's package redis-server)", fault.name);
            }
            self.faults.retain(|fault| !needs_cache(fault));
        }
        Ok(self.faults)
    }
}

fn chosen(names: &[String]) -> Result<Chosen> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (faults, by_name) = match names.as_slice() {
        [] => (DEFAULT_FAULTS.iter().map(|name| lab_command::fault(name)).collect::<Result<_>>()?, false),
        ["all"] => (lab::faults().iter().collect(), false),
        named => (named.iter().map(|name| lab_command::fault(name)).collect::<Result<_>>()?, true),
    };
    Ok(Chosen { faults, by_name })
}

async fn show(platform: &Platform, lab: &Lab, faults: &[&'static Fault]) -> Result<ExitCode> {
    let deployment = under_care(platform, lab).await?;
    plant(lab, faults).await?;
    output::line(&format!("Diagnosing {} (a double) with every check that applies …", deployment.name))?;
    let mut progress = Progress::new(true);
    let deadline = TimeDelta::seconds(120);
    let ended = diagnose::diagnose(platform, deployment.id, "full", Vec::new(), deadline, &mut progress).await?;
    diagnose::wait_for_findings(platform, &ended).await?;
    let seen = print_problems(platform, deployment.id, &ended).await?;
    output::line(&format!(
        "Run {} {} in {:.1} s: {} checks, {} finding(s).",
        ended.run,
        ended.how,
        ended.took.num_milliseconds() as f64 / 1000.0,
        ended.tally.ok + ended.tally.warning + ended.tally.critical + ended.tally.unknown,
        seen.iter().filter(|one| one.outcome != "unknown").count()
    ))?;
    let score = lab::score(faults, &seen);
    print_score(&score, faults.len())?;
    let perfect = ended.outcome.is_some() && score.missed.is_empty() && score.false_findings.is_empty();
    Ok(if perfect { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what this run saw: each problem by its finding, and what could not be measured.
async fn print_problems(platform: &Platform, deployment: DeploymentId, ended: &Ended) -> Result<Vec<SeenFinding>> {
    let open = findings::read(platform, Some(&deployment.to_string()), false, 500).await?;
    let seen = diagnose::problems(platform, ended.run).await?;
    for one in &seen {
        let finding =
            open.iter().find(|finding| (&finding.check_code, &finding.resource) == (&one.check, &one.resource));
        match finding {
            Some(finding) => output::line(&format!("{}\n", findings::describe(finding)))?,
            None => output::line(&format!(
                "{} {} {}: {}\n",
                output::coloured(&one.outcome),
                one.check,
                one.resource,
                one.said
            ))?,
        }
    }
    Ok(seen
        .into_iter()
        .map(|one| {
            // The lab knows the names that it planted.
            let resource = output::opened(&one.resource).into_owned();
            SeenFinding { check: one.check, resource, outcome: one.outcome }
        })
        .collect())
}

fn print_score(score: &Score, planted: usize) -> Result<()> {
    output::line(&format!(
        "\nScore against the {planted} planted fault(s) of the double: {} found, {} missed, {} false.",
        score.found.len(),
        score.missed.len(),
        score.false_findings.len()
    ))?;
    for name in &score.missed {
        output::line(&format!("  {}: {name}", output::coloured("missed")))?;
    }
    for finding in &score.false_findings {
        output::line(&format!(
            "  {}: {} on {} ({})",
            output::coloured("false"),
            finding.check,
            finding.resource,
            finding.outcome
        ))?;
    }
    Ok(())
}

/// Registers the lab the first time; later brings its components up to date (ports may have changed).
async fn under_care(platform: &Platform, lab: &Lab) -> Result<DeploymentView> {
    let file = lab_command::deployment_file(lab.description())?;
    let tenant = platform.tenant.as_str();
    let known = platform.queries.deployment_named(&file.name, Some(tenant)).await?;
    let known = known.filter(|deployment| deployment.retired_at.is_none());
    let id = match known {
        Some(known) => {
            refresh(platform, &known, file).await?;
            known.id
        }
        None => {
            output::line(&format!("Registering {} …", file.name))?;
            deployment::register(platform, file).await?
        }
    };
    read_again(platform, id).await
}

async fn read_again(platform: &Platform, id: DeploymentId) -> Result<DeploymentView> {
    let found = platform.queries.deployment(id).await?;
    found.map(|deployment| (*deployment).clone()).context("the lab's deployment is not in the views")
}

async fn refresh(platform: &Platform, known: &DeploymentView, file: DeploymentFile) -> Result<()> {
    let DeploymentCommand::Register { components, .. } = file.into_command()? else { return Ok(()) };
    let mut position = None;
    for component in components {
        let old: Option<&Component> = known.components.iter().find(|other| other.name == component.name);
        let command = match old {
            Some(old) if *old == component => continue,
            Some(_) => DeploymentCommand::ChangeComponent { component },
            None => DeploymentCommand::AttachComponent { component },
        };
        let done = platform.bus.execute::<Deployment>(known.id.0, command, platform.metadata()).await?;
        position = Some(done.position);
    }
    match position {
        Some(position) => crate::commands::shown(platform, position).await,
        None => Ok(()),
    }
}

/// Plants what is asked for, mends what else was planted, and waits until the newest fault shows.
async fn plant(lab: &Lab, faults: &[&'static Fault]) -> Result<()> {
    let handle = lab.handle();
    for other in lab::planted(handle)? {
        if !faults.iter().any(|fault| fault.name == other.name) {
            lab::mend_fault(handle, other.name).await?;
            output::line(&format!("mended {}", other.name))?;
        }
    }
    let mut ripe_after = Duration::ZERO;
    for fault in faults {
        if lab::break_fault(handle, fault.name).await? == lab::Broken::Planted {
            output::line(&format!("planted {}: {}", fault.name, fault.title))?;
            ripe_after = ripe_after.max(fault.ripe_after);
        }
    }
    if !ripe_after.is_zero() {
        output::line(&format!("waiting {} s until the newest fault shows …", ripe_after.as_secs()))?;
        tokio::time::sleep(ripe_after).await;
    }
    Ok(())
}
