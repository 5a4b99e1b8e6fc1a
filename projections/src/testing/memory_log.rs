//! An event log in memory, to read from: it can be filled with anything, also with what a real log would never hold.

use domain::{CommandId, Position, StreamVersion};
use event_store::{
    Append, AppendError, Appended, CommandOutcome, EventLog, LogError, RecordedEvent, RefusedCommand, StreamId,
};
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A log that is filled by hand and only read through [`EventLog`].
pub struct MemoryLog {
    events: Mutex<Vec<RecordedEvent>>,
    newest: watch::Sender<Position>,
}

impl MemoryLog {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { events: Mutex::new(Vec::new()), newest: watch::Sender::new(Position::START) })
    }

    /// Adds events as they are, positions and all.
    pub fn push(&self, events: impl IntoIterator<Item = RecordedEvent>) {
        let newest = {
            let mut all = self.events();
            all.extend(events);
            all.last().map(|event| event.position).unwrap_or_default()
        };
        self.newest.send_replace(newest);
    }

    /// Changes an event that is there already, to mend or to spoil it.
    pub fn change(&self, position: Position, change: impl FnOnce(&mut RecordedEvent)) {
        if let Some(event) = self.events().iter_mut().find(|event| event.position == position) {
            change(event);
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<RecordedEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const READ_ONLY: &str = "a log in memory is filled by hand";

impl EventLog for MemoryLog {
    fn append(&self, _append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async { Err(LogError::Unavailable(READ_ONLY.to_owned()).into()) })
    }

    fn record_refusal(&self, _refusal: RefusedCommand) -> BoxFuture<'_, Result<CommandOutcome, AppendError>> {
        Box::pin(async { Err(LogError::Unavailable(READ_ONLY.to_owned()).into()) })
    }

    fn command_outcome(
        &self,
        _command: CommandId,
        _body_hash: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<CommandOutcome>, AppendError>> {
        Box::pin(async { Ok(None) })
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        Box::pin(async move {
            let all = self.events();
            let of_stream = all.iter().filter(|event| event.stream == stream && event.version > after);
            Ok(of_stream.take(limit).cloned().collect())
        })
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        Box::pin(async move {
            let all = self.events();
            let start = all.partition_point(|event| event.position <= after);
            Ok(all[start..].iter().take(limit).cloned().collect())
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, LogError>> {
        Box::pin(async move { Ok(self.events().last().map(|event| event.position).unwrap_or_default()) })
    }

    fn newest(&self) -> watch::Receiver<Position> {
        self.newest.subscribe()
    }
}
