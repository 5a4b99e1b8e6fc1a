//! The sealer behind the log: what it costs the appends, how far it is behind, and how long a history takes to verify.

mod appends;
mod bundle;
mod lag;

use crate::figure::Figure;
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use audit::keys::attest;
use audit::{Keyring, Sealer, SealerHandle, SealerOptions};
use command_side::{BusOptions, CommandBus};
use domain::Position;
use domain::audit_keys::{AuditKeys, AuditKeysCommand, PresentedKey};
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions};
use sqlx::PgPool;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub use bundle::verify_in_child;

/// How it is measured, for the page.
pub const HOW: &str = "A log with its live feed and its sealer in one process, as `cmdiag serve` composes them; \
    checkpoints are signed every 10,000 events or ten seconds. Appends: the contestants and rounds of `append`, \
    ours with the sealer at work; before the next contestant begins, the sealer has caught up. Lag: eight \
    writers append ten events each, 125 times a second each; from the acknowledged append to the moment at \
    which the sealer says that it is sealed (in the database). Bundle: a log of a million events of about 500 \
    bytes is exported, and verified by a child process that knows nothing but the file; its memory is the \
    most that the kernel saw it use.";

/// The sealer catches up within this time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let mut figures = appends::run(world).await?;
    figures.extend(lag::run(world).await?);
    figures.extend(bundle::run(world).await?);
    Ok(figures)
}

/// A log and its sealer.
pub struct Sealed {
    /// Connections.
    pub pool: PgPool,
    /// The log.
    pub log: Arc<PostgresEventLog>,
    /// The sealer.
    pub sealer: SealerHandle,
    _feed: Arc<LiveFeed>,
    cancel: CancellationToken,
}

impl Sealed {
    /// On a new database, with a key that signs.
    pub async fn start(world: &World, name: &str) -> Result<Self> {
        let pool = world::pool(&world.database(name).await?, 6).await?;
        let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await?;
        let cancel = CancellationToken::new();
        let shared: Arc<dyn EventLog> = log.clone();
        let feed = LiveFeed::start(Arc::clone(&shared), cancel.clone());
        let keyring = Keyring::new(world.folder(name)?.join("keys"));
        register(shared, &keyring).await?;
        let options = SealerOptions::default();
        let sealer = Sealer::start(pool.clone(), log.newest(), keyring, options, cancel.clone());
        let started = Self { pool, log, sealer, _feed: feed, cancel };
        started.caught_up().await?;
        Ok(started)
    }

    /// Waits until all is sealed; how many events were not, before.
    pub async fn caught_up(&self) -> Result<i64> {
        let head = self.log.head().await?;
        let mut at = self.sealer.position();
        let behind = (head.0 - at.borrow().0).max(0);
        let sealed = tokio::time::timeout(PATIENCE, at.wait_for(|at: &Position| *at >= head)).await;
        let sealed = sealed.with_context(|| format!("not sealed within {PATIENCE:?}"))?;
        ensure!(sealed.is_ok(), "the sealer has stopped");
        Ok(behind)
    }

    /// Stops the sealer, which signs what it has.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.sealer.stopped().await;
        self.pool.close().await;
    }
}

async fn register(log: Arc<dyn EventLog>, keyring: &Keyring) -> Result<()> {
    let signer = keyring.generate()?;
    let key = signer.public();
    let proof = attest(&signer, None, &key);
    let key = PresentedKey { key_id: key.id(), public_key: key.to_hex(), proof };
    let bus = CommandBus::new(log, BusOptions::default());
    let command = AuditKeysCommand::Register { key };
    bus.execute::<AuditKeys>(AuditKeys::id(), command, crate::events::metadata()?).await.context("register a key")?;
    Ok(())
}

/// The most memory that this process ever used, in megabytes, as the kernel has it.
fn memory_peak() -> Result<f64> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).context("read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().context("VmHWM")?;
    Ok(kilobytes / 1_024.0)
}
