//! The one statement that writes a batch: its SQL and its arguments.
//!
//! Both inserts ride in one statement outside an explicit transaction: one round trip, one commit. The statement
//! stays plain (no joins that look for losers: they cost half the throughput); the unique keys judge.

use super::pending::Pending;
use crate::log::NewEvent;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgTypeInfo};
use sqlx::{Arguments, Encode, Postgres, Type};
use uuid::Uuid;

/// How a batch finds its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The remembered end of the log: right nearly always when this process writes alone. The lock is taken shared,
    /// so that optimistic writers do not wait for each other, but a writer that holds it alone is respected.
    After(i64),
    /// Asked from the database under the lock: while others write too.
    Asked,
}

// What both statements say alike: the columns, in the order in which they are given.
macro_rules! insert_command {
    () => {
        "INSERT INTO cmdiag.commands (command_id, tenant, actor, name, aggregate_type, aggregate_id, body_hash, outcome,
    first_position, last_position, stream_version, events, refusal_code, refusal_message, correlation_id, causation_id)
"
    };
}
macro_rules! insert_event {
    () => {
        "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
    metadata, position, event_id)
"
    };
}
// 7164492985984811009 is the log's advisory lock, as in `cmdiag.next_position()` (migration 0001).
macro_rules! held {
    () => {
        "(SELECT pg_advisory_xact_lock_shared(7164492985984811009)) AS held"
    };
}

// The function in `place` runs before the first row is written: both inserts read from it. `events` stands after
// `commands` because PostgreSQL runs the last data-modifying part first: positions are then fought over before
// command ids. The arrays are unnested in the SELECT's list and not in FROM, where each would first be gathered into a
// store of rows of its own.
macro_rules! write_sql {
    ($($place:expr),+) => {
        concat!(
            "WITH place AS MATERIALIZED (",
            $($place),+,
            "), commands AS (\n",
            insert_command!(),
            "SELECT c.command_id, c.tenant, c.actor, c.name, c.aggregate_type, c.aggregate_id, c.body_hash,
    CASE WHEN c.refusal_code IS NULL THEN 'accepted' ELSE 'refused' END,
    CASE WHEN c.events > 0 THEN place.first + c.ends - c.events END,
    CASE WHEN c.refusal_code IS NULL THEN place.first + c.ends - 1 END,
    CASE WHEN c.refusal_code IS NULL THEN c.stream_version END,
    c.events, c.refusal_code, c.refusal_message, c.correlation_id, c.causation_id
FROM place, (SELECT unnest($9::uuid[]) AS command_id, unnest($10::text[]) AS tenant, unnest($11::text[]) AS actor,
    unnest($12::text[]) AS name, unnest($13::text[]) AS aggregate_type, unnest($14::text[]) AS aggregate_id,
    unnest($15::bytea[]) AS body_hash, unnest($16::bigint[]) AS ends, unnest($17::bigint[]) AS stream_version,
    unnest($18::int[]) AS events, unnest($19::text[]) AS refusal_code, unnest($20::text[]) AS refusal_message,
    unnest($21::uuid[]) AS correlation_id, unnest($22::uuid[]) AS causation_id) AS c
), events AS (\n",
            insert_event!(),
            "SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload, e.metadata,
    place.first + e.ordinal - 1, e.event_id
FROM place, (SELECT unnest($1::text[]) AS aggregate_type, unnest($2::text[]) AS aggregate_id,
    unnest($3::bigint[]) AS sequence, unnest($4::text[]) AS event_type, unnest($5::text[]) AS event_version,
    unnest($6::json[]) AS payload, unnest($7::json[]) AS metadata, unnest($8::uuid[]) AS event_id,
    generate_subscripts($8::uuid[], 1) AS ordinal) AS e
) SELECT place.first FROM place WHERE $23::bigint IS NOT NULL"
        )
    };
}

