//! Who waits for whose answer, and which answers are kept.

use crate::support::{World, eventually};
use event_store::EventLog;
use futures::future::FutureExt;
use query_side::{
    Answers, AnswersOptions, Cache, CacheOptions, Entered, FindingFilter, PageRequest, Queries, Question, RunFilter,
};
use std::sync::Arc;
use std::time::Duration;

async fn start(world: &World, answers: AnswersOptions) -> Queries {
    let log: Arc<dyn EventLog> = world.log.clone();
    let options = CacheOptions { answers, ..CacheOptions::default() };
    let cache = Cache::start(options, world.pool.clone(), log, Arc::clone(&world.feed), &world.cancel);
    let queries = Queries::new(world.pool.clone(), cache);
    eventually("the cache follows the feed", async || queries.cache().is_following()).await;
    queries
}

fn question(text: &str) -> Question {
    Question { scope: "default".into(), by: "POST", asked: text.as_bytes().into() }
}

async fn yours<'a>(answers: &'a Answers, question: &Question) -> query_side::cache::answers::Answering<'a> {
    match answers.enter(question).await {
        Entered::Yours(answering) => answering,
        Entered::Answered(_) | Entered::Alone => panic!("nobody else answers {question:?}"),
    }
}

/// Reads the list of runs, recording; what it rests on.
async fn read_runs(queries: &Queries) -> Queries {
    let (recording, _) = queries.recording().await;
    recording.runs(&RunFilter::default(), &PageRequest::first(5)).await.unwrap();
    recording
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_finished_is_taken_up_by_who_waits() {
    let world = World::of(61, 50).await;
    let queries = start(&world, AnswersOptions::default()).await;
    let (answers, question) = (queries.cache().answers().unwrap(), question("a"));
    let first = yours(answers, &question).await;
    let mut waiting = Box::pin(answers.enter(&question));
    assert!((&mut waiting).now_or_never().is_none());
    drop(first);
    assert!(matches!(waiting.await, Entered::Yours(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_outdated_when_it_comes_is_not_given_to_who_came_meanwhile() {
    let mut world = World::of(62, 200).await;
    let queries = start(&world, AnswersOptions::default()).await;
    let (answers, question) = (queries.cache().answers().unwrap(), question("a"));
    let first = yours(answers, &question).await;
    let old = read_runs(&queries).await;
    let (mut one, mut other) = (Box::pin(answers.enter(&question)), Box::pin(answers.enter(&question)));
    assert!((&mut one).now_or_never().is_none() && (&mut other).now_or_never().is_none());
    let head = world.go_on(40).await;
    queries.wait_for(head, Duration::from_secs(20)).await.unwrap();
    first.landed("old".into(), old.basis());
    let Entered::Yours(second) = one.await else { panic!("the old answer was given") };
    assert!((&mut other).now_or_never().is_none());
    second.landed("new".into(), read_runs(&queries).await.basis());
    let Entered::Answered(body) = other.await else { panic!("the new answer was not given") };
    assert_eq!(&body[..], b"new");
    assert_eq!(answers.get(&question).await.as_deref(), Some(&b"new"[..]));
    let head = world.go_on(40).await;
    queries.wait_for(head, Duration::from_secs(20)).await.unwrap();
    assert_eq!(answers.get(&question).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_told_and_what_is_too_large_is_not_kept() {
    let world = World::of(63, 50).await;
    let queries = start(&world, AnswersOptions { answer_bytes: 2_000, ..AnswersOptions::default() }).await;
    let answers = queries.cache().answers().unwrap();
    let (untold, _) = queries.recording().await;
    let muted = FindingFilter { muted: Some(true), ..FindingFilter::default() };
    untold.findings(&muted, &PageRequest::first(5)).await.unwrap();
    yours(answers, &question("clock")).await.landed("x".into(), untold.basis());
    yours(answers, &question("large")).await.landed(vec![b'x'; 2_000].into(), read_runs(&queries).await.basis());
    yours(answers, &question("kept")).await.landed("x".into(), read_runs(&queries).await.basis());
    for (text, kept) in [("clock", false), ("large", false), ("kept", true)] {
        assert_eq!(answers.get(&question(text)).await.is_some(), kept, "{text}");
    }
    let others = Question { scope: "another".into(), ..question("kept") };
    assert_eq!(answers.get(&others).await, None, "the scope is part of the question");
    assert_eq!(answers.figures().unkept, 2);
    let off = start(&world, AnswersOptions { bytes: 0, ..AnswersOptions::default() }).await;
    assert!(off.cache().answers().is_none());
}
