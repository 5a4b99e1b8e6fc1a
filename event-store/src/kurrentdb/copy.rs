//! The same log once more beside the views: `cmdiag.events` and `cmdiag.commands`, filled from KurrentDB.
//!
//! What seals the history, exports it, explains it or asks it as of the past reads these two tables. With the log on
//! KurrentDB they are a copy, in the same positions, with the same texts; KurrentDB decides, and the copy follows.
//! Every process copies: the tables' keys let each row be written once. Events and the commands between them are read
//! in the order of `$all` and written in one transaction, so the place of the newest copied event is where to go on.

use super::KurrentEventLog;
use super::claims::{Body, Claim};
use super::connection::damaged;
use super::rows::{CommandRow, EventRow, insert};
use super::translate::as_read;
use crate::log::LogError;
use domain::Position;
use eventstore::{Client, Position as Place, ReadAllOptions, RecordedEvent, StreamPosition, SubscriptionFilter};
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Entries of one transaction.
const BATCH: usize = 500;
/// One batch takes no longer, or is begun anew.
const BATCH_WITHIN: Duration = Duration::from_secs(20);
/// How often to look for refused commands, which have no position.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure.
const RETRY: Duration = Duration::from_millis(500);

/// Keeps the copy in the database up to date.
pub struct DatabaseCopy {
    copied: watch::Receiver<Result<Position, LogError>>,
}

/// Where the copying stands: the newest copied position, and how far `$all` was read.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    position: i64,
    place: Option<Place>,
}

struct Copying {
    log: Arc<KurrentEventLog>,
    pool: PgPool,
    cursor: Cursor,
}

impl DatabaseCopy {
    /// Finds the place to go on from and follows the log until it is cancelled. A database that holds another log's
    /// events is refused.
    pub async fn start(log: Arc<KurrentEventLog>, pool: PgPool, cancel: CancellationToken) -> Result<Self, LogError> {
        let cursor = begin(&log, &pool).await?;
        let (tell, copied) = watch::channel(Ok(Position(cursor.position)));
        let copying = Copying { log, pool, cursor };
        tokio::spawn(cancel.run_until_cancelled_owned(copying.run(tell)));
        Ok(Self { copied })
    }

    /// Follows the newest copied position; an error is final: the copy has stopped there.
    pub fn copied(&self) -> watch::Receiver<Result<Position, LogError>> {
        self.copied.clone()
    }
}

async fn begin(log: &KurrentEventLog, pool: &PgPool) -> Result<Cursor, LogError> {
    let newest: Option<(i64, Uuid)> =
        sqlx::query_as("SELECT position, event_id FROM cmdiag.events ORDER BY position DESC LIMIT 1")
            .fetch_optional(pool)
            .await
            .map_err(|error| unavailable(&error))?;
    let Some((position, event)) = newest else { return Ok(Cursor { position: 0, place: None }) };
    match log.numbering.place_of(Position(position), Instant::now() + BATCH_WITHIN).await? {
        Some((place, there)) if there == event => Ok(Cursor { position, place: Some(place) }),
        _ => {
            let reason = "the database holds an event there that is not the one in KurrentDB: it is of another log";
            Err(damaged(Position(position), reason))
        }
    }
}

impl Copying {
    async fn run(mut self, tell: watch::Sender<Result<Position, LogError>>) {
        let mut newest = self.log.numbering.newest();
        loop {
            newest.mark_unchanged();
            match self.some().await {
                Ok(true) => {
                    let _ = tell.send_replace(Ok(Position(self.cursor.position)));
                }
                Ok(false) => {
                    let _ = tokio::time::timeout(LOOK_EVERY, newest.changed()).await;
                }
                Err(LogError::Unavailable(reason)) => {
                    tracing::debug!(reason, "the log can not be copied into the database just now");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the log is no longer copied into the database");
                    let _ = tell.send_replace(Err(error));
                    return;
                }
            }
        }
    }

