//! The keys of each kind of probe, as written and as compiled.

use super::log_keys::{LogFile, LogSpec};
use super::{SqlText, Templates, span_of_time};
use schemars::JsonSchema;
use serde::Deserialize;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// A probe and its keys, compiled.
#[derive(Debug)]
pub enum ProbeSpec {
    /// A read-only statement on PostgreSQL.
    Sql(SqlSpec),
    /// A document store's folder and its rows in the dataset.
    Store(StoreSpec),
    /// A TCP connect.
    Tcp,
    /// A TLS handshake and the certificate.
    Tls,
    /// An HTTP request.
    Http(HttpSpec),
    /// Log files.
    Log(LogSpec),
    /// The machine that the probe runs on.
    Host,
    /// The configuration files of all workgroup servers.
    Config,
    /// A Redis server.
    Redis,
    /// The folder of daily audit logs.
    Audit(AuditSpec),
    /// A Nagios plugin.
    Command(CommandSpec),
}

impl ProbeSpec {
    /// Its name in check files.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sql(_) => "sql",
            Self::Store(_) => "store",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http(_) => "http",
            Self::Log(_) => "log",
            Self::Host => "host",
            Self::Config => "config",
            Self::Redis => "redis",
            Self::Audit(_) => "audit",
            Self::Command(_) => "command",
        }
    }
}

/// A probe and its keys, as written.
#[derive(Debug, JsonSchema)]
#[schemars(tag = "kind", rename_all = "kebab-case")]
pub(super) enum ProbeFile {
    Sql(SqlFile),
    Store(StoreFile),
    Tcp(NoKeys),
    Tls(NoKeys),
    Http(HttpFile),
    Log(LogFile),
    Host(NoKeys),
    Config(NoKeys),
    Redis(NoKeys),
    Audit(AuditFile),
    Command(CommandFile),
}

/// The kinds of probe, as written.
pub(super) const KINDS: [&str; 11] =
    ["sql", "store", "tcp", "tls", "http", "log", "host", "config", "redis", "audit", "command"];

impl ProbeFile {
    /// Reads the keys of a kind; `None` where there is no such kind.
    pub(super) fn read(kind: &str, keys: toml::de::ValueDeserializer<'_>) -> Option<Result<Self, toml::de::Error>> {
        Some(match kind {
            "sql" => SqlFile::deserialize(keys).map(Self::Sql),
            "store" => StoreFile::deserialize(keys).map(Self::Store),
            "tcp" => NoKeys::deserialize(keys).map(Self::Tcp),
            "tls" => NoKeys::deserialize(keys).map(Self::Tls),
            "http" => HttpFile::deserialize(keys).map(Self::Http),
            "log" => LogFile::deserialize(keys).map(Self::Log),
            "host" => NoKeys::deserialize(keys).map(Self::Host),
            "config" => NoKeys::deserialize(keys).map(Self::Config),
            "redis" => NoKeys::deserialize(keys).map(Self::Redis),
            "audit" => AuditFile::deserialize(keys).map(Self::Audit),
            "command" => CommandFile::deserialize(keys).map(Self::Command),
            _ => return None,
        })
    }

    /// Compiles the keys; each problem is reported with its key and place.
    pub(super) fn compile(self, problem: &mut dyn FnMut(&str, Range<usize>, String)) -> Option<ProbeSpec> {
        Some(match self {
            Self::Sql(keys) => ProbeSpec::Sql(keys.compile(problem)?),
            Self::Store(keys) => ProbeSpec::Store(keys.compile(problem)?),
            Self::Tcp(NoKeys {}) => ProbeSpec::Tcp,
            Self::Tls(NoKeys {}) => ProbeSpec::Tls,
            Self::Http(keys) => ProbeSpec::Http(keys.compile(problem)?),
            Self::Log(keys) => ProbeSpec::Log(keys.compile(problem)?),
            Self::Host(NoKeys {}) => ProbeSpec::Host,
            Self::Config(NoKeys {}) => ProbeSpec::Config,
            Self::Redis(NoKeys {}) => ProbeSpec::Redis,
            Self::Audit(keys) => ProbeSpec::Audit(AuditSpec {
                logs: keys.logs,
                days: keys.days.unwrap_or(AuditSpec::DAYS).clamp(1, 366),
            }),
            Self::Command(keys) => ProbeSpec::Command(keys.compile(problem)?),
        })
    }
}

