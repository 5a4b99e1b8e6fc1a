//! What every benchmark stands on: a private PostgreSQL that is as durable as a user's, a database for each of them,
//! and a folder that goes away.

use anyhow::{Context, Result};
use private_servers::{PostgresOptions, PrivatePostgres};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The servers and folders of one run of the bench.
pub struct World {
    quick: bool,
    folder: PathBuf,
    docs: PathBuf,
    postgres: PrivatePostgres,
}

impl World {
    /// Starts the server: the platform's own defaults (fsync and all), with room for more connections.
    /// `docs` is where other tools wrote what they measured.
    pub async fn start(quick: bool, docs: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("cmdiag-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let options = PostgresOptions { temporary: true, ..PostgresOptions::new(folder.join("postgres")) };
        let postgres = PrivatePostgres::start(options.setting("max_connections", "400")).await;
        Ok(Self { quick, folder, docs: docs.to_path_buf(), postgres: postgres.context("start a private PostgreSQL")? })
    }

    /// One of two values: for a real run, for a quick one.
    pub fn pick<T>(&self, real: T, quick: T) -> T {
        if self.quick { quick } else { real }
    }

    /// The folder of the repository's documents.
    pub fn docs(&self) -> &Path {
        &self.docs
    }

    /// How long one round takes.
    pub fn span(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { (seconds / 5.0).min(1.0) } else { seconds })
    }

    /// A new folder for a benchmark.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(folder)
    }

    /// A new migrated database; its URL.
    pub async fn database(&self, name: &str) -> Result<String> {
        let url = self.empty_database(name).await?;
        migrations::migrate(&url).await.with_context(|| format!("migrate {name}"))?;
        Ok(url)
    }

    /// A new database without our tables; its URL.
    pub async fn empty_database(&self, name: &str) -> Result<String> {
        self.postgres.ensure_database(name).await.with_context(|| format!("make the database {name}"))?;
        Ok(self.postgres.url(name))
    }

    /// Connections to one of its databases.
    pub async fn pool(&self, database: &str, connections: u32) -> Result<PgPool> {
        pool(&self.postgres.url(database), connections).await
    }

    /// Stops the server and removes the folder.
    pub async fn stop(self) {
        self.postgres.stop().await;
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            println!("   (the folder {} stays: {error})", self.folder.display());
        }
    }
}

/// Connections to a database, with our schema on the search path, all of them open.
pub async fn pool(url: &str, connections: u32) -> Result<PgPool> {
    PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(migrations::connect_options(url)?)
        .await
        .context("connect to the private PostgreSQL")
}

/// A program of ours beside this one: `target/<profile>/<name>`.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is")?;
    let path = own.parent().unwrap_or(Path::new(".")).join(name);
    if path.is_file() { Ok(path) } else { anyhow::bail!("{} is missing: build it first", path.display()) }
}
