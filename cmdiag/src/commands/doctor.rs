//! `cmdiag doctor`: what is wrong with the platform's own set-up.

use crate::cli::Format;
use crate::config::{Config, DEFAULT_LISTEN};
use crate::output;
use crate::platform::{Servers, load_packs, privacy};
use anyhow::{Context, Result};
use private_servers::{postgres_programs, redis_program};
use serde::Serialize;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, Row};
use std::process::ExitCode;
use std::time::Duration;
use vault::{MasterKey, Sealing, Vault, VaultError};

/// How long any one question may take.
const BOUND: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Note,
    Wrong,
}

#[derive(Debug, Serialize)]
struct Line {
    what: &'static str,
    verdict: Verdict,
    detail: String,
    advice: Option<String>,
}

impl Line {
    fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Ok, detail: detail.into(), advice: None }
    }

    fn note(what: &'static str, detail: impl Into<String>, advice: &str) -> Self {
        Self { what, verdict: Verdict::Note, detail: detail.into(), advice: Some(advice.to_owned()) }
    }

    fn wrong(what: &'static str, detail: impl Into<String>, advice: &str) -> Self {
        Self { what, verdict: Verdict::Wrong, detail: detail.into(), advice: Some(advice.to_owned()) }
    }
}

/// Looks at everything, prints a line each; exit code 0 only if nothing is wrong.
pub async fn run(config: &Config, format: Format) -> Result<ExitCode> {
    let mut lines = vec![programs(config), data_folder(config), packs(config)];
    lines.push(address(config).await);
    match tokio::time::timeout(BOUND, Servers::start(config, true)).await {
        Err(_) => lines.push(Line::wrong("database", "did not answer within 20 s", "is the server up and reachable?")),
        Ok(Err(error)) => {
            lines.push(Line::wrong("database", format!("{error:#}"), "see database.url (CMDIAG_DATABASE_URL)"));
        }
        Ok(Ok(servers)) => {
            lines.extend(database(&servers).await);
            lines.push(personal_data(config, &servers).await);
            lines.push(redis(&servers).await);
            servers.stop().await;
        }
    }
    if let Some(endpoint) = &config.telemetry.otlp_endpoint {
        lines.push(collector(endpoint).await);
    }
    output::list(format, &["what", "verdict", "detail", "advice"], &lines, |line| {
        let verdict = match line.verdict {
            Verdict::Ok => output::coloured("ok"),
            Verdict::Note => "note".to_owned(),
            Verdict::Wrong => output::coloured("critical").replace("critical", "wrong"),
        };
        vec![line.what.to_owned(), verdict, line.detail.clone(), line.advice.clone().unwrap_or_default()]
    })?;
    let wrong = lines.iter().any(|line| line.verdict == Verdict::Wrong);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn programs(config: &Config) -> Line {
    match postgres_programs() {
        Ok(folder) => Line::ok("PostgreSQL programs", folder.display().to_string()),
        Err(error) if config.database.url.is_some() => {
            Line::note("PostgreSQL programs", error.to_string(), "needed only for a private server and the lab")
        }
        Err(error) => Line::wrong("PostgreSQL programs", error.to_string(), "or name a server in CMDIAG_DATABASE_URL"),
    }
}

fn data_folder(config: &Config) -> Line {
    let folder = config.data_dir();
    let probe = folder.join(".doctor");
    let tried = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&probe, b"written by cmdiag doctor"))
        .and_then(|()| std::fs::remove_file(&probe));
    match tried {
        Ok(()) => Line::ok("data folder", folder.display().to_string()),
        Err(error) => Line::wrong("data folder", format!("{}: {error}", folder.display()), "set CMDIAG_DATA_DIR"),
    }
}

fn packs(config: &Config) -> Line {
    match load_packs(config) {
        Err(error) => Line::wrong("check packs", error.to_string(), "cmdiag packs validate shows where"),
        Ok(packs) => {
            let failures = packs.run_cases();
            let detail = format!("{} checks, {} failed cases", packs.checks().count(), failures.len());
            if failures.is_empty() {
                Line::ok("check packs", detail)
            } else {
                Line::wrong("check packs", detail, "cmdiag packs validate shows which")
            }
        }
    }
}

async fn address(config: &Config) -> Line {
    let address = config.server.listen.map_or_else(|| DEFAULT_LISTEN.to_owned(), |address| address.to_string());
    match tokio::net::TcpListener::bind(&address).await {
        Ok(_) => Line::ok("API address", format!("{address} is free")),
        Err(error) => {
            Line::note("API address", format!("{address}: {error}"), "perhaps `cmdiag serve` is running already")
        }
    }
}

async fn database(servers: &Servers) -> Vec<Line> {
    let url = servers.database_url();
    let asked = tokio::time::timeout(BOUND, ask(url)).await.context("no answer within 20 s").and_then(|answer| answer);
    let facts = match asked {
        Ok(facts) => facts,
        Err(error) => {
            return vec![Line::wrong("database", format!("{error:#}"), "is the server up, the password right?")];
        }
    };
    let mut lines = vec![];
    let version = facts.version / 10_000;
    lines.push(if version >= 13 {
        Line::ok("database", format!("{}; PostgreSQL {version}", servers.describe()))
    } else {
        Line::wrong("database", format!("PostgreSQL {version}"), "13 or newer is needed")
    });
    if servers.owns_database() {
        lines.push(Line::note("durability", "a private server has no backup", "name a managed server for serious use"));
    }
    lines.push(match migrations::pending(url).await {
        Ok(0) => Line::ok("schema", "up to date"),
        Ok(missing) if servers.owns_database() => {
            Line::note("schema", format!("{missing} migration(s) missing"), "applied at the next start")
        }
        Ok(missing) => Line::wrong("schema", format!("{missing} migration(s) missing"), "cmdiag migrate"),
        Err(error) => Line::wrong("schema", format!("{error}"), "cmdiag migrate"),
    });
    if facts.superuser && !servers.owns_database() {
        let advice = "use a role that is only a member of cmdiag_app";
        lines.push(Line::note("role", "a superuser: the database can not keep it from changing events", advice));
    }
    lines.push(if facts.skew_seconds.abs() < 2.0 {
        Line::ok("clock", format!("{:.2} s beside the database's", facts.skew_seconds))
    } else {
        Line::wrong("clock", format!("{:.1} s beside the database's", facts.skew_seconds), "synchronise both clocks")
    });
    if facts.connections_left < 40 {
        let detail = format!("{} connection slots left", facts.connections_left);
        lines.push(Line::note("connections", detail, "raise max_connections, or lower database.max_connections"));
    }
    lines
}