// One append of one event, the commonest batch of a quiet log: without arrays, whose unnesting costs a third of so
// small a statement, and with the event's insert as the statement itself, which PostgreSQL runs before those in WITH.
macro_rules! write_one_sql {
    ($place:literal, $position:literal, $command_from:literal, $($event_from:expr),+) => {
        concat!(
            "WITH ",
            $place,
            "commands AS (\n",
            insert_command!(),
            "SELECT $9::uuid, $10::text, $11::text, $12::text, $1::text, $2::text, $13::bytea, 'accepted', ",
            $position,
            ", ",
            $position,
            ", $3::bigint, 1, NULL, NULL, NULL, NULL",
            $command_from,
            "\n) ",
            insert_event!(),
            "SELECT $1::text, $2::text, $3::bigint, $4::text, $5::text, $6::json, $7::json, ",
            $position,
            ", $8::uuid\nFROM ",
            $($event_from),+,
            "\nRETURNING position"
        )
    };
}

const WRITE_AFTER: &str = write_sql!("SELECT $23::bigint + 1 AS first FROM ", held!());
const WRITE_ASKED: &str = write_sql!("SELECT cmdiag.next_position() AS first");
const WRITE_ONE_AFTER: &str = write_one_sql!("", "$14::bigint + 1", "", held!());
const WRITE_ONE_ASKED: &str = write_one_sql!(
    "place AS MATERIALIZED (SELECT cmdiag.next_position() AS first), ",
    "place.first",
    " FROM place",
    "place"
);

/// JSON text that goes out as it is.
struct JsonText<'a>(&'a str);

// `json` and `json[]` in every PostgreSQL; sqlx itself speaks `jsonb`, which would not keep the text.
const JSON: PgTypeInfo = PgTypeInfo::with_oid(Oid(114));
const JSON_ARRAY: PgTypeInfo = PgTypeInfo::with_oid(Oid(199));

impl Type<Postgres> for JsonText<'_> {
    fn type_info() -> PgTypeInfo {
        JSON
    }
}

impl PgHasArrayType for JsonText<'_> {
    fn array_type_info() -> PgTypeInfo {
        JSON_ARRAY
    }
}

impl Encode<'_, Postgres> for JsonText<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

/// The statement for a batch and its arguments; it gives the batch's first position.
pub(super) fn write(batch: &[Pending], place: Place) -> Result<(&'static str, PgArguments), BoxDynError> {
    if let [append] = batch
        && let [event] = append.events.as_slice()
    {
        return write_one(append, event, place);
    }
    let (sql, after) = match place {
        Place::After(end) => (WRITE_AFTER, end),
        Place::Asked => (WRITE_ASKED, 0),
    };
    let mut arguments = PgArguments::default();
    EventColumns::of(batch).add_to(&mut arguments)?;
    CommandColumns::of(batch).add_to(&mut arguments)?;
    arguments.add(after)?;
    Ok((sql, arguments))
}

fn write_one(append: &Pending, event: &NewEvent, place: Place) -> Result<(&'static str, PgArguments), BoxDynError> {
    let mut arguments = PgArguments::default();
    arguments.add(&*append.stream.aggregate_type)?;
    arguments.add(&*append.stream.aggregate_id)?;
    arguments.add(append.version_after())?;
    arguments.add(&event.event_type)?;
    arguments.add(&event.event_version)?;
    arguments.add(JsonText(event.payload.get()))?;
    arguments.add(JsonText(&append.metadata_json))?;
    arguments.add(event.event_id)?;
    arguments.add(append.metadata.command_id.0)?;
    arguments.add(append.metadata.tenant.as_str())?;
    arguments.add(append.metadata.actor.as_str())?;
    arguments.add(&append.command.name)?;
    arguments.add(append.command.body_hash.as_slice())?;
    match place {
        Place::After(end) => {
            arguments.add(end)?;
            Ok((WRITE_ONE_AFTER, arguments))
        }
        Place::Asked => Ok((WRITE_ONE_ASKED, arguments)),
    }
}

#[derive(Default)]
struct EventColumns<'a> {
    aggregate_type: Vec<&'a str>,
    aggregate_id: Vec<&'a str>,
    sequence: Vec<i64>,
    event_type: Vec<&'a str>,
    event_version: Vec<&'a str>,
    payload: Vec<JsonText<'a>>,
    metadata: Vec<JsonText<'a>>,
    event_id: Vec<Uuid>,
}

