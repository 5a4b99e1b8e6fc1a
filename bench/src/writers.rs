//! What goes on beside the readers: runs of the same deployments, from their request to their end, that see some of
//! the same findings again.

use crate::commands::{planned_check, request, result};
use crate::events;
use crate::replay_story::{Told, sighting};
use crate::world;
use anyhow::Result;
use chrono::Utc;
use command_side::{BusOptions, CommandBus};
use domain::diagnostic_run::{DiagnosticRun, PlannedCheck, RunCommand};
use domain::finding::{Finding, FindingCommand, Hysteresis};
use domain::{DeploymentId, RunId};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use rand::Rng;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How far apart runs begin.
const EVERY: Duration = Duration::from_millis(100);
const CHECKS: usize = 6;
/// Findings that each of these runs sees again.
const SEEN: usize = 3;

/// Writes, in a process of its own, until its time is over.
pub struct Writer {
    bus: CommandBus,
    log: Arc<dyn EventLog>,
    deployments: Arc<[Told]>,
}

impl Writer {
    /// On this database.
    pub async fn connect(url: &str, deployments: Arc<[Told]>) -> Result<Self> {
        let log = PostgresEventLog::connect(world::pool(url, 2).await?, PostgresLogOptions::default()).await?;
        let log: Arc<dyn EventLog> = log;
        Ok(Self { bus: CommandBus::new(Arc::clone(&log), BusOptions::default()), log, deployments })
    }

    /// Writes on a fixed schedule; how many events a second that were.
    pub async fn write(&self, until: Instant) -> Result<f64> {
        let (started, from) = (Instant::now(), self.log.head().await?);
        let mut due = started;
        while due < until {
            tokio::time::sleep_until(due.into()).await;
            let at = rand::rng().random_range(0..self.deployments.len());
            self.run(&self.deployments[at]).await?;
            due += EVERY;
        }
        let written = self.log.head().await?.0 - from.0;
        Ok(written as f64 / started.elapsed().as_secs_f64())
    }

    async fn run(&self, told: &Told) -> Result<()> {
        let id = Uuid::now_v7();
        for command in life(id, told.id)? {
            self.bus.execute::<DiagnosticRun>(id, command, events::metadata()?).await?;
        }
        for _ in 0..SEEN.min(told.findings.len()) {
            let at = rand::rng().random_range(0..told.findings.len());
            let (finding, fingerprint) = told.findings[at].clone();
            let sighting = sighting(at, RunId(id), Utc::now())?;
            let command = FindingCommand::Observe { fingerprint, sighting, hysteresis: Hysteresis::default() };
            self.bus.execute::<Finding>(finding.0, command, events::metadata()?).await?;
        }
        Ok(())
    }
}

fn life(id: Uuid, deployment: DeploymentId) -> Result<Vec<RunCommand>> {
    let planned = (0..CHECKS).map(planned_check).collect::<Result<Vec<_>>>()?;
    let recorded = |checks: &[PlannedCheck]| RunCommand::RecordResults {
        results: checks.iter().map(|check| result(check.key.clone())).collect(),
    };
    let results: Vec<RunCommand> = planned.chunks(CHECKS / 2).map(recorded).collect();
    let begin = [request(RunId(id), deployment), RunCommand::Plan { checks: planned }, RunCommand::Start];
    Ok(begin.into_iter().chain(results).collect())
}