struct Facts {
    version: i32,
    superuser: bool,
    skew_seconds: f64,
    connections_left: i64,
}

async fn ask(url: &str) -> Result<Facts> {
    let mut connection = PgConnection::connect_with(&migrations::connect_options(url)?).await.context("connect")?;
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int AS version, \
                (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser, \
                extract(epoch FROM clock_timestamp())::float8 AS now, \
                current_setting('max_connections')::bigint - (SELECT count(*) FROM pg_stat_activity) AS connections_left",
    )
    .fetch_one(&mut connection)
    .await
    .context("ask the database about itself")?;
    let now = chrono::Utc::now().timestamp_micros() as f64 / 1e6;
    let facts = Facts {
        version: row.try_get("version")?,
        superuser: row.try_get("superuser")?,
        skew_seconds: row.try_get::<f64, _>("now")? - now,
        connections_left: row.try_get("connections_left")?,
    };
    connection.close().await.context("close the connection")?;
    Ok(facts)
}

/// Whether names are sealed, and can be opened.
async fn personal_data(config: &Config, servers: &Servers) -> Line {
    const WHAT: &str = "personal data";
    const ADVICE: &str = "see privacy.master_key_file (CMDIAG_MASTER_KEY_FILE)";
    let own = privacy::own_file(config);
    let master = match privacy::configured(config) {
        Ok(None) if servers.owns_database() && own.exists() => MasterKey::from_file(&own).map(Some).map_err(Into::into),
        other => other,
    };
    let master = match master {
        Ok(master) => master,
        Err(error) => return Line::wrong(WHAT, format!("{error:#}"), ADVICE),
    };
    let options = match migrations::connect_options(servers.database_url()) {
        Ok(options) => options,
        Err(error) => return Line::wrong(WHAT, error.to_string(), ADVICE),
    };
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(BOUND).connect_lazy_with(options);
    let is_made = sqlx::query_scalar("SELECT to_regclass('cmdiag.vault') IS NOT NULL").fetch_one(&pool).await;
    let line = match is_made {
        Ok(false) => Line::note(WHAT, "the schema is older than the sealing of names", "sealed from the next start on"),
        Err(error) => Line::wrong(WHAT, error.to_string(), "see the line on the database"),
        Ok(true) => sealing(Vault::connect_to_look(&pool, master).await, servers.owns_database()),
    };
    pool.close().await;
    line
}

fn sealing(vault: Result<Sealing, VaultError>, owns_database: bool) -> Line {
    const WHAT: &str = "personal data";
    match vault {
        Ok(Sealing::On { since: 0 }) => Line::ok(WHAT, "names are sealed, each under a key of its own"),
        Ok(Sealing::On { since }) => {
            let detail = format!("names are sealed, and stand openly in events up to position {since}");
            Line::note(WHAT, detail, "whoever is named there can not be erased there")
        }
        Ok(Sealing::NotYet) if owns_database => Line::ok(WHAT, "names are sealed from the next start on"),
        Ok(Sealing::NotYet) => {
            let advice = "name a key in privacy.master_key_file (CMDIAG_MASTER_KEY_FILE) before the first person acts";
            Line::note(WHAT, "names are recorded openly, for ever: nobody can be erased", advice)
        }
        Err(error) => Line::wrong(WHAT, error.to_string(), "see privacy.master_key_file (CMDIAG_MASTER_KEY_FILE)"),
    }
}

/// Sends the collector an empty delivery, as the exporter would.
async fn collector(endpoint: &str) -> Line {
    let advice = "see telemetry.otlp_endpoint (CMDIAG_OTLP_ENDPOINT): the base URL of an OTLP receiver for HTTP";
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let asked = reqwest::Client::new().post(url).header("content-type", "application/x-protobuf").timeout(BOUND).send();
    match asked.await {
        Ok(answer) if answer.status().is_success() => Line::ok("traces", "the collector takes them"),
        Ok(answer) => Line::wrong("traces", format!("the collector answers {}", answer.status()), advice),
        // Without the URL, which may hold a password.
        Err(error) => Line::wrong("traces", format!("the collector: {}", error.without_url()), advice),
    }
}

async fn redis(servers: &Servers) -> Line {
    let Some(url) = servers.redis_url() else {
        let why = redis_program().map_or_else(|missing| missing.to_string(), |_| "it did not start".to_owned());
        return Line::note("Redis", format!("none: {why}"), "caches are in-process: correct, only slower");
    };
    let asked = async {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    match tokio::time::timeout(Duration::from_secs(3), asked).await {
        Ok(Ok(_)) => Line::ok("Redis", "answers"),
        Ok(Err(error)) => Line::note("Redis", format!("does not answer: {}", error.category()), "correct, only slower"),
        Err(_) => Line::note("Redis", "does not answer within 3 s", "correct, only slower"),
    }
}
