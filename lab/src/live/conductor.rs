//! The tasks of the process that keeps the lab up: one brings switches into force, one lets time pass.

use crate::control::{Control, ControlAck, POLL, Switch};
use crate::error::LabError;
use crate::fault::refresh_planted;
use crate::handle::LabHandle;
use crate::layout::{read_json, write_json};
use crate::live::audit::AuditLog;
use crate::live::logs::Logs;
use crate::live::sessions::Sessions;
use crate::live::wgs::WgsDoubles;
use crate::live::{processors, rows};
use crate::service_manager;
use crate::web::{self, Listener};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

const TICK: Duration = Duration::from_secs(1);
/// In ticks.
const ROWS_EVERY: u64 = 10;
const REFRESH_EVERY: u64 = 15;
const VACUUM_EVERY: u64 = 45;

/// What both tasks share.
pub struct Conductor {
    handle: LabHandle,
    pool: PgPool,
    switches: watch::Sender<Arc<Vec<Switch>>>,
    files: Mutex<Files>,
    ports: Mutex<Ports>,
}

/// What is written to.
struct Files {
    logs: Logs,
    audit: AuditLog,
}

/// What is listened on and connected to.
struct Ports {
    wgs: WgsDoubles,
    web: Listener,
    sessions: Sessions,
    /// How often each service had been started when that was last brought into force.
    starts: BTreeMap<String, u64>,
}

impl Conductor {
    /// Nothing moves yet.
    pub fn new(
        handle: LabHandle,
        pool: PgPool,
        switches: watch::Sender<Arc<Vec<Switch>>>,
        (wgs, web): (WgsDoubles, Listener),
        sessions: Sessions,
    ) -> Result<Self, LabError> {
        let files = Files { logs: Logs::open(handle.folders())?, audit: AuditLog::new(handle.folders()) };
        let ports = Ports { wgs, web, sessions, starts: BTreeMap::new() };
        Ok(Self { handle, pool, switches, files: Mutex::new(files), ports: Mutex::new(ports) })
    }

