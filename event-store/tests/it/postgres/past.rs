//! Looking back: what streams held at a position, and which position a time is.

use crate::support::{append, new_stream};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{CommandId, Position, StreamVersion};
use event_store::past::CLOCK_STEP;
use event_store::{
    Append, AppendError, Appended, CommandOutcome, EventLog, LogError, PostgresEventLog, PostgresLogOptions,
    RecordedEvent, RefusedCommand, StreamId,
};
use futures::future::BoxFuture;
use private_servers::testing::TestDatabase;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::watch;

/// A log that has nothing of its own to look back with: what every backend can do.
struct Plain(Arc<PostgresEventLog>);

impl EventLog for Plain {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.0.append(append)
    }
    fn record_refusal(&self, refusal: RefusedCommand) -> BoxFuture<'_, Result<CommandOutcome, AppendError>> {
        self.0.record_refusal(refusal)
    }
    fn command_outcome(
        &self,
        command: CommandId,
        body_hash: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<CommandOutcome>, AppendError>> {
        self.0.command_outcome(command, body_hash)
    }
    fn read_stream(
        &self,
        stream: StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        self.0.read_stream(stream, after, limit)
    }
    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        self.0.read_all(after, limit)
    }
    fn head(&self) -> BoxFuture<'_, Result<Position, LogError>> {
        self.0.head()
    }
    fn newest(&self) -> watch::Receiver<Position> {
        self.0.newest()
    }
}

async fn logs(pool: &PgPool) -> (Arc<PostgresEventLog>, Plain) {
    let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await.unwrap();
    (Arc::clone(&log), Plain(log))
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_352_000, 0).unwrap()
}

/// Events recorded at these times, one stream each.
async fn recorded(pool: &PgPool, times: &[DateTime<Utc>]) {
    sqlx::query(
        "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
         metadata, position, recorded_at) SELECT 'Thing', n::text, 1, 'Happened', '1', '{}', '{}', n, at \
         FROM unnest($1::timestamptz[]) WITH ORDINALITY AS t (at, n)",
    )
    .bind(times)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_time_is_the_last_position_recorded_by_then_also_where_the_clock_stepped_back() {
    let mut random = StdRng::seed_from_u64(81);
    for disorder_ms in [0, 200, CLOCK_STEP.num_milliseconds()] {
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        let (log, plain) = logs(&pool).await;
        assert_eq!(log.position_at(start()).await.unwrap(), Position::START, "an empty log");
        let mut now = start();
        let times: Vec<DateTime<Utc>> = (0..3_000)
            .map(|_| {
                now += TimeDelta::milliseconds(random.random_range(0..400));
                now - TimeDelta::milliseconds(random.random_range(0..=disorder_ms))
            })
            .collect();
        recorded(&pool, &times).await;
        for _ in 0..200 {
            let at = start() + TimeDelta::milliseconds(random.random_range(-10_000..650_000));
            let expected = times.iter().rposition(|time| *time <= at).map_or(0, |index| index as i64 + 1);
            assert_eq!(log.position_at(at).await.unwrap(), Position(expected), "{at} of {disorder_ms} ms");
            assert_eq!(plain.position_at(at).await.unwrap(), Position(expected), "{at} of {disorder_ms} ms");
        }
        for (position, expected) in [(0, None), (1, Some(times[0])), (3_000, Some(times[2_999])), (3_001, None)] {
            assert_eq!(log.recorded_at(Position(position)).await.unwrap(), expected);
            assert_eq!(plain.recorded_at(Position(position)).await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn streams_are_read_together_up_to_a_position_or_not_at_all() {
    let database = TestDatabase::migrated().await;
    let (log, plain) = logs(&database.pool().await).await;
    let streams: Vec<StreamId> = (0..4).map(|_| new_stream()).collect();
    for round in 0..20 {
        for stream in &streams {
            log.append(append(stream, round * 2, 2)).await.unwrap();
        }
    }
    let asked = vec![streams[2].clone(), streams[0].clone(), streams[2].clone(), new_stream()];
    let ids = |events: &[RecordedEvent]| events.iter().map(|event| event.event_id).collect::<Vec<_>>();
    for until in [0, 1, 2, 77, 80, 160, 999] {
        let all = log.read_all(Position::START, 1_000).await.unwrap();
        let of = |event: &&RecordedEvent| event.position.0 <= until && asked.contains(&event.stream);
        let expected: Vec<RecordedEvent> = all.iter().filter(of).cloned().collect();
        for one in [&*log as &dyn EventLog, &plain] {
            let read = one.read_streams(asked.clone(), &[], Position(until), 80).await.unwrap().unwrap();
            assert_eq!(ids(&read), ids(&expected), "until {until}");
            let cut = one.read_streams(asked.clone(), &[], Position(until), 39).await.unwrap();
            assert_eq!(cut.is_none(), expected.len() > 39, "until {until}");
            let without = one.read_streams(asked.clone(), &["SomethingHappened"], Position(until), 39).await.unwrap();
            assert_eq!(without.map(|events| events.len()), Some(0), "until {until}");
        }
    }
}

#[tokio::test]
async fn what_is_left_out_of_a_long_stream_hides_nothing_that_comes_later() {
    let database = TestDatabase::migrated().await;
    let (log, plain) = logs(&database.pool().await).await;
    let stream = new_stream();
    for version in 0..30 {
        log.append(append(&stream, version, 1)).await.unwrap();
    }
    let mut ended = append(&stream, 30, 1);
    ended.events[0].event_type = "AllEnded".to_owned();
    log.append(ended).await.unwrap();
    for one in [&*log as &dyn EventLog, &plain] {
        let read = one.read_streams(vec![stream.clone()], &["SomethingHappened"], Position(31), 10).await.unwrap();
        let types: Vec<String> = read.unwrap().into_iter().map(|event| event.event_type).collect();
        assert_eq!(types, ["AllEnded"]);
    }
}
