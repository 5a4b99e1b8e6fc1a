//! The servers that the platform rests on: configured ones, or private ones of our own.

use crate::config::Config;
use anyhow::{Context, Result};
use private_servers::{PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions, ServerError};

/// The platform's database on a private server.
const DATABASE: &str = "cmdiag";

/// The role that the platform runs as on a private server: it can add to the history, and change nothing of it.
const SERVICE: &str = "cmdiag_service";
/// The group that has the platform's rights (made by the migrations, or here before them).
const GROUP: &str = "cmdiag_app";

/// Where the database and the shared cache are.
pub struct Servers {
    database_url: String,
    /// As whom the schema is changed; the same where no other is configured.
    owner_url: String,
    redis_url: Option<String>,
    postgres: Option<PrivatePostgres>,
    redis: Option<PrivateRedis>,
}

impl Servers {
    /// Takes the configured servers; starts private ones where none are configured. A private Redis only where it is
    /// wanted and installed: it is a cache.
    pub async fn start(config: &Config, redis_wanted: bool) -> Result<Self> {
        let (database_url, owner_url, postgres) = match &config.database.url {
            Some(url) => {
                let owner = config.database.owner_url.as_ref().unwrap_or(url);
                (url.reveal().to_owned(), owner.reveal().to_owned(), None)
            }
            None => {
                let (urls, postgres) = private_postgres(config).await?;
                (urls.service, urls.owner, Some(postgres))
            }
        };
        let (redis_url, redis) = match &config.redis.url {
            Some(url) => (Some(url.reveal().to_owned()), None),
            None if redis_wanted => private_redis(config).await,
            None => (None, None),
        };
        Ok(Self { database_url, owner_url, redis_url, postgres, redis })
    }

    /// The database's URL, with its password: not to be shown.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The URL of whoever owns the schema, with its password: for migrations alone.
    pub fn owner_url(&self) -> &str {
        &self.owner_url
    }

    /// The shared cache's URL, where there is one.
    pub fn redis_url(&self) -> Option<&str> {
        self.redis_url.as_deref()
    }

    /// Whether the database is on a private server.
    pub fn owns_database(&self) -> bool {
        self.postgres.is_some()
    }

    /// In words, without secrets.
    pub fn describe(&self) -> String {
        let database = self.postgres.as_ref().map_or_else(
            || "the configured PostgreSQL".to_owned(),
            |server| format!("a private PostgreSQL on 127.0.0.1:{}", server.port()),
        );
        let cache = match (&self.redis, &self.redis_url) {
            (Some(_), _) => "a private Redis",
            (None, Some(_)) => "the configured Redis",
            (None, None) => "no Redis (caches are in-process)",
        };
        format!("{database}, {cache}")
    }

    /// Stops what is ours.
    pub async fn stop(self) {
        if let Some(redis) = self.redis {
            redis.stop().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }
}

/// As whom the platform's database on a private server is reached.
pub struct PrivateUrls {
    /// As the role that the platform runs as.
    pub service: String,
    /// As the owner of the schema.
    pub owner: String,
}

/// The platform's database on the private server of the data folder.
pub async fn private_postgres(config: &Config) -> Result<(PrivateUrls, PrivatePostgres)> {
    let folder = config.data_dir().join("postgres");
    let server = PrivatePostgres::start(PostgresOptions::new(folder)).await.context("start a private PostgreSQL")?;
    server.ensure_database(DATABASE).await.context("make the platform's database")?;
    let password = server.ensure_login(SERVICE, GROUP).await.context("make the role that the platform runs as")?;
    let urls = PrivateUrls { service: server.url_as(SERVICE, &password, DATABASE), owner: server.url(DATABASE) };
    Ok((urls, server))
}

/// A cache is worth a warning, not a failure.
async fn private_redis(config: &Config) -> (Option<String>, Option<PrivateRedis>) {
    let options = RedisOptions { folder: config.data_dir().join("redis"), settings: Vec::new() };
    match PrivateRedis::start(options).await {
        Ok(redis) => (Some(redis.url()), Some(redis)),
        // Whoever installs none wants none.
        Err(error @ ServerError::Missing { .. }) => {
            tracing::info!(%error, "no private Redis: caches are in-process only");
            (None, None)
        }
        Err(error) => {
            tracing::warn!(%error, "no private Redis: caches are in-process only");
            (None, None)
        }
    }
}
