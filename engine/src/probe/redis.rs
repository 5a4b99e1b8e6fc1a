//! A Redis server, by `INFO` and, where it is allowed, `CONFIG GET`. Not reachable is what was measured.

use super::rows::{Measured, row};
use super::{ProbeError, Row, Run, Secret};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, ServerErrorKind};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Instant;

pub(super) async fn measure(run: &Run<'_>) -> Result<Measured, ProbeError> {
    let target = run.target;
    let url = target.setting("url")?;
    let secret = Secret::of(&target.component, "password")?;
    let explain = |error: &RedisError| ProbeError::configuration(format!("setting \"url\": {error}"));
    let mut info = url.into_connection_info().map_err(|error| explain(&error).without(secret.as_ref()))?;
    if let Some(secret) = &secret {
        let settings = info.redis_settings().clone().set_password(secret.reveal());
        info = info.set_redis_settings(settings);
    }
    let client = Client::open(info).map_err(|error| explain(&error).without(secret.as_ref()))?;
    let patience = run.timeout.mul_f64(0.4);
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
    let asked = async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        ask(&mut connection).await
    };
    match asked.await {
        Ok(answers) => Ok(Measured::one(answers.into_row(target.now.timestamp()))),
        Err(error) if is_refusal(&error) => {
            let refused = ProbeError::denied(format!("{} refuses us: {error}", target.component.name));
            Err(refused.without(secret.as_ref()))
        }
        Err(error) => {
            let error = ProbeError::unreachable(error.to_string()).without(secret.as_ref());
            Ok(Measured::one(unreachable(&error.cause)))
        }
    }
}

/// A wrong password says nothing of whether the server is well: that is no measurement.
fn is_refusal(error: &RedisError) -> bool {
    let code = error.code().unwrap_or_default();
    error.kind() == ErrorKind::AuthenticationFailed
        || error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM")
}

/// How many answers are timed.
const PINGS: usize = 5;

struct Answers {
    info: HashMap<String, String>,
    config: HashMap<String, String>,
    slowlog_len: Option<i64>,
    latency_ms: f64,
}

async fn ask(connection: &mut MultiplexedConnection) -> Result<Answers, RedisError> {
    // The first answer carries the connection's greeting. Of the others the quickest counts: a slow server is slow
    // every time, while a busy machine of ours delays one or the other.
    redis::cmd("PING").query_async::<()>(connection).await?;
    let mut latency_ms = f64::INFINITY;
    for _ in 0..PINGS {
        let started = Instant::now();
        redis::cmd("PING").query_async::<()>(connection).await?;
        latency_ms = latency_ms.min(started.elapsed().as_secs_f64() * 1e3);
    }
    let info: String = redis::cmd("INFO").query_async(connection).await?;
    // Managed servers forbid these two: then their columns are null.
    let config = redis::cmd("CONFIG").arg("GET").arg("max*").query_async(connection).await.unwrap_or_default();
    let slowlog_len = redis::cmd("SLOWLOG").arg("LEN").query_async(connection).await.ok();
    Ok(Answers { info: parse_info(&info), config, slowlog_len, latency_ms })
}

fn parse_info(text: &str) -> HashMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

impl Answers {
    fn number(&self, key: &str) -> Option<f64> {
        self.info.get(key)?.parse().ok()
    }

    fn whole(&self, key: &str) -> Option<i64> {
        self.info.get(key)?.parse().ok()
    }

    fn into_row(self, now_s: i64) -> Row {
        let text = |key: &str| self.info.get(key);
        let configured = |key: &str| self.config.get(key).and_then(|value| value.parse::<i64>().ok());
        // A limit of 0 is no limit: then there is no percentage of it.
        let share = |part: Option<f64>, whole: Option<i64>| match (part, whole) {
            (Some(part), Some(whole)) if whole > 0 => json!(100.0 * part / whole as f64),
            _ => Value::Null,
        };
        let maxmemory = self.whole("maxmemory").or_else(|| configured("maxmemory"));
        let maxclients = self.whole("maxclients").or_else(|| configured("maxclients"));
        let hits = self.number("keyspace_hits").zip(self.number("keyspace_misses"));
        let hit_ratio = hits.filter(|(hits, misses)| hits + misses > 0.0).map(|(hits, misses)| hits / (hits + misses));
        let now = self.whole("server_time_usec").map_or(now_s, |micros| micros / 1_000_000);
        let saved = self.whole("rdb_last_save_time").filter(|at| *at > 0);
        let save_age = saved.map(|at| now - at);
        row! {
            connected: true, error: None::<&str>, used_memory: self.whole("used_memory"), maxmemory: maxmemory,
            maxmemory_policy: text("maxmemory_policy").or_else(|| self.config.get("maxmemory-policy")),
            memory_used_percent: share(self.number("used_memory"), maxmemory),
            evicted_keys: self.whole("evicted_keys"), rejected_connections: self.whole("rejected_connections"),
            connected_clients: self.whole("connected_clients"), maxclients: maxclients,
            clients_used_percent: share(self.number("connected_clients"), maxclients),
            rdb_last_bgsave_status: text("rdb_last_bgsave_status"),
            rdb_changes_since_last_save: self.whole("rdb_changes_since_last_save"), rdb_last_save_age_s: save_age,
            aof_enabled: self.whole("aof_enabled").map(|on| on == 1),
            aof_last_write_status: text("aof_last_write_status"),
            loading: self.whole("loading").map(|on| on == 1), role: text("role"),
            master_link_status: text("master_link_status"), latency_ms: self.latency_ms,
            uptime_s: self.whole("uptime_in_seconds"), keyspace_hit_ratio: hit_ratio,
            mem_fragmentation_ratio: self.number("mem_fragmentation_ratio"),
            blocked_clients: self.whole("blocked_clients"), slowlog_len: self.slowlog_len,
            version: text("redis_version"),
        }
    }
}

/// Every column is there, so that a condition can ask for it.
fn unreachable(error: &str) -> Row {
    let none = None::<&str>;
    row! {
        connected: false, error: error, used_memory: none, maxmemory: none, maxmemory_policy: none,
        memory_used_percent: none, evicted_keys: none, rejected_connections: none, connected_clients: none,
        maxclients: none, clients_used_percent: none, rdb_last_bgsave_status: none, rdb_changes_since_last_save: none,
        rdb_last_save_age_s: none, aof_enabled: none, aof_last_write_status: none, loading: none, role: none,
        master_link_status: none, latency_ms: none, uptime_s: none, keyspace_hit_ratio: none,
        mem_fragmentation_ratio: none, blocked_clients: none, slowlog_len: none, version: none,
    }
}
