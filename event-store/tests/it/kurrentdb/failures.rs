//! Connections that break, leaders that change, servers that go, readers that are slow.

use super::double::Fault;
use super::scene::{SOON, Scene};
use crate::support::{
    PATIENCE, append, append_by, assert_dense, assert_holds, eventually, new_stream, read_rest, within,
};
use domain::Position;
use event_store::{AppendError, Appended, EventLog, KurrentEventLog, KurrentLogOptions, LiveFeed, LogError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Acknowledged = Vec<(Uuid, Appended)>;

/// Writers that repeat each append until it is answered.
struct Writing {
    tasks: tokio::task::JoinSet<Acknowledged>,
    done: Arc<AtomicUsize>,
}

impl Writing {
    fn start(log: &Arc<dyn EventLog>, writers: usize, appends: i64) -> Self {
        let mut tasks = tokio::task::JoinSet::new();
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..writers {
            let (log, done) = (Arc::clone(log), Arc::clone(&done));
            tasks.spawn(async move {
                let stream = new_stream();
                let mut acknowledged = Vec::new();
                for n in 0..appends {
                    let id = Uuid::now_v7();
                    acknowledged.push((id, until_answered(&*log, id, &stream, n * 2).await));
                    done.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            });
        }
        Self { tasks, done }
    }

    /// Waits until so many more appends are answered.
    async fn goes_on(&self, appends: usize) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("writing goes on", async || (self.done.load(Ordering::Relaxed) >= before + appends).then_some(()))
            .await;
    }

    /// All that was acknowledged stands in the log once, whole, and nothing else does.
    async fn end(self, log: &dyn EventLog) {
        let acknowledged = within("the writers", self.tasks.join_all()).await.concat();
        let all = read_rest(log, Position::START).await;
        assert_dense(&all, Position::START);
        assert_eq!(all.len(), acknowledged.len() * 2);
        for (id, appended) in &acknowledged {
            assert_holds(&all, Position::START, appended, *id);
        }
    }
}

async fn until_answered(log: &dyn EventLog, id: Uuid, stream: &event_store::StreamId, version: i64) -> Appended {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        match log.append(append_by(id, stream, version, 2)).await {
            Ok(appended) => return appended,
            Err(AppendError::Log(LogError::Unavailable(_))) if tokio::time::Instant::now() < give_up => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_lose_and_double_nothing() {
    let scene = Scene::new().await;
    let (log, other) = (scene.log().await, scene.log().await);
    let (one, two) = (Writing::start(&log, 4, 30), Writing::start(&other, 1, 0));
    for _ in 0..12 {
        one.goes_on(8).await;
        scene.double.drop_connections();
    }
    two.tasks.join_all().await;
    one.end(&*other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_is_followed() {
    let scene = Scene::of_nodes(3).await;
    let log = scene.log().await;
    let reader = scene.log().await;
    let writing = Writing::start(&log, 3, 40);
    for leader in [1, 2, 0, 2, 1] {
        writing.goes_on(15).await;
        scene.double.elect(leader);
    }
    writing.end(&*reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced() {
    let scene = Scene::of_nodes(3).await;
    let log = scene.log().await;
    let writing = Writing::start(&log, 3, 30);
    writing.goes_on(15).await;
    // Down first, and only a moment later is there another leader: in between nobody answers.
    scene.double.kill(0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    scene.double.elect(2);
    writing.goes_on(15).await;
    writing.end(&*log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_reported_in_time_and_taken_up_again() {
    let scene = Scene::new().await;
    let options = KurrentLogOptions { answer_within: SOON, ..scene.options() };
    let log = KurrentEventLog::connect(options.clone()).await.unwrap();
    let stream = new_stream();
    log.append(append(&stream, 0, 1)).await.unwrap();
    scene.double.kill(0);
    let lost = append(&stream, 1, 1);
    let start = tokio::time::Instant::now();
    let answers = futures::join!(log.append(lost.clone()), log.append(append(&new_stream(), 3, 1)), log.head());
    let told_after = start.elapsed();
    for answer in [answers.0.map(|_| ()), answers.1.map(|_| ())] {
        assert!(matches!(answer, Err(AppendError::Log(LogError::Unavailable(_)))), "{answer:?}");
    }
    assert!(matches!(answers.2, Err(LogError::Unavailable(_))), "{:?}", answers.2);
    assert!(told_after < SOON * 3, "told after {told_after:?}");
    let refused = KurrentEventLog::connect(options).await.err();
    assert!(matches!(refused, Some(LogError::Unavailable(_))), "{refused:?}");
    scene.double.revive(0).await;
    let back = eventually("the log is back", async || log.append(lost.clone()).await.ok()).await;
    assert_eq!((back.position, back.version.0), (Position(2), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_does_not_hold_an_append_for_ever() {
    let scene = Scene::new().await;
    let options = KurrentLogOptions { answer_within: SOON, ..scene.options() };
    let log = KurrentEventLog::connect(options).await.unwrap();
    let [commands, ..] = scene.kinds();
    scene.double.plant("Append", commands, 0, Fault::Hang);
    let silent = append(&new_stream(), 0, 1);
    let answer = within("an answer", log.append(silent.clone())).await;
    assert!(matches!(answer, Err(AppendError::Log(LogError::Unavailable(_)))), "{answer:?}");
    assert!(!log.append(silent).await.unwrap().repeated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_log_says_so() {
    let scene = Scene::new().await;
    let log = KurrentEventLog::connect(KurrentLogOptions { appends_max: 2, ..scene.options() }).await.unwrap();
    let [commands, ..] = scene.kinds();
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..2 {
        scene.double.plant("Append", commands.clone(), 0, Fault::Delay(SOON));
        let log = Arc::clone(&log);
        slow.spawn(async move { log.append(append(&new_stream(), 0, 1)).await.unwrap() });
    }
    scene.struck().await;
    let answer = log.append(append(&new_stream(), 0, 1)).await;
    assert!(matches!(answer, Err(AppendError::Overloaded)), "{answer:?}");
    within("the slow ones", slow.join_all()).await;
    log.append(append(&new_stream(), 0, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_up_nobody_and_misses_nothing() {
    let scene = Scene::new().await;
    let (log, reading) = (scene.log().await, scene.log().await);
    let feed = LiveFeed::start(Arc::clone(&reading), CancellationToken::new());
    let mut slow = feed.subscribe(Position::START);
    log.append(append(&new_stream(), 0, 2)).await.unwrap();
    assert_eq!(within("the first", slow.next()).await.unwrap().len(), 2);
    // From here on the links come to the reader late, and its connections break; the writer does not notice.
    let [.., links] = scene.kinds();
    for n in 0..6 {
        let fault = if n % 2 == 0 { Fault::Delay(Duration::from_millis(100)) } else { Fault::DropBefore };
        scene.double.plant("Read", links.clone(), n, fault);
    }
    let writing = Writing::start(&log, 3, 40);
    let mut next = 3;
    while next <= 2 + 3 * 40 * 2 {
        for event in within("the feed", slow.next()).await.unwrap().iter() {
            assert_eq!(event.position.0, next);
            next += 1;
        }
    }
    scene.struck().await;
    within("the writers", writing.tasks.join_all()).await;
    assert_eq!(reading.head().await.unwrap().0, next - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_number_one_log_at_once() {
    let scene = Scene::new().await;
    let logs = [scene.log().await, scene.log().await, scene.log().await];
    let writing: Vec<_> = logs.iter().map(|log| Writing::start(log, 4, 15)).collect();
    let mut acknowledged = Vec::new();
    for writing in writing {
        acknowledged.extend(within("the writers", writing.tasks.join_all()).await.concat());
    }
    let all = read_rest(&*logs[0], Position::START).await;
    assert_dense(&all, Position::START);
    assert_eq!(all.len(), 3 * 4 * 15 * 2);
    for (id, appended) in &acknowledged {
        assert_holds(&all, Position::START, appended, *id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_own_limit_is_an_append_too_large() {
    let scene = Scene::new().await;
    let options = KurrentLogOptions { append_bytes_max: 64 << 20, ..scene.options() };
    let log = KurrentEventLog::connect(options).await.unwrap();
    let mut large = append(&new_stream(), 0, 1);
    let text = format!("\"{}\"", "x".repeat(2 << 20));
    large.events[0].payload = serde_json::value::RawValue::from_string(text).unwrap();
    let answer = log.append(large).await;
    assert!(matches!(answer, Err(AppendError::TooLarge { events: 1, bytes }) if bytes > 2 << 20), "{answer:?}");
    assert_eq!(log.head().await.unwrap(), Position::START);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_url_is_refused_without_its_password() {
    for url in ["postgres://u:hunter2@h/d", "esdb://u:hunter2@h:port?tls=perhaps", "nonsense hunter2"] {
        let error = KurrentEventLog::connect(KurrentLogOptions::new(url)).await.err().unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    assert!(!format!("{:?}", KurrentLogOptions::new("esdb://u:hunter2@h")).contains("hunter2"));
}