/// A kind of probe without keys of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoKeys {}

/// `kind = "sql"`: one read-only statement.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlFile {
    /// The statement; `:name` is the setting of that name.
    #[schemars(with = "String")]
    query: Spanned<String>,
    /// The most rows read; more than that makes the result say so.
    #[schemars(range(min = 1, max = 10000))]
    max_rows: Option<u32>,
}

/// A compiled statement.
#[derive(Debug)]
pub struct SqlSpec {
    /// The statement.
    pub query: SqlText,
    /// The most rows read.
    pub max_rows: usize,
}

/// The most rows read where a check gives no number, and the most that it may give.
const MAX_ROWS: (u32, u32) = (1_000, 10_000);

impl SqlFile {
    fn compile(self, problem: &mut dyn FnMut(&str, Range<usize>, String)) -> Option<SqlSpec> {
        let span = self.query.span();
        let query = SqlText::parse(self.query.get_ref()).map_err(|text| problem("query", span, text)).ok()?;
        Some(SqlSpec { query, max_rows: self.max_rows.unwrap_or(MAX_ROWS.0).clamp(1, MAX_ROWS.1) as usize })
    }
}

/// What a store probe looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreMode {
    /// Files that the dataset knows and the folder lacks.
    Missing,
    /// Files whose size or hash differs from what the dataset recorded.
    Corrupt,
    /// Files that the folder has and the dataset does not know.
    Orphans,
    /// How many files each folder holds.
    Layout,
    /// Whether the folder can be read and written.
    Access,
    /// How full the store's disk is.
    Space,
    /// The store's recorded counters beside what is there.
    Counters,
}

/// `kind = "store"`: a document store's folder, beside its rows in the dataset.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreFile {
    /// What to look for.
    mode: StoreMode,
    /// How many files to hash in mode `corrupt`; 0 is all. The choice is by the run's seed.
    sample: Option<u32>,
    /// How old a file must be to count in mode `orphans` (`24h`): a file is written before its row.
    #[schemars(with = "Option<String>")]
    min_age: Option<Spanned<String>>,
    /// The most rows given.
    #[schemars(range(min = 1, max = 10000))]
    max_rows: Option<u32>,
}

/// Compiled keys of a store probe.
#[derive(Debug, Clone)]
pub struct StoreSpec {
    /// What to look for.
    pub mode: StoreMode,
    /// How many files to hash; 0 is all.
    pub sample: usize,
    /// How old a file must be to count.
    pub min_age: Duration,
    /// The most rows given.
    pub max_rows: usize,
}

impl StoreSpec {
    const SAMPLE: u32 = 500;
    const MIN_AGE: Duration = Duration::from_hours(24);
}

impl StoreFile {
    fn compile(self, problem: &mut dyn FnMut(&str, Range<usize>, String)) -> Option<StoreSpec> {
        Some(StoreSpec {
            mode: self.mode,
            sample: self.sample.unwrap_or(StoreSpec::SAMPLE) as usize,
            min_age: duration("min_age", self.min_age, StoreSpec::MIN_AGE, problem)?,
            max_rows: self.max_rows.unwrap_or(MAX_ROWS.0).clamp(1, MAX_ROWS.1) as usize,
        })
    }
}

/// `kind = "http"`: one request to the component's `url`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpFile {
    /// Appended to the setting `url`; `{name}` is the setting of that name, as one segment.
    path: Option<String>,
    #[serde(default)]
    method: HttpMethod,
    /// `json`: the body is to be read as JSON.
    expect: Option<Expect>,
    /// What to compare the answer with: the first row of a statement, as the column `compared`.
    compare: Option<CompareFile>,
}

