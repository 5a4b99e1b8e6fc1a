//! Who of a batch lost, once a unique key has said that somebody did; and what became of a command.

use super::pending::{Pending, Reply};
use crate::log::{AppendError, Appended, CommandOutcome, LogError, StreamId};
use domain::{CommandId, Position, StreamVersion};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row};
use std::collections::HashMap;
use uuid::Uuid;

const COMMANDS: &str = "SELECT command_id, body_hash, outcome, last_position, stream_version, events, refusal_code,
    refusal_message FROM cmdiag.commands WHERE command_id = ANY($1)";

// For each stream: whether event $3 + 1 exists.
const MOVED_ON: &str = "SELECT s.ordinal FROM unnest($1::text[], $2::text[], $3::bigint[])
    WITH ORDINALITY AS s (aggregate_type, aggregate_id, version, ordinal)
WHERE EXISTS (SELECT FROM cmdiag.events AS e WHERE e.aggregate_type = s.aggregate_type
    AND e.aggregate_id = s.aggregate_id AND e.sequence = s.version + 1)";

const HAS_EVENT: &str = "SELECT EXISTS (SELECT FROM cmdiag.events
    WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = $3)";

/// A command on record.
pub(super) struct OnRecord {
    body_hash: Vec<u8>,
    outcome: CommandOutcome,
}

impl OnRecord {
    fn decode(row: &PgRow) -> Result<(Uuid, Self), sqlx::Error> {
        let outcome: String = row.try_get("outcome")?;
        let outcome = if outcome == "accepted" {
            CommandOutcome::Accepted(Appended {
                position: Position(row.try_get("last_position")?),
                version: StreamVersion(row.try_get("stream_version")?),
                events: row.try_get::<i32, _>("events")?.unsigned_abs(),
                repeated: true,
            })
        } else {
            CommandOutcome::Refused { code: row.try_get("refusal_code")?, message: row.try_get("refusal_message")? }
        };
        Ok((row.try_get("command_id")?, Self { body_hash: row.try_get("body_hash")?, outcome }))
    }

    /// The outcome, provided that it is the same command.
    pub fn outcome_of(self, command: Uuid, body_hash: &[u8; 32]) -> Result<CommandOutcome, AppendError> {
        if self.body_hash == body_hash { Ok(self.outcome) } else { Err(AppendError::CommandReused(CommandId(command))) }
    }
}

/// Which of these commands are on record.
pub(super) async fn commands_on_record(
    executor: impl PgExecutor<'_>,
    commands: Vec<Uuid>,
) -> Result<HashMap<Uuid, OnRecord>, sqlx::Error> {
    let rows = sqlx::query(COMMANDS).bind(commands).fetch_all(executor).await?;
    rows.iter().map(OnRecord::decode).collect()
}

/// Whether the stream has its event number `version`.
pub(super) async fn has_event(
    executor: impl PgExecutor<'_>,
    stream: &StreamId,
    version: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(HAS_EVENT)
        .bind(&*stream.aggregate_type)
        .bind(&*stream.aggregate_id)
        .bind(version)
        .fetch_one(executor)
        .await
}

/// Answers those of the batch whose outcome the log knows already: their command is on record, or their stream has
/// moved on. The others are left in the batch, to be written.
pub(super) async fn settle_losers(
    connection: &mut sqlx::PgConnection,
    batch: &mut Vec<Pending>,
) -> Result<(), sqlx::Error> {
    let mut types = Vec::with_capacity(batch.len());
    let mut ids = Vec::with_capacity(batch.len());
    let mut versions = Vec::with_capacity(batch.len());
    for append in batch.iter() {
        types.push(&*append.stream.aggregate_type);
        ids.push(&*append.stream.aggregate_id);
        versions.push(append.expected);
    }
    let moved_on: Vec<i64> =
        sqlx::query_scalar(MOVED_ON).bind(types).bind(ids).bind(versions).fetch_all(&mut *connection).await?;
    // Asked after the streams: were it the other way round, a stream could be seen moved on by the very command that
    // was not yet seen on record.
    let commands = batch.iter().map(|append| append.metadata.command_id.0).collect();
    let mut on_record = commands_on_record(&mut *connection, commands).await?;
    let all = std::mem::take(batch);
    for (append, ordinal) in all.into_iter().zip(1..) {
        let command = append.metadata.command_id.0;
        if let Some(found) = on_record.remove(&command) {
            let reply = match found.outcome_of(command, &append.command.body_hash) {
                Ok(outcome) => Reply::Recorded(outcome),
                Err(error) => Reply::Failed(error),
            };
            append.answer(reply);
        } else if !append.events.is_empty() && moved_on.contains(&ordinal) {
            let conflict = append.conflict();
            append.answer(Reply::Failed(conflict));
        } else {
            batch.push(append);
        }
    }
    Ok(())
}

/// The error of a batch that nobody could settle.
pub(super) fn unsettled(reason: &str) -> AppendError {
    AppendError::Log(LogError::Unavailable(reason.to_owned()))
}
