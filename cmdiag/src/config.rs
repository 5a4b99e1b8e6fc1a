//! Configuration: `cmdiag.toml`, then the environment, then flags; each overrides the one before.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The default address: loopback, for everything here is open to whoever reaches it until tokens are configured.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8480";

/// All settings, with the file's shape.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the private servers, the lab and the demo keep their data.
    pub data_dir: Option<PathBuf>,
    /// Whose data it is; one installation may serve several.
    pub tenant: Option<String>,
    /// The database; a private PostgreSQL where none is named.
    pub database: DatabaseConfig,
    /// Where events are kept.
    pub event_store: crate::platform::event_log::EventStoreConfig,
    /// The shared cache; in-process caches alone where none is named.
    pub redis: RedisConfig,
    /// The API.
    pub server: ServerConfig,
    /// Probes and workers.
    pub engine: EngineConfig,
    /// Seals and checkpoints of the history.
    pub audit: AuditConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Personal data.
    pub privacy: PrivacyConfig,
}

/// `[privacy]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyConfig {
    /// The key that wraps the keys of personal data: 64 hexadecimal digits, in a file that only its owner may read.
    pub master_key_file: Option<PathBuf>,
    /// The same, from the environment alone (`CMDIAG_MASTER_KEY`): a file of settings is no place for it.
    #[serde(skip)]
    pub master_key: Option<Secret>,
}

/// `[database]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host/database`.
    pub url: Option<Secret>,
    /// The same database as the owner of its schema, for `cmdiag migrate` alone; `url` where none is named.
    pub owner_url: Option<Secret>,
    /// The most connections of one process, the event log's own beside them.
    pub max_connections: u32,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: None, owner_url: None, max_connections: 16 }
    }
}

/// `[redis]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `redis://host:port/`.
    pub url: Option<Secret>,
}

/// `[server]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: Option<SocketAddr>,
    /// Serve the GraphiQL page (it loads its scripts from the internet).
    pub graphiql: bool,
    /// Who may call, by bearer token. Empty: whoever reaches the address, as `local`.
    pub tokens: Vec<TokenConfig>,
}

/// One caller: the token itself stands in an environment variable.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The actor that its commands are recorded under.
    pub actor: String,
    /// The environment variable that holds the token.
    pub token_env: String,
    /// Whether it also decides about the platform itself, such as which event a projection passes over.
    #[serde(default)]
    pub operator: bool,
}

/// `[engine]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// How many checks one process runs at once.
    pub workers: usize,
    /// A folder of packs instead of the embedded ones.
    pub packs_dir: Option<PathBuf>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { workers: 32, packs_dir: None }
    }
}

/// `[audit]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// The folder of the private keys that sign checkpoints; `audit/keys` in the data folder where none is named.
    pub keys_dir: Option<PathBuf>,
    /// A folder that every checkpoint is written to.
    pub publish_folder: Option<PathBuf>,
    /// An address that every checkpoint is sent to.
    pub publish_url: Option<Secret>,
    /// A checkpoint is signed after at most so many events …
    pub checkpoint_events: u64,
    /// … or, where there are fewer, so many seconds after the one before.
    pub checkpoint_seconds: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            keys_dir: None,
            publish_folder: None,
            publish_url: None,
            checkpoint_events: 10_000,
            checkpoint_seconds: 10,
        }
    }
}

impl AuditConfig {
    fn overlay(&mut self, env: impl Fn(&str) -> Option<String>) {
        if let Some(folder) = env("CMDIAG_AUDIT_KEYS_DIR") {
            self.keys_dir = Some(folder.into());
        }
        if let Some(folder) = env("CMDIAG_AUDIT_PUBLISH_FOLDER") {
            self.publish_folder = Some(folder.into());
        }
        if let Some(url) = env("CMDIAG_AUDIT_PUBLISH_URL") {
            self.publish_url = Some(Secret(url));
        }
    }

