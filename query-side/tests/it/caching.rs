//! Caches change what a query costs and never what it says.

use crate::support::{World, eventually};
use domain::{DeploymentId, FindingId, RunId};
use event_store::EventLog;
use private_servers::testing::test_folder;
use private_servers::{PrivateRedis, RedisOptions};
use query_side::{Cache, CacheOptions, DeploymentFilter, FindingFilter, PageRequest, Queries, RunFilter};
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn start(world: &World, redis_url: Option<String>) -> Queries {
    // Tests run on a busy machine: an answer of Redis may take a while.
    let options = CacheOptions {
        redis_url,
        redis_timeout: Duration::from_millis(250),
        redis_pause: Duration::from_millis(100),
        ..CacheOptions::default()
    };
    let log: Arc<dyn EventLog> = world.log.clone();
    let cache = Cache::start(options, world.pool.clone(), log, Arc::clone(&world.feed), &world.cancel);
    let queries = Queries::new(world.pool.clone(), cache);
    eventually("the cache follows the feed", async || queries.cache().is_following()).await;
    queries
}

/// Everything there is, by id.
struct Ids {
    runs: Vec<RunId>,
    findings: Vec<FindingId>,
    deployments: Vec<DeploymentId>,
}

async fn ids(queries: &Queries) -> Ids {
    let page = PageRequest::first(PageRequest::MAX);
    let runs = queries.runs(&RunFilter::default(), &page).await.unwrap();
    let findings = queries.findings(&FindingFilter::default(), &page).await.unwrap();
    let deployments = queries.deployments(&DeploymentFilter::default(), &page).await.unwrap();
    Ids {
        runs: runs.items.iter().map(|run| run.id).collect(),
        findings: findings.items.iter().map(|finding| finding.id).collect(),
        deployments: deployments.items.iter().map(|deployment| deployment.id).collect(),
    }
}

