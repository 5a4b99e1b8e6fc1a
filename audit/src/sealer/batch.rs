//! One batch: events read and hashed, their streams' heads looked up where they are not known, one row written.

use super::Halt;
use crate::chain::{self, Head, RecentHeads, StreamDigest, stream_digest};
use crate::keys::is_key_event;
use crate::merkle::{Complete, Frontier, Hash, STORED_LEVELS};
use crate::store;
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::{PgConnection, Row};
use std::collections::HashSet;

/// One statement, so that seals and nodes are there together or not at all. It writes nothing unless the newest seal
/// ends where this one begins.
const WRITE: &str = "WITH sealed AS (INSERT INTO cmdiag.audit_seals (first_position, last_position, leaves, chains) \
    SELECT $1, $2, $3, $4 WHERE coalesce((SELECT last_position FROM cmdiag.audit_seals \
        ORDER BY first_position DESC LIMIT 1), 0) = $1 - 1 RETURNING 1), \
    nodes AS (INSERT INTO cmdiag.audit_nodes (level, index, hash) \
        SELECT level, index, hash FROM unnest($5::smallint[], $6::bigint[], $7::bytea[]) AS n (level, index, hash) \
        WHERE EXISTS (SELECT FROM sealed)) \
    SELECT count(*) FROM sealed";

/// The links of the events before these ones in their streams.
const HEADS: &str = "SELECT w.number, substring(s.chains FROM ((e.position - s.first_position) * 32 + 1)::int FOR 32) \
    FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS w (kind, id, sequence, number) \
    JOIN cmdiag.events AS e ON e.aggregate_type = w.kind AND e.aggregate_id = w.id AND e.sequence = w.sequence \
    CROSS JOIN LATERAL (SELECT first_position, chains FROM cmdiag.audit_seals \
        WHERE first_position <= e.position ORDER BY first_position DESC LIMIT 1) AS s \
    ORDER BY w.number";

/// An event of a batch: what sealing needs of it.
struct Hashed {
    stream: StreamDigest,
    sequence: i64,
    leaf: Hash,
}

/// A stream whose head is not known: its event before the one at this position is looked up.
struct Unknown {
    position: u64,
    stream: StreamDigest,
    kind: String,
    id: String,
    sequence: i64,
}

/// Events read and hashed.
#[derive(Default)]
pub(super) struct Batch {
    events: Vec<Hashed>,
    unknown: Vec<Unknown>,
    /// Events of the stream of keys: positions and payloads.
    pub keys: Vec<(u64, String)>,
    /// When the first was recorded.
    pub first_at: Option<DateTime<Utc>>,
    /// When the last was recorded.
    pub last_at: Option<DateTime<Utc>>,
}

impl Batch {
    /// How many events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Reads what follows on `sealed`, row by row: memory holds one event's text at a time.
    pub async fn read(db: &mut PgConnection, heads: &RecentHeads, sealed: u64, limit: usize) -> Result<Self, Halt> {
        let mut batch = Self { events: Vec::with_capacity(64), ..Self::default() };
        let (mut seen, mut scratch) = (HashSet::new(), Vec::with_capacity(512));
        let mut rows = std::pin::pin!(store::events(db, sealed, i64::MAX as u64, limit));
        while let Some(row) = rows.try_next().await? {
            let event = store::stored(&row)?;
            let due = sealed + 1 + batch.events.len() as u64;
            if event.position as u64 != due {
                let reason = format!("the log goes on at position {} where {due} was due", event.position);
                return Err(Halt::Fault { position: due, reason });
            }
            let stream = stream_digest(event.aggregate_type, event.aggregate_id);
            if seen.insert(stream) && event.sequence > 1 && heads.get(&stream).is_none() {
                batch.unknown.push(Unknown {
                    position: due,
                    stream,
                    kind: event.aggregate_type.to_owned(),
                    id: event.aggregate_id.to_owned(),
                    sequence: event.sequence - 1,
                });
            }
            if is_key_event(&event) {
                batch.keys.push((due, event.payload.to_owned()));
            }
            batch.first_at.get_or_insert(event.recorded_at);
            batch.last_at = Some(event.recorded_at);
            let leaf = event.leaf(&mut scratch);
            batch.events.push(Hashed { stream, sequence: event.sequence, leaf });
        }
        Ok(batch)
    }

    /// Looks up the heads of the streams that are not known.
    pub async fn look_up(&self, db: &mut PgConnection, heads: &mut RecentHeads) -> Result<(), Halt> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        let kinds: Vec<&str> = self.unknown.iter().map(|one| one.kind.as_str()).collect();
        let ids: Vec<&str> = self.unknown.iter().map(|one| one.id.as_str()).collect();
        let sequences: Vec<i64> = self.unknown.iter().map(|one| one.sequence).collect();
        let rows = sqlx::query(HEADS).bind(kinds).bind(ids).bind(sequences).fetch_all(db).await?;
        let mut found = rows.iter();
        for (number, unknown) in (1_i64..).zip(&self.unknown) {
            let row = found.next().filter(|row| row.try_get::<i64, _>(0).is_ok_and(|at| at == number));
            let link = row.and_then(|row| Hash::try_from(row.try_get::<&[u8], _>(1).ok()?).ok());
            let Some(link) = link else {
                let Unknown { position, kind, id, sequence, .. } = unknown;
                let reason = format!("event {sequence} of its stream {kind}-{id} is not in the log, or not sealed");
                return Err(Halt::Fault { position: *position, reason });
            };
            heads.put(unknown.stream, Head { sequence: unknown.sequence, link });
        }
        Ok(())
    }

    /// Seals the events: grows tree and chains, and writes what they have become.
    pub async fn write(
        &self,
        db: &mut PgConnection,
        frontier: &mut Frontier,
        heads: &mut RecentHeads,
    ) -> Result<(), Halt> {
        let first = frontier.size() + 1;
        let mut nodes: Vec<Complete> = Vec::new();
        let mut leaves = Vec::with_capacity(32 * self.events.len());
        let mut chains = Vec::with_capacity(32 * self.events.len());
        for event in &self.events {
            let before = match event.sequence {
                1 => Head { sequence: 0, link: chain::START },
                _ => heads.get(&event.stream).unwrap_or(Head { sequence: 0, link: chain::START }),
            };
            if event.sequence != before.sequence + 1 {
                let (sequence, last) = (event.sequence, before.sequence);
                let reason = format!("its stream goes on with event {sequence} after event {last}");
                return Err(Halt::Fault { position: frontier.size() + 1, reason });
            }
            let link = chain::link(&before.link, &event.leaf);
            heads.put(event.stream, Head { sequence: event.sequence, link });
            frontier.push(event.leaf, |complete| {
                if complete.level % STORED_LEVELS == 0 {
                    nodes.push(complete);
                }
            });
            leaves.extend_from_slice(&event.leaf);
            chains.extend_from_slice(&link);
        }
        let written: i64 = sqlx::query_scalar(WRITE)
            .bind(first as i64)
            .bind(frontier.size() as i64)
            .bind(leaves)
            .bind(chains)
            .bind(nodes.iter().map(|node| node.level as i16).collect::<Vec<_>>())
            .bind(nodes.iter().map(|node| node.index as i64).collect::<Vec<_>>())
            .bind(nodes.iter().map(|node| node.hash.to_vec()).collect::<Vec<_>>())
            .fetch_one(db)
            .await
            .map_err(|error| match error.as_database_error() {
                Some(refused) if refused.is_unique_violation() => Halt::Overtaken,
                _ => error.into(),
            })?;
        if written == 1 { Ok(()) } else { Err(Halt::Overtaken) }
    }
}
