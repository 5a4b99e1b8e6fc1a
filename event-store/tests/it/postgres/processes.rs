//! Several processes at one log. The other processes are this test binary once more, told by the environment what to
//! do.

use crate::support::{PATIENCE, append_by, assert_dense, assert_holds, read_rest, within};
use domain::{Position, StreamVersion};
use event_store::{AppendError, Appended, EventLog, PostgresEventLog, PostgresLogOptions, StreamId};
use private_servers::testing::TestDatabase;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::process::Stdio;
use std::str::FromStr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use uuid::Uuid;

const URL: &str = "EVENT_STORE_TEST_URL";
const WRITERS: &str = "EVENT_STORE_TEST_WRITERS";
const APPENDS: &str = "EVENT_STORE_TEST_APPENDS";

/// Another process that appends and says what was acknowledged.
pub struct WritingProcess {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl WritingProcess {
    /// Starts it: so many concurrent writers, each with a stream of its own and so many appends.
    pub fn start(url: &str, writers: usize, appends: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "postgres::processes::appends_as_another_process", "--ignored", "--nocapture"])
            .env(URL, url)
            .env(WRITERS, writers.to_string())
            .env(APPENDS, appends.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next acknowledged append; `None` at its end.
    pub async fn next(&mut self) -> Option<(Uuid, Appended)> {
        while let Some(line) = within("a writing process", self.lines.next_line()).await.unwrap() {
            if let Some(acknowledged) = parse(&line) {
                return Some(acknowledged);
            }
        }
        None
    }

    /// All that is still to come.
    pub async fn rest(&mut self) -> Vec<(Uuid, Appended)> {
        let mut all = Vec::new();
        while let Some(acknowledged) = self.next().await {
            all.push(acknowledged);
        }
        all
    }
}

/// A line that its writer was killed in the middle of has no end mark, and says nothing.
fn parse(line: &str) -> Option<(Uuid, Appended)> {
    let fields: Vec<&str> = line.strip_prefix("acknowledged ")?.strip_suffix(" .")?.split(' ').collect();
    let [id, position, version, events] = fields[..] else { return None };
    let appended = Appended {
        position: Position(position.parse().ok()?),
        version: StreamVersion(version.parse().ok()?),
        events: events.parse().ok()?,
        repeated: false,
    };
    Some((id.parse().ok()?, appended))
}

/// Writers that repeat an append until it is answered, and report each answer.
pub async fn write_and_report(
    log: Arc<dyn EventLog>,
    writers: usize,
    appends: usize,
    report: impl Fn(Uuid, Appended) + Clone + Send + 'static,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (log, report) = (Arc::clone(&log), report.clone());
        tasks.spawn(async move {
            let stream = StreamId::new("Thing", &Uuid::now_v7().to_string());
            let events = writer % 3 + 1;
            let mut version = 0;
            for _ in 0..appends {
                let id = Uuid::now_v7();
                let appended = append_until_answered(&*log, id, &stream, version, events).await;
                report(id, appended);
                version = appended.version.0;
            }
        });
    }
    tasks.join_all().await;
}

async fn append_until_answered(
    log: &dyn EventLog,
    id: Uuid,
    stream: &StreamId,
    version: i64,
    events: usize,
) -> Appended {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        match log.append(append_by(id, stream, version, events)).await {
            Ok(appended) => return appended,
            Err(AppendError::Log(_) | AppendError::Overloaded) if tokio::time::Instant::now() < give_up => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub async fn connect(url: &str) -> Arc<PostgresEventLog> {
    let options = PgConnectOptions::from_str(url).unwrap();
    let pool = PgPoolOptions::new().max_connections(3).connect_lazy_with(options);
    PostgresEventLog::connect(pool, PostgresLogOptions::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "what the other processes of these tests run"]
async fn appends_as_another_process() {
    let setting = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} tells what to do"));
    let log = connect(&setting(URL)).await;
    let report = |id, appended: Appended| {
        println!("acknowledged {id} {} {} {} .", appended.position, appended.version, appended.events);
    };
    write_and_report(log, setting(WRITERS).parse().unwrap(), setting(APPENDS).parse().unwrap(), report).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_write_one_dense_log() {
    let database = TestDatabase::migrated().await;
    let mut processes: Vec<_> = (0..3).map(|_| WritingProcess::start(database.url(), 6, 60)).collect();
    let log = connect(database.url()).await;
    let total: usize = 3 * 2 * 60 * (1 + 2 + 3);
    // A reader at their heels: whatever it has passed must never get a new event behind it.
    let tail = tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            let mut after = Position::START;
            let mut newest = log.newest();
            while after.0 < total as i64 {
                let read = log.read_all(after, 100).await.unwrap();
                after = read.last().map_or(after, |event| event.position);
                if read.is_empty() {
                    within("news", newest.changed()).await.unwrap();
                }
            }
            after
        }
    });
    let mut acknowledged = Vec::new();
    for process in &mut processes {
        acknowledged.extend(process.rest().await);
        assert!(process.child.wait().await.unwrap().success());
    }
    assert_eq!(within("the tail", tail).await.unwrap().0, total as i64);
    let all = read_rest(&*log, Position::START).await;
    assert_eq!((acknowledged.len(), all.len()), (3 * 6 * 60, total));
    assert_dense(&all, Position::START);
    for (id, appended) in &acknowledged {
        assert_holds(&all, Position::START, appended, *id);
    }
}
