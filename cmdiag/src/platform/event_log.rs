//! Which event log: the one in the database, or KurrentDB with a copy in the database.

use super::health::check;
use crate::config::Secret;
use anyhow::{Context, Result, bail};
use api::health::{HealthCheck, HealthStatus};
use clap::ValueEnum;
use domain::Position;
use event_store::{EventLog, LogError, PostgresEventLog, PostgresLogOptions};
use serde::Deserialize;
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where events are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// In the database
    #[default]
    Postgresql,
    /// In a KurrentDB (or EventStoreDB) server or cluster, with a copy in the database
    Kurrentdb,
}

/// `[event_store]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventStoreConfig {
    /// `postgresql` or `kurrentdb`.
    pub backend: Backend,
    /// `esdb://user:password@host:2113`.
    pub kurrentdb_url: Option<Secret>,
    /// The log's name there: what its streams begin with; `cmdiag` where none is given.
    pub kurrentdb_log: Option<String>,
    /// Which numbering of the events is used; 1 where none is given.
    pub kurrentdb_numbering: Option<u32>,
}

impl EventStoreConfig {
    /// What the environment says.
    pub fn overlay(&mut self, env: impl Fn(&str) -> Option<String>) -> Result<()> {
        if let Some(backend) = env("CMDIAG_EVENT_STORE") {
            self.backend = Backend::from_str(&backend, true)
                .map_err(|_| anyhow::anyhow!("CMDIAG_EVENT_STORE={backend} is neither postgresql nor kurrentdb"))?;
        }
        if let Some(url) = env("CMDIAG_KURRENTDB_URL") {
            self.kurrentdb_url = Some(Secret::new(url));
        }
        Ok(())
    }

    /// What the flags say.
    pub fn flags(&mut self, backend: Option<Backend>, url: Option<&str>) -> Result<()> {
        self.backend = backend.unwrap_or(self.backend);
        if let Some(url) = url {
            self.kurrentdb_url = Some(Secret::new(url.to_owned()));
        }
        self.check()
    }

    /// Refuses what can not be meant.
    pub fn check(&self) -> Result<()> {
        const SCHEMES: [&str; 4] = ["esdb", "kurrentdb", "kurrent", "kdb"];
        if let Some(url) = &self.kurrentdb_url {
            let scheme = url.reveal().split_once("://").map_or("", |(scheme, _)| scheme);
            if !SCHEMES.contains(&scheme.strip_suffix("+discover").unwrap_or(scheme)) {
                bail!("event_store.kurrentdb_url (CMDIAG_KURRENTDB_URL) must begin with esdb://");
            }
        }
        if self.backend == Backend::Kurrentdb && self.kurrentdb_url.is_none() {
            bail!(
                "event_store.backend is kurrentdb: name the server in event_store.kurrentdb_url (CMDIAG_KURRENTDB_URL)"
            );
        }
        if self.backend == Backend::Kurrentdb && !cfg!(feature = "kurrentdb") {
            bail!("this cmdiag was built without KurrentDB: build it with --features kurrentdb");
        }
        Ok(())
    }
}

/// An event log, opened.
pub struct OpenLog {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// How far the copy in the database is, where the log itself is elsewhere.
    pub copied: Option<Copied>,
}

/// How far the copy is, or what stopped it.
pub type Copied = watch::Receiver<Result<Position, LogError>>;

impl OpenLog {
    /// Opens the configured log.
    pub async fn connect(config: &EventStoreConfig, pool: &PgPool, cancel: &CancellationToken) -> Result<Self> {
        match config.backend {
            Backend::Postgresql => {
                let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await;
                Ok(Self { log: log.context("open the event log")?, copied: None })
            }
            Backend::Kurrentdb => on_kurrentdb(config, pool, cancel).await,
        }
    }
}

#[cfg(feature = "kurrentdb")]
async fn on_kurrentdb(config: &EventStoreConfig, pool: &PgPool, cancel: &CancellationToken) -> Result<OpenLog> {
    use event_store::{DatabaseCopy, KurrentEventLog, KurrentLogOptions};
    let url = config.kurrentdb_url.as_ref().context("event_store.kurrentdb_url is not set")?;
    let mut options = KurrentLogOptions::new(url.reveal());
    if let Some(name) = &config.kurrentdb_log {
        options.name.clone_from(name);
    }
    options.numbering = config.kurrentdb_numbering.unwrap_or(options.numbering);
    let log = KurrentEventLog::connect(options).await.context("open the event log on KurrentDB")?;
    let copy = DatabaseCopy::start(Arc::clone(&log), pool.clone(), cancel.child_token())
        .await
        .context("copy the event log on KurrentDB into the database")?;
    Ok(OpenLog { log, copied: Some(copy.copied()) })
}

#[cfg(not(feature = "kurrentdb"))]
async fn on_kurrentdb(config: &EventStoreConfig, _: &PgPool, _: &CancellationToken) -> Result<OpenLog> {
    config.check()?;
    bail!("this cmdiag was built without KurrentDB")
}

/// What the health page says of the copy; `newest` is the newest position that this process knows.
pub fn checks(copied: Option<&Copied>, newest: Position) -> Vec<HealthCheck> {
    let Some(copied) = copied else { return Vec::new() };
    let of = |verdict, output| check("event-log-copy".to_owned(), "lag_events", verdict, output);
    vec![match &*copied.borrow() {
        Err(error) => of(HealthStatus::Fail, Some(format!("stands still: {error}"))),
        Ok(position) => {
            let mut one = of(HealthStatus::Pass, None);
            (one.observed, one.unit) = (Some((newest.0 - position.0).max(0) as f64), Some("events"));
            one
        }
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(backend: Backend, url: Option<&str>) -> EventStoreConfig {
        let kurrentdb_url = url.map(|url| Secret::new(url.to_owned()));
        EventStoreConfig { backend, kurrentdb_url, ..EventStoreConfig::default() }
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        assert!(config(Backend::Postgresql, None).check().is_ok());
        for (url, said) in [(None, "CMDIAG_KURRENTDB_URL"), (Some("postgres://u:hunter2@h/d"), "esdb://")] {
            let error = config(Backend::Kurrentdb, url).check().unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
        }
        for url in ["esdb://h", "esdb+discover://h", "kurrentdb://h:2113?tls=false"] {
            let checked = config(Backend::Kurrentdb, Some(url)).check();
            assert_eq!(checked.is_ok(), cfg!(feature = "kurrentdb"), "{checked:?}");
        }
    }

    #[test]
    fn flags_override_the_environment() {
        let mut config = EventStoreConfig::default();
        config.overlay(|name| (name == "CMDIAG_EVENT_STORE").then(|| "kurrentdb".to_owned())).unwrap();
        assert_eq!(config.backend, Backend::Kurrentdb);
        assert!(config.overlay(|_| Some("oracle".to_owned())).is_err());
        config.flags(Some(Backend::Postgresql), None).unwrap();
        assert_eq!(config.backend, Backend::Postgresql);
    }

    #[test]
    fn a_copy_that_stands_still_fails() {
        let (tell, copied) = watch::channel(Ok(Position(7)));
        let lag = &checks(Some(&copied), Position(9))[0];
        assert_eq!((lag.status, lag.observed), (HealthStatus::Pass, Some(2.0)));
        let _ = tell.send(Err(LogError::Closed));
        assert_eq!(checks(Some(&copied), Position(9))[0].status, HealthStatus::Fail);
        assert!(checks(None, Position(9)).is_empty());
    }
}
