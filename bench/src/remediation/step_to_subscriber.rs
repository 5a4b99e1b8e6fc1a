//! From the commit of a step's event to the GraphQL subscriber that follows its remediation.

use super::problems::PACKS;
use crate::events;
use crate::figure::{Figure, grouped};
use crate::latencies::Latencies;
use crate::serve::Serve;
use crate::socket::Subscription;
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use command_side::{BusOptions, CommandBus};
use domain::diagnostic_run::CheckKey;
use domain::remediation::{
    Admission, BeforeImage, BlastRadius, Outputs, Plan, PlannedStep, PostCheck, Problem, Remediation,
    RemediationCommand, StepPreview, Trigger, Undoing,
};
use domain::{ContentHash, DeploymentId, FindingId, Outcome, StepName};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

const REMEDIATIONS: usize = 100;
const EVERY: Duration = Duration::from_millis(100);
const BAR_MS: f64 = 50.0;
/// Intent, before-image, success.
const EVENTS_PER_STEP: usize = 3;
const CHECK_VERSION: &str = "0123456789ab";
const SILENCE: Duration = Duration::from_secs(5);
const QUERY: &str =
    "subscription ($id: ID!) { remediationProgress(remediationId: $id) { position eventType done planned } }";

type Moments = Vec<(i64, Instant)>;

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("remediation_subscribers").await?;
    let log: Arc<dyn EventLog> =
        PostgresEventLog::connect(world::pool(&url, 8).await?, PostgresLogOptions::default()).await?;
    let bus = CommandBus::new(log, BusOptions::default());
    let name = "remediation-subscribers";
    with_packs(world, name)?;
    let serve = Serve::start(world, name, &url, "api,projector").await?;
    let steps = world.pick(34, 6);
    let mut begun = Vec::with_capacity(REMEDIATIONS);
    for _ in 0..REMEDIATIONS {
        begun.push(begin(&bus, steps).await?);
    }
    let measured = measure(&bus, serve.address, &begun, steps).await;
    serve.stop().await?;
    judge(&measured?)
}

/// The server of this folder loads the bench's packs.
pub(super) fn with_packs(world: &World, name: &str) -> Result<()> {
    let file = world.folder(name)?.join("cmdiag.toml");
    let text = format!("[engine]\npacks_dir = {}\n", toml::Value::from(PACKS));
    std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))
}

fn judge(measured: &[(Moments, Moments)]) -> Result<Vec<Figure>> {
    let mut latencies = Latencies::new()?;
    let (mut missed, mut early) = (0, 0);
    for (commits, receipts) in measured {
        for (position, committed) in commits {
            // Every event has a message of its own.
            match receipts.iter().find(|(received, _)| received == position) {
                Some((_, received)) => {
                    early += usize::from(received < committed);
                    latencies.record(received.saturating_duration_since(*committed));
                }
                None => missed += 1,
            }
        }
    }
    let commits = measured.iter().flat_map(|(commits, _)| commits.iter().map(|(_, at)| *at));
    let (first, last) = (commits.clone().min(), commits.max());
    let span = last.zip(first).map_or(0.0, |(last, first)| (last - first).as_secs_f64());
    let rate = latencies.count() as f64 / span;
    ensure!(rate > 800.0, "only {rate:.0} events/s were written: the schedule was not kept");
    let beside = format!(
        "{}, longest {:.1} ms; {} events at {}/s, {early} of them received before the writer knew of its commit",
        latencies.in_words(),
        latencies.max_ms(),
        grouped(latencies.count() as f64),
        grouped(rate)
    );
    let what = "100 remediations followed, 1,000 events of steps a second: from commit to subscriber, p99";
    let p99 = latencies.percentile_ms(99.0);
    Ok(vec![
        Figure::below("remediation.step-to-subscriber", what, (p99, BAR_MS), "ms").beside(beside),
        Figure::at_most(
            "remediation.step-to-subscriber-missed",
            "events of steps that no message told of",
            (f64::from(missed), 0.0),
            "events",
        ),
    ])
}

