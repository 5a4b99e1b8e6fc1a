//! Read your writes.

use crate::support::World;
use domain::Position;
use projections::{Runner, RunnerOptions};
use query_side::{Behind, Cache, Queries, RunFilter, Watches};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_waited_for_and_what_never_comes_is_waited_for_in_bounds() {
    let world = World::of(31, 200).await;
    let queries = world.queries();
    queries.wait_for(Position(200), Duration::from_millis(500)).await.unwrap();
    let started = Instant::now();
    let late = queries.wait_for(Position(201), Duration::from_millis(150)).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    let Err(Behind::Late { position, waiting }) = late else { panic!("{late:?}") };
    assert_eq!((position, waiting.len()), (Position(201), projections::all().len()));
    assert!(waiting.iter().all(|(_, at)| *at == Position(200)));
    // One view may be there before the others.
    sqlx::query("UPDATE projection_checkpoints SET position = 300 WHERE name = 'runs'")
        .execute(&world.pool)
        .await
        .unwrap();
    queries.wait_for_named(&["runs"], Position(300), Duration::from_millis(500)).await.unwrap();
    let late = queries.wait_for(Position(300), Duration::from_millis(50)).await;
    assert!(matches!(late, Err(Behind::Late { waiting, .. }) if waiting.len() == projections::all().len() - 1));
}

async fn follows(watched: bool) {
    let mut world = World::of(32, 100).await;
    let options = RunnerOptions { idle_checkpoint: Duration::from_millis(10), ..RunnerOptions::default() };
    let cancel = world.cancel.child_token();
    let runners = Runner::start_all(&world.pool, &world.feed, projections::all(), &options, &cancel);
    let watches: Watches = runners.iter().map(|runner| (runner.name().to_owned(), runner.position())).collect();
    let queries = Queries::new(world.pool.clone(), Cache::off());
    let queries = if watched { queries.with_watches(watches) } else { queries };
    for _ in 0..20 {
        let events: Vec<_> = world.story.by_ref().take(20).collect();
        let last = events.last().unwrap().position;
        world.log.push(events.clone());
        queries.wait_for(last, Duration::from_secs(20)).await.unwrap();
        for event in events.iter().filter(|event| event.event_type == "RunRequested") {
            let id = event.stream.aggregate_id.parse().unwrap();
            assert!(queries.run(id).await.unwrap().is_some(), "a run that was waited for is there");
        }
    }
    assert!(queries.count_runs(&RunFilter::default()).await.unwrap().value > 10);
    cancel.cancel();
    for runner in runners {
        runner.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_the_runners_of_this_process() {
    follows(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_the_runners_of_another_process() {
    follows(false).await;
}
