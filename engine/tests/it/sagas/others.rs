//! On the cache, a real Redis server; and the actions of the demo.

use super::bench::Bench;
use super::case::{Case, Evidence, Given};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const CACHE: [Case; 6] = [
    Case::of("raise-memory-limit", "redis-memory-full", "REDIS-MEMORY", "cache"),
    Case::of("evict-by-use", "redis-memory-full", "REDIS-MEMORY", "cache"),
    Case::by_hand("make-room-for-keys", "REDIS-EVICTIONS", "cache", evictions),
    Case::by_hand("save-snapshot", "REDIS-PERSISTENCE", "cache", failed_save),
    Case::told("purge-free-memory", "REDIS-FRAGMENTATION", "cache", fragmented),
    Case::action("redis.reset-statistics", "cache", "{}", Given::ByHand(evictions)),
];

pub const DEMO: [Case; 3] = [
    Case::action("demo.noop", "host", r#"{"say": "hello"}"#, Given::Nothing),
    Case::action("demo.set-value", "host", r#"{"file": "light", "value": "green"}"#, Given::Nothing),
    Case::action("demo.wait", "host", r#"{"seconds": 0}"#, Given::Nothing),
];

async fn cache(bench: &Bench) -> MultiplexedConnection {
    let component = &bench.kit.components[&"cache".parse().unwrap()];
    let client = redis::Client::open(component.settings["url"].as_str()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn tell<T: redis::FromRedisValue>(connection: &mut MultiplexedConnection, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query_async(connection).await.unwrap()
}

async fn set(connection: &mut MultiplexedConnection, name: &str, value: &str) {
    tell::<()>(connection, &["CONFIG", "SET", name, value]).await;
}

/// More keys than there is room for, so that the server throws keys out.
fn evictions(bench: &Bench) -> BoxFuture<'_, ()> {
    async move {
        let mut connection = cache(bench).await;
        tell::<()>(&mut connection, &["FLUSHALL"]).await;
        tell::<()>(&mut connection, &["CONFIG", "RESETSTAT"]).await;
        set(&mut connection, "maxmemory-policy", "allkeys-lru").await;
        let info: String = tell(&mut connection, &["INFO", "memory"]).await;
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        let used: u64 = used.trim().parse().unwrap();
        set(&mut connection, "maxmemory", &(used + (1 << 20)).to_string()).await;
        let value = "x".repeat(512);
        for batch in 0..30 {
            let mut pipe = redis::pipe();
            for number in 0..1_000 {
                pipe.cmd("SET").arg(format!("key-{batch}-{number}")).arg(&value).ignore();
            }
            pipe.query_async::<()>(&mut connection).await.unwrap();
        }
    }
    .boxed()
}

/// A folder stood where the snapshot was to go.
fn failed_save(bench: &Bench) -> BoxFuture<'_, ()> {
    async move {
        let mut connection = cache(bench).await;
        let mut setting =
            async |name: &str| tell::<Vec<String>>(&mut connection, &["CONFIG", "GET", name]).await.remove(1);
        let snapshot = PathBuf::from(setting("dir").await).join(setting("dbfilename").await);
        let _ = std::fs::remove_file(&snapshot);
        std::fs::create_dir(&snapshot).unwrap();
        tell::<()>(&mut connection, &["BGSAVE"]).await;
        let begin = Instant::now();
        loop {
            let info: String = tell(&mut connection, &["INFO", "persistence"]).await;
            if info.contains("rdb_last_bgsave_status:err") && info.contains("rdb_bgsave_in_progress:0") {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "the save did not fail: {info}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::fs::remove_dir(&snapshot).unwrap();
    }
    .boxed()
}

/// A cache this small is never fragmented by the check's measure: what it would see is told.
fn fragmented(_: &Bench) -> BoxFuture<'_, Evidence> {
    async { ("cache/fragmentation".to_owned(), json!({"used_memory": 500_000_000, "mem_fragmentation_ratio": 2.4})) }
        .boxed()
}