/// A remediation in execution, all of whose steps are to be done.
async fn begin(bus: &CommandBus, steps: usize) -> Result<Uuid> {
    let id = Uuid::now_v7();
    let deployment = DeploymentId(Uuid::now_v7());
    let problem = Problem {
        finding: FindingId::of(deployment, &"BENCH-VALUE".parse()?, &"desk/light".parse()?),
        deployment,
        check: "BENCH-VALUE".parse()?,
        component: "desk".parse()?,
        resource: "desk/light".parse()?,
        severity: Outcome::Critical,
    };
    let (plan, previews) = (plan(&problem, steps)?, previews(steps)?);
    let states = previews.iter().map(|preview| preview.state.clone()).collect();
    let check_version = CHECK_VERSION.to_owned();
    let admission = Admission::Unattended;
    let commands = [
        RemediationCommand::Request { problem, runbook: None, trigger: Trigger::Person, dry_run: false },
        RemediationCommand::RecordPlan { plan, check_version: check_version.clone() },
        RemediationCommand::RecordDryRun { previews },
        RemediationCommand::Admit { policy: "default".parse()?, admission, reason: "the bench".to_owned() },
        RemediationCommand::Execute,
        RemediationCommand::Begin { states, check_version },
    ];
    for command in commands {
        bus.execute::<Remediation>(id, command, events::metadata()?).await?;
    }
    Ok(id)
}

fn step_name(number: usize) -> Result<StepName> {
    Ok(format!("step-{number}").parse()?)
}

fn nothing() -> Result<ContentHash> {
    Ok(ContentHash::of(&json!({}))?)
}

/// Steps that do nothing, one after the other.
fn plan(problem: &Problem, steps: usize) -> Result<Plan> {
    let step = |number: usize| -> Result<PlannedStep> {
        let after = number.checked_sub(1).map(step_name).transpose()?;
        Ok(PlannedStep {
            name: step_name(number)?,
            title: format!("Do nothing ({number})"),
            action: "demo.noop".parse()?,
            action_version: 1,
            component: problem.component.clone(),
            after: after.into_iter().collect::<BTreeSet<_>>(),
            arguments: BTreeMap::new(),
            undo: Undoing::FromBeforeImage,
            always_approve: false,
            deadline_ms: 5_000,
        })
    };
    let checks = vec![CheckKey { check: problem.check.clone(), component: problem.component.clone() }];
    Ok(Plan {
        runbook: "ten-steps".parse()?,
        version: CHECK_VERSION.to_owned(),
        title: "Do nothing, often".to_owned(),
        steps: (0..steps).map(step).collect::<Result<_>>()?,
        post_check: PostCheck { checks, within_ms: 1_000 },
    })
}

fn previews(steps: usize) -> Result<Vec<StepPreview>> {
    let preview = |number| {
        Ok(StepPreview {
            step: step_name(number)?,
            changes: Vec::new(),
            omitted: 0,
            state: Some(nothing()?),
            blast: BlastRadius { deployments: 1, ..BlastRadius::default() },
            undetermined: None,
        })
    };
    (0..steps).map(preview).collect()
}

/// The events of the steps, in order.
fn commands(steps: usize) -> Result<Vec<RemediationCommand>> {
    let mut commands = Vec::with_capacity(steps * EVENTS_PER_STEP);
    for number in 0..steps {
        let step = step_name(number)?;
        let image = BeforeImage { state: nothing()?, inline: Some(json!({})), kept: None };
        commands.push(RemediationCommand::StartStep { step: step.clone() });
        commands.push(RemediationCommand::RecordBeforeImage { step: step.clone(), image });
        commands.push(RemediationCommand::RecordStepSucceeded { step, outputs: Outputs::new(), found_done: false });
    }
    Ok(commands)
}

