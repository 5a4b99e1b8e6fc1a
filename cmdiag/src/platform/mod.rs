//! The composition root: servers, pools, log, feed, bus, queries, and the roles on top of them.

mod catalogue;
mod health;
mod roles;
mod servers;

pub use catalogue::Catalogue;
pub use health::Parts;
pub use roles::Roles;
pub use servers::Servers;

use crate::config::Config;
use anyhow::{Context, Result, bail};
use command_side::{BusOptions, CommandBus};
use domain::{Actor, CommandId, Metadata, TenantId};
use engine::pack::Packs;
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions};
use query_side::{Cache, CacheOptions, Queries};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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
    /// The live feed of this process.
    pub feed: Arc<LiveFeed>,
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
            migrations::migrate(url).await.context("migrate the private database")?;
        } else {
            require_migrated(url).await?;
        }
        let pool = pool(url, config.database.max_connections)?;
        let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default())
            .await
            .context("open the event log")?;
        let log: Arc<dyn EventLog> = log;
        let cancel = CancellationToken::new();
        let feed = LiveFeed::start(Arc::clone(&log), cancel.clone());
        let bus = Arc::new(CommandBus::new(Arc::clone(&log), BusOptions::default()));
        let options = CacheOptions { redis_url: servers.redis_url().map(str::to_owned), ..CacheOptions::default() };
        let cache = Cache::start(options, pool.clone(), Arc::clone(&log), Arc::clone(&feed), &cancel);
        let queries = Queries::new(pool.clone(), cache).with_log(Arc::clone(&log));
        let packs = Arc::new(load_packs(&config)?);
        let tenant = config.tenant.as_deref().unwrap_or("default").parse().context("tenant")?;
        Ok(Self { config, actor, tenant, servers, pool, log, feed, bus, queries, packs, cancel })
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