    fn check(&self) -> Result<()> {
        if !(1..=1_000_000).contains(&self.checkpoint_events) {
            bail!("audit.checkpoint_events = {}: must be from 1 to 1,000,000", self.checkpoint_events);
        }
        if !(1..=86_400).contains(&self.checkpoint_seconds) {
            bail!("audit.checkpoint_seconds = {}: must be from 1 to 86,400", self.checkpoint_seconds);
        }
        if let Some(url) = &self.publish_url
            && !url.reveal().starts_with("http://")
            && !url.reveal().starts_with("https://")
        {
            bail!("audit.publish_url (CMDIAG_AUDIT_PUBLISH_URL) must begin with http:// or https://");
        }
        Ok(())
    }
}

/// `[telemetry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Log filter, such as `info` or `cmdiag=debug,warn`.
    pub log: Option<String>,
    /// One JSON object a line instead of text.
    pub json: bool,
    /// Send traces there by OTLP over HTTP, such as `http://127.0.0.1:4318`.
    pub otlp_endpoint: Option<String>,
    /// The share of the traces that begin here that is recorded, from 0 to 1. Of a request that came with a trace
    /// context, its sender has decided.
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: None, json: false, otlp_endpoint: None, sample_ratio: 1.0 }
    }
}

/// A text that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes it from elsewhere than a file.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one who connects with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Config {
    /// Reads the file (`--config`, else `CMDIAG_CONFIG`, else `cmdiag.toml` in the working folder if it is there) and
    /// the environment.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        let from_env = std::env::var_os("CMDIAG_CONFIG").map(PathBuf::from);
        let default = PathBuf::from("cmdiag.toml");
        let file = match named.map(Path::to_path_buf).or(from_env) {
            Some(file) => Some(file),
            None if default.exists() => Some(default),
            None => None,
        };
        let mut config = match file {
            Some(file) => Self::read(&file)?,
            None => Self::default(),
        };
        config.overlay(|name| std::env::var(name).ok().filter(|text| !text.is_empty()))?;
        config.check()?;
        Ok(config)
    }

    fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read the configuration {}", file.display()))?;
        // The parser's message shows the line and the key; a secret on that very line is cut out of it.
        toml::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {}", file.display(), without_secrets(&error)))
    }

    fn overlay(&mut self, env: impl Fn(&str) -> Option<String>) -> Result<()> {
        if let Some(url) = env("CMDIAG_DATABASE_URL") {
            self.database.url = Some(Secret(url));
        }
        if let Some(url) = env("CMDIAG_DATABASE_OWNER_URL") {
            self.database.owner_url = Some(Secret(url));
        }
        if let Some(url) = env("CMDIAG_REDIS_URL") {
            self.redis.url = Some(Secret(url));
        }
        if let Some(address) = env("CMDIAG_LISTEN") {
            let parsed = address.parse().with_context(|| format!("CMDIAG_LISTEN={address} is not ADDRESS:PORT"))?;
            self.server.listen = Some(parsed);
        }
        if let Some(folder) = env("CMDIAG_DATA_DIR") {
            self.data_dir = Some(folder.into());
        }
        if let Some(folder) = env("CMDIAG_PACKS_DIR") {
            self.engine.packs_dir = Some(folder.into());
        }
        self.audit.overlay(&env);
        self.event_store.overlay(&env)?;
        if let Some(endpoint) = env("CMDIAG_OTLP_ENDPOINT") {
            self.telemetry.otlp_endpoint = Some(endpoint);
        }
        if let Some(ratio) = env("CMDIAG_OTLP_SAMPLE_RATIO") {
            let parsed = ratio.parse().with_context(|| format!("CMDIAG_OTLP_SAMPLE_RATIO={ratio} is not a number"))?;
            self.telemetry.sample_ratio = parsed;
        }
        if let Some(file) = env("CMDIAG_MASTER_KEY_FILE") {
            self.privacy.master_key_file = Some(file.into());
        }
        self.privacy.master_key = env("CMDIAG_MASTER_KEY").map(Secret);
        if let Some(filter) = env("CMDIAG_LOG") {
            self.telemetry.log = Some(filter);
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        for (url, name) in [
            (&self.database.url, "database.url (CMDIAG_DATABASE_URL)"),
            (&self.database.owner_url, "database.owner_url (CMDIAG_DATABASE_OWNER_URL)"),
        ] {
            if let Some(url) = url
                && !url.reveal().starts_with("postgres://")
                && !url.reveal().starts_with("postgresql://")
            {
                bail!("{name} must begin with postgres://");
            }
        }
        self.audit.check()?;
        if let Some(url) = &self.redis.url
            && !url.reveal().starts_with("redis://")
            && !url.reveal().starts_with("rediss://")
        {
            bail!("redis.url (CMDIAG_REDIS_URL) must begin with redis://");
        }
        if !(1..=1024).contains(&self.engine.workers) {
            bail!("engine.workers = {}: must be from 1 to 1024", self.engine.workers);
        }
        if !(4..=500).contains(&self.database.max_connections) {
            bail!("database.max_connections = {}: must be from 4 to 500", self.database.max_connections);
        }
        if let Some(endpoint) = &self.telemetry.otlp_endpoint
            && !endpoint.starts_with("http://")
            && !endpoint.starts_with("https://")
        {
            bail!("telemetry.otlp_endpoint (CMDIAG_OTLP_ENDPOINT) must begin with http:// or https://");
        }
        if !(0.0..=1.0).contains(&self.telemetry.sample_ratio) {
            bail!("telemetry.sample_ratio = {}: must be from 0 to 1", self.telemetry.sample_ratio);
        }
        let open = self.server.listen.is_some_and(|address| !address.ip().is_loopback());
        if open && self.server.tokens.is_empty() {
            bail!("server.listen is not a loopback address: configure at least one [[server.tokens]] first");
        }
        Ok(())
    }

    /// Where private servers, the lab and the demo keep their data: the configured folder, else the user's own; for
    /// root one under `/var/lib`, which the servers' unprivileged accounts can enter.
    pub fn data_dir(&self) -> PathBuf {
        if let Some(folder) = &self.data_dir {
            return folder.clone();
        }
        if rustix::process::geteuid().is_root() {
            return PathBuf::from("/var/lib/cmdiag");
        }
        let absolute = |folder: &PathBuf| folder.is_absolute();
        let named = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(absolute);
        // Without HOME, as in some services, the account's own home: never a folder that others can write to.
        let own = || std::env::home_dir().filter(absolute).map(|home| home.join(".local/share"));
        named.or_else(own).unwrap_or_else(std::env::temp_dir).join("cmdiag")
    }
}