/// Each remediation's commits and what its subscriber received.
async fn measure(
    bus: &CommandBus,
    address: SocketAddr,
    begun: &[Uuid],
    steps: usize,
) -> Result<Vec<(Moments, Moments)>> {
    let mut subscriptions = Vec::with_capacity(begun.len());
    for id in begun {
        let mut subscription = Subscription::open(address, QUERY, json!({ "id": id.to_string() })).await?;
        // What happened before is told first: when it has come to its beginning, the subscription stands.
        let beginning = async {
            while let Some(data) = subscription.next().await? {
                if data["remediationProgress"]["eventType"] == "ExecutionStarted" {
                    return Ok(());
                }
            }
            anyhow::bail!("the subscription has ended")
        };
        tokio::time::timeout(SILENCE * 4, beginning).await.context("the remediation's beginning in time")??;
        subscriptions.push(subscription);
    }
    let start = Instant::now() + Duration::from_millis(200);
    let (mut writing, mut following) = (JoinSet::new(), JoinSet::new());
    for (number, (id, subscription)) in begun.iter().zip(subscriptions).enumerate() {
        let offset = EVERY.mul_f64(number as f64 / begun.len() as f64);
        writing.spawn(write(bus.clone(), *id, number, steps, start + offset));
        following.spawn(follow(subscription, number, steps));
    }
    let mut measured: Vec<(Moments, Moments)> = begun.iter().map(|_| Default::default()).collect();
    while let Some(ended) = writing.join_next().await {
        let (number, commits) = ended??;
        measured[number].0 = commits;
    }
    while let Some(ended) = following.join_next().await {
        let (number, receipts) = ended??;
        measured[number].1 = receipts;
    }
    Ok(measured)
}

async fn write(bus: CommandBus, id: Uuid, number: usize, steps: usize, start: Instant) -> Result<(usize, Moments)> {
    let mut commits = Vec::with_capacity(steps * EVENTS_PER_STEP);
    for (round, command) in commands(steps)?.into_iter().enumerate() {
        tokio::time::sleep_until((start + EVERY * u32::try_from(round)?).into()).await;
        let executed = bus.execute::<Remediation>(id, command, events::metadata()?).await?;
        commits.push((executed.position.0, Instant::now()));
    }
    Ok((number, commits))
}

/// Takes messages until all steps are done, or none has come for five seconds.
async fn follow(mut subscription: Subscription, number: usize, steps: usize) -> Result<(usize, Moments)> {
    let mut receipts = Vec::with_capacity(steps * EVENTS_PER_STEP);
    loop {
        let next = tokio::time::timeout(SILENCE, subscription.next()).await;
        let Ok(message) = next else { return Ok((number, receipts)) };
        let received = Instant::now();
        let Some(data) = message? else { return Ok((number, receipts)) };
        let progress = &data["remediationProgress"];
        receipts.push((progress["position"].as_i64().context("a position")?, received));
        if progress["done"].as_u64() == Some(steps as u64) {
            return Ok((number, receipts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Decider as _;

    /// What the bench records is what a remediation accepts, to the last step.
    #[test]
    fn every_command_is_accepted_and_gives_one_event() {
        let problem = Problem {
            finding: FindingId(Uuid::nil()),
            deployment: DeploymentId(Uuid::nil()),
            check: "BENCH-VALUE".parse().unwrap(),
            component: "desk".parse().unwrap(),
            resource: "desk/light".parse().unwrap(),
            severity: Outcome::Critical,
        };
        let plan = plan(&problem, 34).unwrap();
        assert_eq!(plan.steps.len(), previews(34).unwrap().len());
        assert_eq!(commands(34).unwrap().len(), 34 * EVENTS_PER_STEP);
        assert!(plan.steps[33].after.contains(&step_name(32).unwrap()));
        assert_eq!(Remediation::command_name(&commands(1).unwrap()[0]), "start_step");
    }
}