    /// Brings all into the state of a lab that was never down, planted faults included. Returns the generation of the
    /// switches.
    pub async fn begin(&self) -> Result<u64, LabError> {
        let control: Control = read_json(&self.handle.folders().control())?.unwrap_or_default();
        service_manager::prepare(self.handle.folders())?;
        self.ports.lock().await.starts = starts(&control);
        rows::refresh_after_pause(&self.pool, self.now()).await?;
        // In force before the logs catch up: a silent log stays silent.
        if let Some(failure) = self.enforce(&control, true).await? {
            return Err(LabError::NotInForce { fault: "planted before".to_owned(), reason: failure });
        }
        refresh_planted(&self.handle).await?;
        rows::vacuum(&self.pool).await?;
        Ok(control.generation)
    }

    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        (self.handle.clock())()
    }

    /// Watches `control.json`, and what services are told, until cancelled.
    pub async fn watch_control(&self, mut generation: u64, cancel: CancellationToken) {
        while !sleep(POLL, &cancel).await {
            let done = async {
                let folders = self.handle.folders();
                let told = service_manager::take_requests(folders, self.handle.manifest().born, self.now())?;
                let control: Option<Control> = read_json(&folders.control())?;
                let mut failure = None;
                if let Some(control) = control.filter(|control| control.generation != generation) {
                    generation = control.generation;
                    failure = self.enforce(&control, false).await?;
                }
                service_manager::answer(folders, told, failure.as_deref())
            };
            if let Err(error) = done.await {
                tracing::warn!(error = %error, "the lab could not follow its control file");
            }
        }
    }

    /// Lets time pass until cancelled.
    pub async fn pass_time(&self, cancel: CancellationToken) {
        let mut count = 0_u64;
        while !sleep(TICK, &cancel).await {
            count += 1;
            if let Err(error) = self.tick(count).await {
                tracing::warn!(error = %error, "the lab missed a beat");
            }
        }
    }

    async fn tick(&self, count: u64) -> Result<(), LabError> {
        let switches = Arc::clone(&self.switches.borrow());
        self.write_files(&switches).await?;
        self.advance(&switches).await?;
        if count.is_multiple_of(ROWS_EVERY) {
            rows::tick(&self.pool, self.now()).await?;
        }
        if count.is_multiple_of(REFRESH_EVERY) {
            refresh_planted(&self.handle).await?;
        }
        if count.is_multiple_of(VACUUM_EVERY) {
            rows::vacuum(&self.pool).await?;
        }
        Ok(())
    }

    async fn write_files(&self, switches: &[Switch]) -> Result<(), LabError> {
        let mut files = self.files.lock().await;
        files.logs.tick(self.now())?;
        if switches.contains(&Switch::AuditSilent) {
            files.audit.forget_last();
            return Ok(());
        }
        files.audit.tick(self.now())
    }

    async fn advance(&self, switches: &[Switch]) -> Result<(), LabError> {
        processors::tick(&self.pool, switches, self.handle.manifest().born, self.now()).await
    }

    /// Brings the switches into force and says so; what failed is in the answer, and returned.
    async fn enforce(&self, control: &Control, first: bool) -> Result<Option<String>, LabError> {
        let switches: Arc<Vec<Switch>> = Arc::new(control.in_force());
        self.switches.send_replace(Arc::clone(&switches));
        let applied = self.apply(&switches, starts(control), first).await;
        let failure = applied.err().map(|error| crate::with_causes(&error));
        let ack = ControlAck { generation: control.generation, failure: failure.clone() };
        write_json(&self.handle.folders().control_ack(), &ack)?;
        Ok(failure)
    }

    async fn apply(&self, switches: &[Switch], starts: BTreeMap<String, u64>, first: bool) -> Result<(), LabError> {
        web::show(self.handle.folders(), switches)?;
        self.apply_to_ports(switches, starts).await?;
        {
            let mut files = self.files.lock().await;
            if first {
                files.logs.silence(switches);
                files.logs.catch_up(self.now())?;
            }
            files.logs.apply(switches, self.now())?;
        }
        self.write_files(switches).await?;
        self.advance(switches).await
    }

    /// Opens and closes ports and sessions; services that were started since the last time begin anew.
    async fn apply_to_ports(&self, switches: &[Switch], starts: BTreeMap<String, u64>) -> Result<(), LabError> {
        let (mut closed, mut draining) = (Vec::new(), Vec::new());
        for switch in switches {
            match switch {
                Switch::CloseWgs { wgs } => closed.push(wgs.as_str()),
                Switch::Drain { service } => draining.push(service.as_str()),
                _ => {}
            }
        }
        let mut ports = self.ports.lock().await;
        let begun = |(name, count): &(&String, &u64)| ports.starts.get(*name).is_none_or(|before| before < *count);
        let fresh: Vec<&str> = starts.iter().filter(begun).map(|(name, _)| name.as_str()).collect();
        ports.wgs.apply(&closed, &draining, &fresh).await?;
        ports.web.apply(!switches.contains(&Switch::CloseWeb), fresh.contains(&"web")).await?;
        ports.sessions.apply(switches).await?;
        if fresh.contains(&"render") {
            rows::work_off_render_queue(&self.pool).await?;
        }
        // Only now: what failed is tried again.
        ports.starts = starts;
        Ok(())
    }
}

/// How often each service was started.
fn starts(control: &Control) -> BTreeMap<String, u64> {
    control.services.iter().map(|(name, service)| (name.clone(), service.starts)).collect()
}

/// Sleeps; true where that was cancelled.
async fn sleep(span: Duration, cancel: &CancellationToken) -> bool {
    tokio::select! {
        () = cancel.cancelled() => true,
        () = tokio::time::sleep(span) => false,
    }
}
