//! The composition root: servers, pools, log, feed, bus, queries, and the roles on top of them.

pub mod auditing;
mod catalogue;
pub mod event_log;
pub mod exchanges;
mod explain;
mod health;
pub mod privacy;
mod roles;
mod servers;

pub use catalogue::Catalogue;
pub use explain::WhatIfs;
pub use health::Parts;
pub use roles::Roles;
pub use servers::Servers;

use crate::config::Config;
use anyhow::{Context, Result, bail};
use command_side::{BusOptions, CommandBus, SnapshotOptions, Snapshots};
use domain::{Actor, CommandId, Metadata, TenantId};
use engine::evidence::EvidenceStore;
use engine::pack::Packs;
use event_log::{Copied, OpenLog};
use event_store::{EventLog, LiveFeed};
use query_side::{Cache, CacheOptions, Queries};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vault::Vault;

/// A query that takes longer than this is cut off: every one has an index.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// All that a process of ours shares.
pub struct Platform {
    /// The configuration in force.
    pub config: Config,
    /// Who acts, where nobody else is named.
    pub actor: Actor,
    /// Whose data it is.
    pub tenant: TenantId,
    /// The servers of our own, where none are configured.
    pub servers: Servers,
    /// Connections for everything but the event log's own.
    pub pool: PgPool,
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// How far the log's copy in the database is, where the log itself is elsewhere.
    pub copied: Option<Copied>,
    /// The live feed of this process.
    pub feed: Arc<LiveFeed>,
    /// Seals and opens personal data.
    pub vault: Vault,
    /// The command bus of this process.
    pub bus: Arc<CommandBus>,
    /// Reads.
    pub queries: Queries,
    /// The check packs in force.
    pub packs: Arc<Packs>,
    /// Cancelled when the process ends.
    pub cancel: CancellationToken,
}

impl Platform {
    /// Connects to everything, starting private servers where none are configured. `redis`: whether a shared cache is
    /// worth starting for this command.
    pub async fn connect(config: Config, actor: Actor, redis: bool) -> Result<Self> {
        let servers = Servers::start(&config, redis).await?;
        let url = servers.database_url();
        if servers.owns_database() {
            migrations::migrate(servers.owner_url()).await.context("migrate the private database")?;
        } else {
            require_migrated(url).await?;
        }
        let pool = pool(url, config.database.max_connections)?;
        let cancel = CancellationToken::new();
        let OpenLog { log, copied } = OpenLog::connect(&config.event_store, &pool, &cancel).await?;
        let feed = LiveFeed::start(Arc::clone(&log), cancel.clone());
        let vault = privacy::open(&config, &pool, servers.owns_database()).await?;
        vault.follow(Arc::clone(&feed), cancel.clone());
        let snapshots = Snapshots::start(pool.clone(), SnapshotOptions::default(), &cancel);
        let options = BusOptions { vault: vault.clone(), snapshots: Some(snapshots), ..BusOptions::default() };
        let bus = CommandBus::new(Arc::clone(&log), options);
        let bus = Arc::new(bus);
        let options = CacheOptions { redis_url: servers.redis_url().map(str::to_owned), ..CacheOptions::default() };
        let cache = Cache::start(options, pool.clone(), Arc::clone(&log), Arc::clone(&feed), &cancel);
        let evidence = Arc::new(explain::StoredEvidence(EvidenceStore::new(pool.clone())));
        let queries = Queries::new(pool.clone(), cache).with_log(Arc::clone(&log)).with_evidence(evidence);
        let packs = Arc::new(load_packs(&config)?);
        let tenant: TenantId = config.tenant.as_deref().unwrap_or("default").parse().context("tenant")?;
        crate::output::open_with(vault.clone(), tenant.clone());
        Ok(Self { config, actor, tenant, servers, pool, log, copied, feed, vault, bus, queries, packs, cancel })
    }

    /// Metadata of a new command by whoever runs this process.
    pub fn metadata(&self) -> Metadata {
        Metadata::new(self.actor.clone(), self.tenant.clone(), CommandId(Uuid::now_v7()))
    }

    /// Closes the connections and stops the private servers in good order.
    pub async fn shutdown(self) {
        self.cancel.cancel();
        drop(self.queries);
        if tokio::time::timeout(Duration::from_secs(5), self.pool.close()).await.is_err() {
            tracing::warn!("connections were still in use after 5 s");
        }
        self.servers.stop().await;
    }
}

/// The packs of the configured folder, or the embedded ones.
pub fn load_packs(config: &Config) -> Result<Packs> {
    let loaded = match &config.engine.packs_dir {
        Some(folder) => Packs::load(folder),
        None => Packs::embedded(),
    };
    loaded.map_err(|errors| crate::commands::packs::explained(&errors))
}

fn pool(url: &str, connections: u32) -> Result<PgPool> {
    let timeout = STATEMENT_TIMEOUT.as_millis().to_string();
    let options = migrations::connect_options(url).context("the database's URL")?;
    let options =
        options.options([("statement_timeout", timeout), ("idle_in_transaction_session_timeout", "60000".into())]);
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(options))
}

async fn require_migrated(url: &str) -> Result<()> {
    let missing = tokio::time::timeout(Duration::from_secs(15), migrations::pending(url))
        .await
        .context("the database did not answer within 15 s")?
        .context("the configured database")?;
    if missing > 0 {
        bail!("{missing} migration(s) are missing in the configured database: run `cmdiag migrate` first");
    }
    Ok(())
}
