//! Each event takes effect once, however it arrives.

use crate::support::{Running, assert_same, quick, replayed, story};
use private_servers::testing::TestDatabase;
use projections::single::FoldedView;
use projections::testing::{MemoryLog, dump};
use projections::views::{findings::FindingTable, remediations::RemediationTable, runs::RunTable};
use projections::{Projection, ReplayOptions, RunnerOptions, replay};
use proptest::prelude::*;

#[tokio::test(flavor = "multi_thread")]
async fn live_application_gives_what_a_replay_gives() {
    let events = story(1, 1_500);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    let running = Running::start(&pool, &log, &quick());
    for part in events.chunks(70) {
        log.push(part.to_vec());
        tokio::task::yield_now().await;
    }
    running.reached(1_500).await;
    running.stop().await;
    let live = dump(&pool).await.unwrap();
    assert!(live.iter().all(|(table, lines)| !lines.is_empty() || panic!("{table} is empty: the story is too dull")));
    assert_same(&live, &replayed(&events).await);
    // The checkpoints are written down, also where no row changed at the end.
    let behind: i64 = sqlx::query_scalar("SELECT count(*) FROM projection_checkpoints WHERE position <> 1500")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(behind, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_catches_up_gives_the_same() {
    let events = story(2, 2_000);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events.clone());
    let running = Running::start(&pool, &log, &RunnerOptions::default());
    running.reached(2_000).await;
    running.stop().await;
    assert_same(&dump(&pool).await.unwrap(), &replayed(&events).await);
}

/// Random batches, restarts (a new process remembers nothing) and a cut in the middle.
async fn in_parts(seed: u64, parts: &[usize]) {
    let events = story(seed, parts.iter().sum());
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    let mut told = events.iter().cloned();
    for (index, part) in parts.iter().enumerate() {
        log.push(told.by_ref().take(*part));
        let options = ReplayOptions {
            block_events: 1 + part * (index + 1) % 97,
            // A few rows of each of the views.
            pending_bytes: (1 + part % 40) * 6_000,
            from_start: index == 0,
            ..ReplayOptions::default()
        };
        replay(&pool, log.clone(), projections::all(), &options).await.unwrap();
    }
    assert_same(&dump(&pool).await.unwrap(), &replayed(&events).await);
}

/// Rows are forgotten and read again all the time, of a log that sees its findings again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_memory_gives_the_same() {
    let events = story(4, 3_000);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events.clone());
    for bytes in [0, 3_000, 40_000] {
        let views: Vec<Box<dyn Projection>> = vec![
            Box::new(FoldedView::<FindingTable>::remembering(bytes)),
            Box::new(FoldedView::<RemediationTable>::remembering(bytes)),
            Box::new(FoldedView::<RunTable>::remembering(bytes)),
        ];
        let options = ReplayOptions { block_events: 50, pending_bytes: 2 * bytes, ..ReplayOptions::default() };
        replay(&pool, log.clone(), views, &options).await.unwrap();
        let expected = replayed(&events).await;
        for table in ["view_findings", "view_remediations", "view_runs"] {
            let of = |dump: &[(String, Vec<String>)]| dump.iter().find(|(name, _)| name.ends_with(table)).cloned();
            let given = dump(&pool).await.unwrap();
            assert!(of(&given).is_some_and(|(_, lines)| !lines.is_empty()));
            assert_eq!(of(&given), of(&expected), "{bytes} bytes");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 16, ..ProptestConfig::default() })]
    #[test]
    fn any_batches_and_any_restarts_give_the_same(
        seed in 0_u64..1_000,
        parts in prop::collection::vec(1_usize..150, 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(in_parts(seed, &parts));
    }
}