    /// Copies the next entries; false where there are none.
    async fn some(&mut self) -> Result<bool, LogError> {
        let deadline = Instant::now() + BATCH_WITHIN;
        let numbered = self.log.numbering.newest().borrow().0;
        let mut cursor = self.cursor;
        let (mut events, mut commands) = (Vec::new(), Vec::new());
        // What a command wants is read before its events come, mostly in the same batch.
        let mut claims: HashMap<Uuid, Claim> = HashMap::new();
        for entry in self.entries(deadline).await? {
            if entry.stream_id().starts_with(self.log.names.events_prefix()) {
                if cursor.position >= numbered {
                    break;
                }
                cursor.position += 1;
                let row = self.event(&entry, cursor.position)?;
                let command = row.event.metadata.command_id.0;
                if !claims.contains_key(&command)
                    && let Some(claim) = self.claim_of(command, deadline).await?
                {
                    claims.insert(command, claim);
                }
                commands.extend(claims.get(&command).and_then(|claim| accepted(claim, &entry, cursor.position)));
                events.push(row);
            } else {
                let claim = Claim::read(&entry)?;
                commands.extend(settled(&claim, &entry));
                claims.insert(claim.metadata.command_id.0, claim);
            }
            cursor.place = Some(entry.position);
        }
        if cursor.place == self.cursor.place {
            return Ok(false);
        }
        insert(&self.pool, &events, &commands, deadline).await?;
        self.cursor = cursor;
        Ok(true)
    }

    /// Our events and commands in `$all` behind the cursor.
    async fn entries(&self, deadline: Instant) -> Result<Vec<RecordedEvent>, LogError> {
        let names = &self.log.names;
        let filter =
            SubscriptionFilter::on_stream_name().add_prefix(names.events_prefix()).add_prefix(names.commands_prefix());
        let after = self.cursor.place;
        let options = ReadAllOptions::default().filter(filter).max_count(BATCH + 1).requires_leader(true);
        let options = match after {
            Some(place) => options.position(StreamPosition::Position(place)),
            None => options,
        };
        let question = |client: Client| {
            let options = options.clone();
            async move {
                let mut read = client.read_all(&options).await?;
                let mut entries = Vec::new();
                while let Some(entry) = read.next().await? {
                    entries.extend(entry.event.filter(|entry| after.is_none_or(|after| entry.position > after)));
                }
                Ok(entries)
            }
        };
        Ok(self.log.connection.ask(deadline, question).await?)
    }

    /// An event as it is stored: the copy knows no upcasters.
    fn event(&self, entry: &RecordedEvent, position: i64) -> Result<EventRow, LogError> {
        EventRow::of(as_read(&self.log.names, entry, Position(position))?)
    }

    async fn claim_of(&self, command: Uuid, deadline: Instant) -> Result<Option<Claim>, LogError> {
        let stream = self.log.names.command(command);
        let last = self.log.reader().last_of(&stream, deadline).await?;
        last.map(|entry| Claim::read(&entry)).transpose()
    }
}

/// The row of an accepted command, at the first of its events.
fn accepted(claim: &Claim, first: &RecordedEvent, position: i64) -> Option<CommandRow> {
    let Body::Intent(intent) = &claim.body else { return None };
    if intent.events.first().is_none_or(|event| event.event_id != first.id) {
        return None;
    }
    let count = intent.events.len() as i64;
    Some(CommandRow {
        first_position: Some(position),
        last_position: Some(position + count - 1),
        stream_version: Some(intent.expected + count),
        events: count as i32,
        ..CommandRow::of(claim, first)
    })
}

/// The row of a command that is decided by its entry alone.
fn settled(claim: &Claim, entry: &RecordedEvent) -> Option<CommandRow> {
    let row = CommandRow::of(claim, entry);
    match &claim.body {
        Body::Intent(_) => None,
        Body::Idle { position, version } => {
            Some(CommandRow { last_position: Some(position.0), stream_version: Some(version.0), ..row })
        }
        Body::Refused { code, message } => Some(CommandRow { refusal: Some((code.clone(), message.clone())), ..row }),
    }
}

pub(super) fn unavailable(error: &sqlx::Error) -> LogError {
    LogError::Unavailable(error.to_string())
}