impl<'a> EventColumns<'a> {
    fn of(batch: &'a [Pending]) -> Self {
        let count = batch.iter().map(|append| append.events.len()).sum();
        let mut columns = Self {
            aggregate_type: Vec::with_capacity(count),
            aggregate_id: Vec::with_capacity(count),
            sequence: Vec::with_capacity(count),
            event_type: Vec::with_capacity(count),
            event_version: Vec::with_capacity(count),
            payload: Vec::with_capacity(count),
            metadata: Vec::with_capacity(count),
            event_id: Vec::with_capacity(count),
        };
        for append in batch {
            for (event, sequence) in append.events.iter().zip(append.expected + 1..) {
                columns.aggregate_type.push(&append.stream.aggregate_type);
                columns.aggregate_id.push(&append.stream.aggregate_id);
                columns.sequence.push(sequence);
                columns.event_type.push(&event.event_type);
                columns.event_version.push(&event.event_version);
                columns.payload.push(JsonText(event.payload.get()));
                columns.metadata.push(JsonText(&append.metadata_json));
                columns.event_id.push(event.event_id);
            }
        }
        columns
    }

    fn add_to(self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        arguments.add(self.aggregate_type)?;
        arguments.add(self.aggregate_id)?;
        arguments.add(self.sequence)?;
        arguments.add(self.event_type)?;
        arguments.add(self.event_version)?;
        arguments.add(self.payload)?;
        arguments.add(self.metadata)?;
        arguments.add(self.event_id)
    }
}

#[derive(Default)]
struct CommandColumns<'a> {
    command_id: Vec<Uuid>,
    tenant: Vec<&'a str>,
    actor: Vec<&'a str>,
    name: Vec<&'a str>,
    aggregate_type: Vec<&'a str>,
    aggregate_id: Vec<&'a str>,
    body_hash: Vec<&'a [u8]>,
    /// How many events of the batch stand before the end of this append: its last position follows from it.
    ends: Vec<i64>,
    stream_version: Vec<i64>,
    events: Vec<i32>,
    refusal_code: Vec<Option<&'a str>>,
    refusal_message: Vec<Option<&'a str>>,
    /// What a command without events was part of, and what it answered: with events, their metadata say so.
    correlation_id: Vec<Option<Uuid>>,
    causation_id: Vec<Option<Uuid>>,
}

impl<'a> CommandColumns<'a> {
    fn of(batch: &'a [Pending]) -> Self {
        let mut columns = Self::default();
        let mut end = 0;
        for append in batch {
            let events = append.events.len();
            end += events as i64;
            columns.command_id.push(append.metadata.command_id.0);
            columns.tenant.push(append.metadata.tenant.as_str());
            columns.actor.push(append.metadata.actor.as_str());
            columns.name.push(&append.command.name);
            columns.aggregate_type.push(&append.stream.aggregate_type);
            columns.aggregate_id.push(&append.stream.aggregate_id);
            columns.body_hash.push(&append.command.body_hash);
            columns.ends.push(end);
            columns.stream_version.push(append.version_after());
            columns.events.push(events as i32);
            columns.refusal_code.push(append.refusal.as_ref().map(|refusal| refusal.code.as_str()));
            columns.refusal_message.push(append.refusal.as_ref().map(|refusal| refusal.message.as_str()));
            columns.correlation_id.push((events == 0).then_some(append.metadata.correlation_id.0));
            columns.causation_id.push(append.metadata.causation_id.filter(|_| events == 0));
        }
        columns
    }

    fn add_to(self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        arguments.add(self.command_id)?;
        arguments.add(self.tenant)?;
        arguments.add(self.actor)?;
        arguments.add(self.name)?;
        arguments.add(self.aggregate_type)?;
        arguments.add(self.aggregate_id)?;
        arguments.add(self.body_hash)?;
        arguments.add(self.ends)?;
        arguments.add(self.stream_version)?;
        arguments.add(self.events)?;
        arguments.add(self.refusal_code)?;
        arguments.add(self.refusal_message)?;
        arguments.add(self.correlation_id)?;
        arguments.add(self.causation_id)
    }
}