/// Asserts that cached answers are those of the database.
async fn assert_true(world: &World, cached: &Queries) {
    let direct = world.queries();
    let ids = ids(&direct).await;
    assert_eq!(cached.runs_by_ids(&ids.runs).await.unwrap(), direct.runs_by_ids(&ids.runs).await.unwrap());
    let expected = direct.findings_by_ids(&ids.findings).await.unwrap();
    assert_eq!(cached.findings_by_ids(&ids.findings).await.unwrap(), expected);
    let expected = direct.deployments_by_ids(&ids.deployments).await.unwrap();
    assert_eq!(cached.deployments_by_ids(&ids.deployments).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_cached_until_an_event_changes_it() {
    let mut world = World::of(41, 600).await;
    let queries = start(&world, None).await;
    assert_true(&world, &queries).await;
    let misses = queries.cache().figures().misses;
    assert_true(&world, &queries).await;
    let figures = queries.cache().figures();
    assert_eq!(figures.misses, misses, "the second time nothing is read again: {figures:?}");
    assert!(figures.local_hits > 50, "{figures:?}");
    for _ in 0..10 {
        let head = world.go_on(15).await;
        queries.wait_for(head, Duration::from_secs(20)).await.unwrap();
        assert_true(&world, &queries).await;
    }
    assert!(queries.cache().figures().stale > 0);
}

/// Between an event and its projection the database has the old row: it may be served, but not be kept as the new one.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_row_read_meanwhile_does_not_stay() {
    let mut world = World::of(42, 400).await;
    let queries = start(&world, None).await;
    for _ in 0..10 {
        let events: Vec<_> = world.story.by_ref().take(10).collect();
        world.log.push(events);
        // The event is known, the view is behind.
        let ids = ids(&world.queries()).await;
        queries.runs_by_ids(&ids.runs).await.unwrap();
        queries.findings_by_ids(&ids.findings).await.unwrap();
        queries.deployments_by_ids(&ids.deployments).await.unwrap();
        let head = world.project().await;
        queries.wait_for(head, Duration::from_secs(20)).await.unwrap();
        assert_true(&world, &queries).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_map_forgot_is_read_again() {
    let mut world = World::of(43, 400).await;
    let options = CacheOptions { remembered: 3, ..CacheOptions::default() };
    let log: Arc<dyn EventLog> = world.log.clone();
    let cache = Cache::start(options, world.pool.clone(), log, Arc::clone(&world.feed), &world.cancel);
    let queries = Queries::new(world.pool.clone(), cache);
    eventually("the cache follows the feed", async || queries.cache().is_following()).await;
    for _ in 0..5 {
        assert_true(&world, &queries).await;
        let head = world.go_on(40).await;
        queries.wait_for(head, Duration::from_secs(20)).await.unwrap();
    }
    assert_true(&world, &queries).await;
}

async fn redis() -> (PrivateRedis, tempfile::TempDir) {
    let folder = test_folder();
    let options = RedisOptions { folder: folder.path().join("redis"), settings: vec![] };
    (PrivateRedis::start(options).await.unwrap(), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_what_redis_keeps() {
    let mut world = World::of(44, 600).await;
    let (redis, _folder) = redis().await;
    let (first, second) = (start(&world, Some(redis.url())).await, start(&world, Some(redis.url())).await);
    // Connecting and writing go on in the background.
    eventually("the second process finds what the first has read", async || {
        let ids = ids(&world.queries()).await;
        first.runs_by_ids(&ids.runs).await.unwrap();
        second.runs_by_ids(&ids.runs).await.unwrap();
        let head = world.go_on(5).await;
        first.wait_for(head, Duration::from_secs(20)).await.unwrap();
        second.wait_for(head, Duration::from_secs(20)).await.unwrap();
        assert_true(&world, &first).await;
        assert_true(&world, &second).await;
        second.cache().figures().redis_hits > 20
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_dies_costs_nothing_but_its_hits() {
    let mut world = World::of(45, 600).await;
    let (redis, _folder) = redis().await;
    let url = Some(redis.url());
    let before = start(&world, url.clone()).await;
    assert_true(&world, &before).await;
    redis.stop().await;
    for _ in 0..5 {
        let head = world.go_on(15).await;
        before.wait_for(head, Duration::from_secs(20)).await.unwrap();
        assert_true(&world, &before).await;
    }
    // A process that starts without it works too, and does not wait for it.
    let without = start(&world, url.clone()).await;
    assert_true(&world, &without).await;
    let started = Instant::now();
    for _ in 0..50 {
        let ids = ids(&world.queries()).await;
        without.deployments_by_ids(&ids.deployments).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    redis.restart().await.unwrap();
    let hits = before.cache().figures().redis_hits;
    eventually("the returned Redis is used again", async || {
        let head = world.go_on(5).await;
        before.wait_for(head, Duration::from_secs(20)).await.unwrap();
        assert_true(&world, &before).await;
        let fresh = start(&world, url.clone()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_true(&world, &fresh).await;
        before.cache().figures().redis_hits > hits || fresh.cache().figures().redis_hits > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_redis_is_as_good_as_nothing() {
    let mut world = World::of(46, 300).await;
    let (redis, _folder) = redis().await;
    let queries = start(&world, Some(redis.url())).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys = async |connection: &mut redis::aio::MultiplexedConnection| {
        redis::cmd("KEYS").arg("*").query_async::<Vec<String>>(connection).await.unwrap()
    };
    let mut spoilt = Vec::new();
    eventually("there are rows in Redis", async || {
        let head = world.go_on(1).await;
        queries.wait_for(head, Duration::from_secs(20)).await.unwrap();
        assert_true(&world, &queries).await;
        spoilt = keys(&mut connection).await;
        !spoilt.is_empty()
    })
    .await;
    for key in spoilt {
        redis::cmd("SET").arg(key).arg("{\"as_of\": 999999999}").query_async::<()>(&mut connection).await.unwrap();
    }
    let fresh = start(&world, Some(redis.url())).await;
    assert_true(&world, &fresh).await;
}
