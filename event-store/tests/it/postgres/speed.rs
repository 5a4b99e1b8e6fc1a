//! A rough look at speed, by hand only: `cargo nextest run -p event-store --run-ignored only speed --no-capture`.
//! The figures that count are those of the benchmark.

use super::processes::connect;
use crate::support::{append, new_event, new_stream};
use event_store::EventLog;
use private_servers::testing::{TestDatabase, test_folder};
use private_servers::{PostgresOptions, PrivatePostgres};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const BARE: &str =
    "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
    metadata, position) SELECT t, a, s, y, v, p::json, m::json, n FROM unnest($1::text[], $2::text[], $3::bigint[],
    $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[]) AS u (t, a, s, y, v, p, m, n)";

/// So many writers for so long, each calling `once` again and again; gives appends a second and the sorted latencies.
async fn drive<F: Future<Output = ()> + Send>(
    writers: usize,
    span: Duration,
    once: impl Fn() -> F + Clone + Send + 'static,
) -> (f64, Vec<Duration>) {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..writers {
        let once = once.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < span {
                let begin = Instant::now();
                once().await;
                latencies.push(begin.elapsed());
            }
            latencies
        });
    }
    let mut all: Vec<Duration> = tasks.join_all().await.concat();
    all.sort();
    (all.len() as f64 / start.elapsed().as_secs_f64(), all)
}

async fn bare_insert(pool: PgPool, next: Arc<std::sync::atomic::AtomicI64>, events: usize) {
    let stream = new_stream();
    let position = next.fetch_add(events as i64, std::sync::atomic::Ordering::Relaxed);
    let metadata = serde_json::to_string(&crate::support::metadata(Uuid::now_v7())).unwrap();
    let payloads: Vec<String> = (0..events).map(|n| new_event(n).payload.get().to_owned()).collect();
    sqlx::query(BARE)
        .bind(vec![&*stream.aggregate_type; events])
        .bind(vec![&*stream.aggregate_id; events])
        .bind((1..=events as i64).collect::<Vec<_>>())
        .bind(vec!["SomethingHappened"; events])
        .bind(vec!["1"; events])
        .bind(payloads)
        .bind(vec![metadata; events])
        .bind((position..position + events as i64).collect::<Vec<_>>())
        .execute(&pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half a minute and asserts only what holds on a busy machine"]
async fn group_commit_beats_one_insert_per_append() {
    let folder = test_folder();
    let server = PrivatePostgres::start(PostgresOptions::new(folder.path())).await.unwrap();
    let mut ratio_64 = 0.0;
    for (writers, events) in [(64, 1), (1, 1), (8, 10)] {
        server.ensure_database(&format!("ours_{writers}")).await.unwrap();
        server.ensure_database(&format!("bare_{writers}")).await.unwrap();
        let (ours_url, bare_url) = (server.url(&format!("ours_{writers}")), server.url(&format!("bare_{writers}")));
        migrations::migrate(&ours_url).await.unwrap();
        migrations::migrate(&bare_url).await.unwrap();
        let log = connect(&ours_url).await;
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(writers as u32)
            .min_connections(writers as u32)
            .test_before_acquire(false)
            .connect(&bare_url)
            .await
            .unwrap();
        let next = Arc::new(std::sync::atomic::AtomicI64::new(1));
        let (mut ours, mut bare) = ((0.0, vec![]), (0.0, vec![]));
        for _ in 0..3 {
            let span = Duration::from_millis(1_500);
            let log = Arc::clone(&log);
            let part = drive(writers, span, move || {
                let log = Arc::clone(&log);
                async move { log.append(append(&new_stream(), 0, events)).await.map(|_| ()).unwrap() }
            })
            .await;
            ours = (ours.0 + part.0 / 3.0, [ours.1, part.1].concat());
            let (pool, next) = (pool.clone(), Arc::clone(&next));
            let part = drive(writers, span, move || bare_insert(pool.clone(), Arc::clone(&next), events)).await;
            bare = (bare.0 + part.0 / 3.0, [bare.1, part.1].concat());
        }
        let p99 = |all: &mut Vec<Duration>| {
            all.sort();
            all[all.len() * 99 / 100]
        };
        let (ours_p99, bare_p99) = (p99(&mut ours.1), p99(&mut bare.1));
        println!(
            "{writers}x{events}: ours {:.0}/s p99 {ours_p99:?}, bare {:.0}/s p99 {bare_p99:?}: ratio {:.2}, p99 {:.2}",
            ours.0,
            bare.0,
            ours.0 / bare.0,
            ours_p99.as_secs_f64() / bare_p99.as_secs_f64()
        );
        if writers == 64 {
            ratio_64 = ours.0 / bare.0;
        }
    }
    assert!(ratio_64 > 1.5, "64x1 is {ratio_64:.2} times bare");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints a figure only a human can judge"]
async fn the_log_reads_fast() {
    let database = TestDatabase::migrated().await;
    let log = connect(database.url()).await;
    for _ in 0..20 {
        log.append(append(&new_stream(), 0, 1_000)).await.unwrap();
    }
    let start = Instant::now();
    let read = crate::support::read_rest(&*log, domain::Position::START).await;
    assert_eq!(read.len(), 20_000);
    println!("read {:.0} events/s", 20_000.0 / start.elapsed().as_secs_f64());
}
