//! Reading events back: by the links in position order, or an aggregate's own stream.

use super::connection::{Connection, damaged};
use super::names::Names;
use super::numbering::Numbering;
use super::translate::as_read;
use crate::log::{LogError, RecordedEvent, StreamId};
use crate::upcast::Upcasters;
use domain::{Position, StreamVersion};
use eventstore::{Client, Error, Position as Place, ReadAllOptions, ReadStreamOptions, ResolvedEvent, StreamPosition};
use std::time::Duration;
use tokio::time::Instant;

/// The most events that one read gives, whatever was asked for.
const READ_MAX: usize = 10_000;
/// A read that takes longer is given up.
const READ_PATIENCE: Duration = Duration::from_secs(30);

/// What reading needs.
pub(super) struct Reader<'a> {
    pub connection: &'a Connection,
    pub names: &'a Names,
    pub numbering: &'a Numbering,
    pub upcasters: &'a Upcasters,
}

impl Reader<'_> {
    /// All events after a position. The server follows the links.
    pub async fn all(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, LogError> {
        let count = limit.min(READ_MAX);
        if count == 0 {
            return Ok(Vec::new());
        }
        let from = StreamPosition::Position(after.0.max(0) as u64);
        let options = ReadStreamOptions::default().position(from).max_count(count).resolve_link_tos();
        let deadline = Instant::now() + READ_PATIENCE;
        let read = page(self.connection, self.names.positions(), options, deadline).await?;
        let mut events = Vec::with_capacity(read.len());
        for (resolved, expected) in read.iter().zip(after.0.max(0) + 1..) {
            let position = Position(resolved.get_original_event().revision as i64 + 1);
            if position.0 != expected {
                return Err(damaged(Position(expected), format!("the next link is of position {position}")));
            }
            let Some(event) = resolved.event.as_ref().filter(|_| resolved.link.is_some()) else {
                return Err(damaged(position, "its link leads nowhere: the event was deleted"));
            };
            events.push(self.upcasters.apply(as_read(self.names, event, position)?)?);
        }
        Ok(events)
    }

    /// An aggregate's events after a version. Those that have no position yet are numbered first.
    pub async fn stream(
        &self,
        stream: &StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let deadline = Instant::now() + READ_PATIENCE;
        let name = self.names.stream(stream);
        let mut events = Vec::new();
        for event in self.raw_stream(&name, after.0, limit, deadline).await? {
            let position = self.numbering.position_of(&event, deadline).await?;
            events.push(self.upcasters.apply(as_read(self.names, &event, position)?)?);
        }
        Ok(events)
    }

    /// The stored events of a stream after a version, contiguous.
    pub async fn raw_stream(
        &self,
        name: &str,
        after: i64,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<eventstore::RecordedEvent>, LogError> {
        let count = limit.min(READ_MAX);
        if count == 0 {
            return Ok(Vec::new());
        }
        let from = StreamPosition::Position(after.max(0) as u64);
        let options = ReadStreamOptions::default().position(from).max_count(count);
        let mut events = Vec::new();
        let read = page(self.connection, name, options, deadline).await?;
        for (event, version) in read.into_iter().filter_map(|resolved| resolved.event).zip(after.max(0) + 1..) {
            if event.revision as i64 + 1 != version {
                let reason = format!("stream {name} goes on with event {}, not {version}", event.revision + 1);
                return Err(damaged(Position::START, reason));
            }
            events.push(event);
        }
        Ok(events)
    }

    /// How many events a stream has.
    pub async fn version_of(&self, name: &str, deadline: Instant) -> Result<i64, LogError> {
        Ok(self.last_of(name, deadline).await?.map_or(0, |event| event.revision as i64 + 1))
    }

    /// A stream's last event.
    pub async fn last_of(&self, name: &str, deadline: Instant) -> Result<Option<eventstore::RecordedEvent>, LogError> {
        let options = ReadStreamOptions::default().position(StreamPosition::End).max_count(1);
        Ok(page(self.connection, name, options, deadline).await?.pop().and_then(|resolved| resolved.event))
    }
}

/// One page of a stream, from the leader: none where there is no such stream.
pub(super) async fn page(
    connection: &Connection,
    stream: &str,
    options: ReadStreamOptions,
    deadline: Instant,
) -> Result<Vec<ResolvedEvent>, LogError> {
    let options = options.requires_leader(true);
    let question = |client: Client| {
        let options = options.clone();
        async move {
            let mut events = match client.read_stream(stream, &options).await {
                Err(Error::ResourceNotFound) => return Ok(Vec::new()),
                opened => opened?,
            };
            let mut all = Vec::new();
            loop {
                match events.next().await {
                    Ok(Some(event)) => all.push(event),
                    Ok(None) | Err(Error::ResourceNotFound) => return Ok(all),
                    Err(error) => return Err(error),
                }
            }
        }
    };
    Ok(connection.ask(deadline, question).await?)
}

/// The place of the newest event of the server, of whatever log.
pub(super) async fn tail_of_all(connection: &Connection, deadline: Instant) -> Result<Option<Place>, LogError> {
    let options = ReadAllOptions::default().position(StreamPosition::End).max_count(1).requires_leader(true);
    let question = |client: Client| {
        let options = options.clone();
        async move {
            let mut events = client.read_all(&options).await?;
            Ok(events.next().await?.map(|event| event.get_original_event().position))
        }
    };
    Ok(connection.ask(deadline, question).await?)
}
