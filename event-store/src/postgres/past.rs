//! Looking back in one statement each: the events of many streams up to a position by the streams' key, a position's
//! time by the positions' key, and the position of a time by halving the log through that same key. No index of its
//! own: the append pays nothing for it.

use super::bounded;
use super::read::{MetadataMemo, READ_PATIENCE, decode_with};
use crate::log::{LogError, RecordedEvent, StreamId};
use crate::past::CLOCK_STEP;
use crate::upcast::Upcasters;
use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::PgPool;
use std::collections::HashMap;

/// The most events of one look back, whatever was asked for.
const PAST_MAX: usize = 100_000;

/// `$1` and `$2` streams, `$3` position, `$4` one more than the limit, `$5` types that are left out. Of no stream are
/// more than `$4` given; those that are left out are read over by the stream's key, and count for nothing.
const READ_STREAMS: &str = "SELECT e.position, e.aggregate_type, e.aggregate_id, e.sequence, e.event_id, e.event_type, \
    e.event_version, e.payload, e.metadata, e.recorded_at \
    FROM unnest($1::text[], $2::text[]) AS s (aggregate_type, aggregate_id) \
    CROSS JOIN LATERAL (SELECT * FROM cmdiag.events AS one WHERE one.aggregate_type = s.aggregate_type \
        AND one.aggregate_id = s.aggregate_id AND one.position <= $3 AND one.event_type <> ALL ($5) \
        ORDER BY one.sequence LIMIT $4) AS e LIMIT $4";

const RECORDED_AT: &str = "SELECT recorded_at FROM cmdiag.events WHERE position = $1";

/// `$1` the moment, `$2` the moment and a clock's step. What lies at the end of the halving is the last position that
/// the moment can be at; from there it goes back to the first one that it is at. Where positions are missing (moved
/// elsewhere), the next one speaks for them.
const POSITION_AT: &str = "WITH RECURSIVE search (low, high) AS ( \
        SELECT 0::bigint, coalesce(max(position), 0) FROM cmdiag.events \
        UNION ALL \
        SELECT CASE WHEN e.recorded_at <= $2 THEN e.position ELSE s.low END, \
            CASE WHEN e.recorded_at <= $2 THEN greatest(s.high, e.position) ELSE m.middle - 1 END \
        FROM search AS s \
        CROSS JOIN LATERAL (SELECT s.low + (s.high - s.low + 1) / 2 AS middle) AS m \
        CROSS JOIN LATERAL (SELECT one.position, one.recorded_at FROM cmdiag.events AS one \
            WHERE one.position >= m.middle ORDER BY one.position LIMIT 1) AS e \
        WHERE s.low < s.high \
    ) \
    SELECT position FROM cmdiag.events \
    WHERE position <= (SELECT low FROM search WHERE low = high) AND recorded_at <= $1 \
    ORDER BY position DESC LIMIT 1";

pub(super) async fn read_streams(
    pool: &PgPool,
    upcasters: &Upcasters,
    (mut streams, mut without): (Vec<StreamId>, &[&str]),
    until: Position,
    limit: usize,
) -> Result<Option<Vec<RecordedEvent>>, LogError> {
    streams.sort_unstable();
    streams.dedup();
    let limit = limit.min(PAST_MAX);
    let types: Vec<&str> = streams.iter().map(|stream| &*stream.aggregate_type).collect();
    let ids: Vec<&str> = streams.iter().map(|stream| &*stream.aggregate_id).collect();
    if !upcasters.is_empty() {
        // What is stored under a type may be read as another.
        without = &[];
    }
    let query = sqlx::query(READ_STREAMS).bind(types).bind(ids).bind(until.0).bind(limit as i64 + 1).bind(without);
    let rows = bounded(READ_PATIENCE, query.fetch_all(pool)).await?;
    if rows.len() > limit {
        return Ok(None);
    }
    let mut events = Vec::with_capacity(rows.len());
    let mut memo = MetadataMemo::default();
    for row in &rows {
        events.push(decode_with(row, Position::START, &mut memo)?);
    }
    events.sort_unstable_by_key(|event: &RecordedEvent| event.position);
    if without.is_empty() {
        whole(&events)?;
    }
    events.into_iter().map(|event| upcasters.apply(event)).collect::<Result<_, _>>().map(Some)
}

/// Each stream begins with its first event and leaves none out.
fn whole(events: &[RecordedEvent]) -> Result<(), LogError> {
    let mut versions: HashMap<&StreamId, i64> = HashMap::new();
    for event in events {
        let last = versions.entry(&event.stream).or_default();
        *last += 1;
        if event.version.0 != *last {
            let reason = format!("stream {} goes on with event {}, not {last}", event.stream, event.version);
            return Err(LogError::Damaged { position: event.position, reason });
        }
    }
    Ok(())
}

pub(super) async fn position_at(pool: &PgPool, at: DateTime<Utc>) -> Result<Position, LogError> {
    let furthest = at.checked_add_signed(CLOCK_STEP).unwrap_or(at);
    let query = sqlx::query_scalar::<_, i64>(POSITION_AT).bind(at).bind(furthest).fetch_optional(pool);
    Ok(bounded(READ_PATIENCE, query).await?.map_or(Position::START, Position))
}

pub(super) async fn recorded_at(pool: &PgPool, position: Position) -> Result<Option<DateTime<Utc>>, LogError> {
    let query = sqlx::query_scalar(RECORDED_AT).bind(position.0).fetch_optional(pool);
    bounded(READ_PATIENCE, query).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use private_servers::testing::TestDatabase;
    use sqlx::Executor;

    /// 20,000 events of 2,000 streams.
    const FILL: &str = "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, \
            payload, metadata, position, recorded_at) \
        SELECT 'Thing', 'thing-' || (n - 1) / 10, (n - 1) % 10 + 1, 'Happened', '1', '{}', '{}', n, \
            now() - (20000 - n) * interval '1 second' FROM generate_series(1, 20000) n; \
        ANALYZE cmdiag.events";

    async fn plan(pool: &PgPool, sql: &str) -> String {
        let plan: Vec<String> = sqlx::query_scalar(&format!("EXPLAIN {sql}")).fetch_all(pool).await.unwrap();
        plan.join("\n")
    }

    #[tokio::test]
    async fn every_look_back_is_answered_from_a_key() {
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        pool.execute(FILL).await.unwrap();
        let streams = READ_STREAMS
            .replace("$1", "'{Thing,Thing}'")
            .replace("$2", "'{thing-1,thing-2}'")
            .replace("$3", "15000")
            .replace("$4", "101")
            .replace("$5", "'{Other}'");
        let time =
            POSITION_AT.replace("$1", "now() - interval '1 hour'").replace("$2", "now() - interval '59 minutes'");
        let recorded = RECORDED_AT.replace("$1", "15000");
        for (sql, key) in [(streams, "events_pkey"), (time, "events_position_key"), (recorded, "events_position_key")] {
            let plan = plan(&pool, &sql).await;
            assert!(plan.contains(key) && !plan.contains("Seq Scan on events"), "{plan}");
            // A sort of the log would be one of all of it.
            assert!(!plan.contains("Sort"), "{plan}");
        }
    }
}