fn without_secrets(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let keep = |line: &str| !line.contains("://") && !line.contains("password");
    text.lines().map(|line| if keep(line) { line } else { "  | (line hidden)" }).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let mut config: Config = toml::from_str(text).map_err(|error| without_secrets(&error))?;
        config.overlay(|_| None).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn refusals_name_the_key_and_hide_secrets() {
        for (text, said) in [
            ("[database]\nurls = 'x'", "urls"),
            ("[engine]\nworkers = 0", "engine.workers = 0"),
            ("[database]\nurl = 'mysql://x'", "database.url"),
            ("[server]\nlisten = '0.0.0.0:1'", "tokens"),
            ("[server]\nlisten = 'nonsense'", "listen"),
            ("[redis]\nurl = 'http://x'", "redis.url"),
            ("[telemetry]\notlp_endpoint = 'collector:4317'", "otlp_endpoint"),
            ("[telemetry]\nsample_ratio = 1.5", "sample_ratio = 1.5"),
            ("[audit]\ncheckpoint_events = 0", "checkpoint_events = 0"),
            ("[audit]\ncheckpoint_seconds = 0", "checkpoint_seconds = 0"),
            ("[audit]\npublish_url = 'ftp://x'", "publish_url"),
            ("[database]\nowner_url = 'mysql://x'", "database.owner_url"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let error = parse("[database]\nurl = ['postgres://u:hunter2@h/d']").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(!format!("{:?}", parse("[database]\nurl = 'postgres://u:hunter2@h/d'").unwrap()).contains("hunter2"));
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let mut config: Config = toml::from_str("[server]\nlisten = '127.0.0.1:1'").unwrap();
        config.overlay(|name| (name == "CMDIAG_LISTEN").then(|| "127.0.0.1:2".to_owned())).unwrap();
        assert_eq!(config.server.listen.unwrap().port(), 2);
    }
}