/// A statement on another component's database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CompareFile {
    /// The setting that names the component with the database.
    on: String,
    /// The statement; `:name` is the setting of that name.
    #[schemars(with = "String")]
    query: Spanned<String>,
}

impl HttpFile {
    fn compile(self, problem: &mut dyn FnMut(&str, Range<usize>, String)) -> Option<HttpSpec> {
        let compare = match self.compare {
            None => None,
            Some(CompareFile { on, query }) => {
                let parsed = SqlText::parse(query.get_ref());
                let query = parsed.map_err(|text| problem("compare.query", query.span(), text)).ok()?;
                Some(HttpCompare { on, query })
            }
        };
        Some(HttpSpec {
            path: self.path.unwrap_or_default(),
            method: self.method,
            expect_json: self.expect == Some(Expect::Json),
            compare,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Json,
}

/// A request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum HttpMethod {
    /// With a body.
    #[default]
    #[serde(rename = "GET")]
    Get,
    /// Without.
    #[serde(rename = "HEAD")]
    Head,
}

/// Compiled keys of an HTTP probe.
#[derive(Debug, Clone)]
pub struct HttpSpec {
    /// Appended to the setting `url`; `{name}` is the setting of that name.
    pub path: String,
    /// The method.
    pub method: HttpMethod,
    /// Whether the body is to be read as JSON.
    pub expect_json: bool,
    /// What to compare the answer with.
    pub compare: Option<HttpCompare>,
}

/// A statement on another component's database.
#[derive(Debug, Clone)]
pub struct HttpCompare {
    /// The setting that names the component with the database.
    pub on: String,
    /// The statement.
    pub query: SqlText,
}

/// `kind = "audit"`: the daily audit logs, `Date_<YYYY-MM-DD>.log` in a folder a year.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditFile {
    /// The setting that names the folder.
    #[serde(default = "default_audit_logs")]
    logs: String,
    /// How many days back to look.
    #[schemars(range(min = 1, max = 366))]
    days: Option<u32>,
}

fn default_audit_logs() -> String {
    "audit_logs".to_owned()
}

/// Compiled keys of an audit probe.
#[derive(Debug, Clone)]
pub struct AuditSpec {
    /// The setting that names the folder.
    pub logs: String,
    /// How many days back to look.
    pub days: u32,
}

impl AuditSpec {
    const DAYS: u32 = 7;
}

/// `kind = "command"`: a plugin by the Nagios contract. No shell.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandFile {
    /// The program and its arguments, each a template over `settings` and `component`.
    #[schemars(with = "Vec<String>", length(min = 1, max = 64))]
    argv: Spanned<Vec<String>>,
}

/// Compiled keys of a command probe.
#[derive(Debug)]
pub struct CommandSpec {
    /// The program and its arguments, as templates named by their index.
    pub argv: Templates,
    /// How many there are.
    pub count: usize,
}

impl CommandFile {
    fn compile(self, problem: &mut dyn FnMut(&str, Range<usize>, String)) -> Option<CommandSpec> {
        let span = self.argv.span();
        let argv = self.argv.into_inner();
        if argv.is_empty() || argv.len() > 64 {
            problem("argv", span, "needs 1 to 64 entries".to_owned());
            return None;
        }
        let mut templates = Templates::default();
        for (index, text) in argv.iter().enumerate() {
            if let Err(error) = templates.add(&index.to_string(), text) {
                problem("argv", span, format!("entry {index}: {}", error.message));
                return None;
            }
        }
        Some(CommandSpec { argv: templates, count: argv.len() })
    }
}

/// A span of time, or its default.
pub(super) fn duration(
    key: &str,
    given: Option<Spanned<String>>,
    default: Duration,
    problem: &mut dyn FnMut(&str, Range<usize>, String),
) -> Option<Duration> {
    let Some(text) = given else { return Some(default) };
    span_of_time::parse(text.get_ref()).map_err(|message| problem(key, text.span(), message)).ok()
}
