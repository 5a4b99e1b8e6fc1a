//! On the dataset's database: sessions, tables, indexes, settings, and the product's rows.

use super::bench::Bench;
use super::case::{Case, Given};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Executor as _};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub const SESSIONS: [Case; 3] = [
    Case::of("cancel-blocking-query", "blocking-lock", "PG-BLOCKED-QUERY", "tslocation"),
    Case::by_hand("terminate-idle-blocker", "PG-BLOCKED-QUERY", "tsrectype", idle_blocker),
    Case::of("terminate-idle-session", "idle-in-transaction", "PG-IDLE-IN-TRANSACTION", ""),
];

pub const TABLES: [Case; 5] = [
    Case::of("analyze-stale-table", "stale-statistics", "PG-STALE-STATISTICS", "tsrecloc"),
    Case::of("vacuum-dead-rows", "dead-tuples", "PG-DEAD-TUPLES", "tsexfieldv"),
    Case::of("extend-sequence", "sequence-near-end", "PG-SEQUENCE-EXHAUSTION", "tsreclink"),
    Case::of("reset-sequence", "sequence-near-end", "PG-SEQUENCE-EXHAUSTION", "tsreclink"),
    Case::of("drop-abandoned-slot", "abandoned-slot", "PG-SLOT-RETAINS-WAL", "abandoned"),
];

pub const INDEXES: [Case; 4] = [
    Case::of("drop-invalid-index", "invalid-index", "PG-INVALID-INDEX", "tsrecord_rcrectypeuri"),
    Case::by_hand("rebuild-invalid-index", "PG-INVALID-INDEX", "broken_by_hand", invalid_index),
    Case::by_hand("drop-duplicate-index", "PG-DUPLICATE-INDEX", "twin_by_hand", duplicate_index),
    Case::by_hand("index-foreign-key", "PG-UNINDEXED-FOREIGN-KEY", "key_by_hand", foreign_key),
];

/// On a server whose command line does not say how durable it is.
pub const DURABILITY: [Case; 1] = [Case::by_hand("switch-durability-on", "PG-FSYNC-OFF", "durability", durability_off)];

pub const SETTINGS: [Case; 2] = [
    Case::by_hand("switch-autovacuum-on", "PG-AUTOVACUUM-OFF", "autovacuum", autovacuum_off),
    Case::action("postgres.alter-system", "dataset", r#"{"setting": "work_mem", "value": "6MB"}"#, Given::Nothing),
];

pub const ROWS: [Case; 7] = [
    Case::of("requeue-network-errors", "not-indexed-network", "CM-INDEX-NETWORK-ERRORS", ""),
    Case::of("recount-store", "store-counters-drift", "CM-STORE-COUNTERS", "store-2"),
    Case::of("requeue-renderings", "render-stuck", "CM-RENDER-STUCK", ""),
    Case::of("disable-unused-logins", "licence-breached", "CM-LICENCE-BREACHED", "Core users"),
    Case::of("fill-blank-hashes", "blank-hash", "CM-HASH-BLANK", "store-2"),
    Case::of("index-missing-words", "word-index-stale", "CM-WORD-INDEX-STALE", ""),
    Case::of("recalculate-retention", "retention-stale", "CM-RETENTION-STALE", ""),
];

const LOCKED_ROW: &str = "SELECT uri FROM tsrectype WHERE uri = 1 FOR UPDATE";

/// A session that has locked a row and does nothing, and one that waits for it: those of the lab work.
fn idle_blocker(bench: &Bench) -> BoxFuture<'_, ()> {
    async move {
        let mut sessions = bench.sessions.lock().await;
        sessions.clear();
        let mut blocker = session(bench).await;
        for statement in ["BEGIN", LOCKED_ROW] {
            blocker.execute(statement).await.unwrap();
        }
        let mut waiter = session(bench).await;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut waiter).await.unwrap();
        let mut waiting = JoinSet::new();
        waiting.spawn(async move { waiter.execute(LOCKED_ROW).await.map(drop) });
        sessions.push(Box::new(blocker));
        sessions.push(Box::new(waiting));
        waits(bench, pid).await;
    }
    .boxed()
}

async fn waits(bench: &Bench, pid: i32) {
    let begin = Instant::now();
    let pool = bench.lab.handle().dataset().await.unwrap();
    loop {
        let waits: bool =
            sqlx::query_scalar("SELECT cardinality(pg_blocking_pids($1)) > 0").bind(pid).fetch_one(pool).await.unwrap();
        if waits {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "the session does not wait");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// As the product's account: nobody but a superuser ends a superuser's session.
async fn session(bench: &Bench) -> PgConnection {
    let pool = bench.lab.handle().dataset().await.unwrap();
    let owner: String =
        sqlx::query_scalar("SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()")
            .fetch_one(pool)
            .await
            .unwrap();
    let password = std::fs::read_to_string(bench.lab.handle().folders().owner_password()).unwrap();
    let options = PgConnectOptions::clone(&pool.connect_options()).username(&owner).password(password.trim());
    options.connect().await.unwrap()
}

fn invalid_index(bench: &Bench) -> BoxFuture<'_, ()> {
    let statements = [
        "DROP INDEX IF EXISTS broken_by_hand",
        "CREATE INDEX broken_by_hand ON tsrecord (rctitle)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken_by_hand'::regclass",
    ];
    async move { bench.sql(&statements).await }.boxed()
}

fn duplicate_index(bench: &Bench) -> BoxFuture<'_, ()> {
    let statements = ["DROP INDEX IF EXISTS twin_by_hand", "CREATE INDEX twin_by_hand ON tsrecord (recordid)"];
    async move { bench.sql(&statements).await }.boxed()
}

fn foreign_key(bench: &Bench) -> BoxFuture<'_, ()> {
    let statements = [
        "ALTER TABLE tsrecloc DROP CONSTRAINT IF EXISTS key_by_hand",
        "ALTER TABLE tsrecloc ADD CONSTRAINT key_by_hand FOREIGN KEY (locuri) REFERENCES tslocation (uri)",
    ];
    async move { bench.sql(&statements).await }.boxed()
}

/// Two settings: two steps at the same time.
fn autovacuum_off(bench: &Bench) -> BoxFuture<'_, ()> {
    set_off(bench, ["autovacuum", "track_counts"]).boxed()
}

fn durability_off(bench: &Bench) -> BoxFuture<'_, ()> {
    set_off(bench, ["fsync", "full_page_writes"]).boxed()
}

async fn set_off(bench: &Bench, settings: [&str; 2]) {
    for setting in settings {
        bench.sql(&[&format!("ALTER SYSTEM SET {setting} = off")]).await;
    }
    bench.sql(&["SELECT pg_reload_conf()"]).await;
}
