//! A storm: a thousand changes of one resource's state a second, each of which leads to a plan.

use super::problems::{definition, policy_id};
use crate::events;
use crate::figure::{Figure, grouped};
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use chrono::Utc;
use command_side::{BusOptions, CommandBus};
use domain::any_event::POLICY;
use domain::policy::{
    AdmissionRequest, DEFAULT_POLICY, Mode, Policy, PolicyCommand, PolicyDefinition, RateLimit, Settlement, Span,
    answer,
};
use domain::remediation::{Admission, BlastRadius, Trigger};
use domain::{ContentHash, DeploymentId, Outcome, RemediationId, StreamVersion};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions, StreamId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

const WORKERS: usize = 20;
const A_SECOND: usize = 1_000;
/// What the policy allows of one resource within the hour that the storm is a part of.
const LIMIT: u32 = 5;

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("remediation_storm").await?;
    let log: Arc<dyn EventLog> =
        PostgresEventLog::connect(world::pool(&url, 8).await?, PostgresLogOptions::default()).await?;
    let bus = CommandBus::new(Arc::clone(&log), BusOptions::default());
    let rate = RateLimit { per_resource: LIMIT, per: Span::seconds(3_600) };
    super::problems::define(&bus, PolicyDefinition { rate, ..definition(Mode::Unattended) }).await?;
    let deployment = DeploymentId(Uuid::now_v7());
    let changes = world.pick(10, 1) * A_SECOND;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for worker in 0..WORKERS {
        tasks.spawn(change(bus.clone(), deployment, (worker, changes / WORKERS), started));
    }
    let mut let_on = 0;
    while let Some(counted) = tasks.join_next().await {
        let_on += counted??;
    }
    let second = changes as f64 / started.elapsed().as_secs_f64();
    let stream = StreamId::new(POLICY, &policy_id()?.to_string());
    let read = log.read_stream(stream, StreamVersion(0), 10_000).await?;
    let reserved = read.iter().filter(|event| event.event_type == "RemediationReserved").count();
    ensure!(reserved == let_on, "{let_on} were let on, and the history tells of {reserved}");
    let what = format!("{} changes of one resource a second, as planned: let on", grouped(A_SECOND as f64));
    // The log may not keep up with the plan: then the storm was a smaller one, and the page says so.
    let beside = format!(
        "of {} plans, in truth at {}/s; the policy allows {LIMIT} an hour and wrote {} events of it all",
        grouped(changes as f64),
        grouped(second),
        read.len()
    );
    let value = (reserved as f64, f64::from(LIMIT));
    Ok(vec![Figure::at_most("remediation.storm", &what, value, "remediations").beside(beside)])
}

/// One worker's part of the changes, on a fixed schedule; how many were let on.
async fn change(
    bus: CommandBus,
    deployment: DeploymentId,
    (worker, changes): (usize, usize),
    start: Instant,
) -> Result<usize> {
    let policy = policy_id()?.0;
    let mut let_on = 0;
    for round in 0..changes {
        let number = u32::try_from(round * WORKERS + worker)?;
        tokio::time::sleep_until((start + Duration::from_secs(1) * number / A_SECOND as u32).into()).await;
        let request = request(deployment)?;
        let command = PolicyCommand::Admit { request: Box::new(request.clone()) };
        bus.execute::<Policy>(policy, command, events::metadata()?).await?;
        let (known, _) = bus.load::<Policy>(policy).await.context("the policy")?;
        let (admission, _) = answer(&known, &request, Utc::now());
        if matches!(admission, Admission::Deferred { .. } | Admission::Forbidden) {
            continue;
        }
        let_on += 1;
        let settle = PolicyCommand::Settle {
            remediation: request.remediation,
            outcome: Settlement::Succeeded,
            attributable: true,
            failed_actions: Vec::new(),
        };
        bus.execute::<Policy>(policy, settle, events::metadata()?).await?;
    }
    Ok(let_on)
}

fn request(deployment: DeploymentId) -> Result<AdmissionRequest> {
    let remediation = RemediationId(Uuid::now_v7());
    Ok(AdmissionRequest {
        policy: DEFAULT_POLICY.parse()?,
        remediation,
        binding: ContentHash::of(&remediation)?,
        deployment,
        deployment_name: "desk".to_owned(),
        labels: BTreeMap::new(),
        check: "BENCH-VALUE".parse()?,
        check_version: "0123456789ab".to_owned(),
        runbook: "ten-steps".parse()?,
        runbook_version: "0123456789ab".to_owned(),
        actions: vec![("demo.set-value".parse()?, 1)],
        severity: Outcome::Critical,
        resource: "desk/light".parse()?,
        blast: BlastRadius { deployments: 1, ..BlastRadius::default() },
        reversible: true,
        always_approve: false,
        flapping: false,
        trigger: Trigger::Policy,
    })
}
