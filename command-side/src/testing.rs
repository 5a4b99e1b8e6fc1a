//! For tests: a double of the event log in memory, that can be told to fail, and metadata.

use domain::{Actor, CommandId, Metadata, Position, StreamVersion, TenantId};
use event_store::{
    Append, AppendError, Appended, CommandOutcome, EventLog, Expected, LogError, RecordedEvent, RefusedCommand,
    StreamId,
};
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use uuid::Uuid;

/// Metadata of a new command by a sample person.
pub fn metadata() -> Metadata {
    // A sample name that is known to be valid: where it is not, the test that uses it must stop.
    let actor = Actor::new("operator@example.org").unwrap_or_else(|error| panic!("{error}"));
    Metadata::new(actor, TenantId::default(), CommandId(Uuid::now_v7()))
}

/// A double of the event log: the same promises, in memory, with switches to make it fail.
#[derive(Default)]
pub struct InMemoryLog {
    inner: Mutex<Inner>,
    newest: watch::Sender<Position>,
    /// While true, nothing can be read or written.
    pub unavailable: AtomicBool,
    /// While true, nothing can be written.
    pub unwritable: AtomicBool,
    /// So many next appends are written, and their answer is lost.
    pub lose_answers: AtomicUsize,
    /// Reads of a stream after this many fail once; 0 for never.
    pub fail_stream_read: AtomicUsize,
    /// Appends asked for so far.
    pub appends: AtomicUsize,
    /// Reads of streams asked for so far.
    pub stream_reads: AtomicUsize,
}

#[derive(Default)]
struct Inner {
    events: Vec<RecordedEvent>,
    streams: HashMap<StreamId, Vec<usize>>,
    commands: HashMap<CommandId, ([u8; 32], CommandOutcome)>,
}

impl InMemoryLog {
    /// An empty log.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// All events so far.
    pub fn events(&self) -> Vec<RecordedEvent> {
        self.lock().events.clone()
    }

    /// The types of all events so far.
    pub fn event_types(&self) -> Vec<String> {
        self.lock().events.iter().map(|event| event.event_type.clone()).collect()
    }

    /// How many commands are on record.
    pub fn commands(&self) -> usize {
        self.lock().commands.len()
    }

    /// Forgets the last events of a stream, as a restore of an old backup would.
    pub fn forget_after(&self, stream: &StreamId, version: usize) {
        let mut inner = self.lock();
        if let Some(events) = inner.streams.get_mut(stream) {
            events.truncate(version);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn available(&self) -> Result<(), LogError> {
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(LogError::Unavailable("switched off by the test".to_owned()));
        }
        Ok(())
    }

    fn write(&self, append: Append) -> Result<Appended, AppendError> {
        self.available()?;
        if self.unwritable.load(Ordering::SeqCst) {
            return Err(LogError::Unavailable("made read-only by the test".to_owned()).into());
        }
        let mut inner = self.lock();
        match inner.outcome(append.metadata.command_id, append.command.body_hash)? {
            Some(CommandOutcome::Accepted(appended)) => return Ok(Appended { repeated: true, ..appended }),
            Some(CommandOutcome::Refused { code, message }) => {
                return Err(AppendError::RefusedBefore { code, message });
            }
            None => {}
        }
        let Expected::Version(expected) = append.expected;
        let version = inner.streams.get(&append.stream).map_or(0, Vec::len) as i64;
        if version != expected.0 {
            return Err(AppendError::Conflict { stream: append.stream, expected });
        }
        let events = append.events.len();
        for (offset, event) in append.events.into_iter().enumerate() {
            let index = inner.events.len();
            let recorded = RecordedEvent {
                position: Position(index as i64 + 1),
                stream: append.stream.clone(),
                version: StreamVersion(version + offset as i64 + 1),
                event_id: event.event_id,
                event_type: event.event_type,
                event_version: event.event_version,
                payload: event.payload,
                metadata: append.metadata.clone(),
                recorded_at: chrono::Utc::now(),
            };
            inner.events.push(recorded);
            inner.streams.entry(append.stream.clone()).or_default().push(index);
        }
        let position = Position(inner.events.len() as i64);
        let version = StreamVersion(version + events as i64);
        let appended =
            Appended { position, version, events: u32::try_from(events).unwrap_or(u32::MAX), repeated: false };
        let outcome = (append.command.body_hash, CommandOutcome::Accepted(appended));
        inner.commands.insert(append.metadata.command_id, outcome);
        drop(inner);
        self.newest.send_replace(position);
        let lost = self.lose_answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match lost {
            Ok(_) => Err(LogError::Unavailable("the answer was lost by the test".to_owned()).into()),
            Err(_) => Ok(appended),
        }
    }
}

impl Inner {
    fn outcome(&self, command: CommandId, body_hash: [u8; 32]) -> Result<Option<CommandOutcome>, AppendError> {
        match self.commands.get(&command) {
            Some((hash, _)) if *hash != body_hash => Err(AppendError::CommandReused(command)),
            Some((_, outcome)) => Ok(Some(outcome.clone())),
            None => Ok(None),
        }
    }
}

impl EventLog for InMemoryLog {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.write(append)
        })
    }

    fn record_refusal(&self, refusal: RefusedCommand) -> BoxFuture<'_, Result<CommandOutcome, AppendError>> {
        Box::pin(async move {
            self.available()?;
            let mut inner = self.lock();
            let hash = refusal.command.body_hash;
            if let Some(outcome) = inner.outcome(refusal.metadata.command_id, hash)? {
                return Ok(outcome);
            }
            let outcome = CommandOutcome::Refused { code: refusal.code, message: refusal.message };
            inner.commands.insert(refusal.metadata.command_id, (hash, outcome.clone()));
            Ok(outcome)
        })
    }

    fn command_outcome(
        &self,
        command: CommandId,
        body_hash: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<CommandOutcome>, AppendError>> {
        Box::pin(async move {
            self.available()?;
            self.lock().outcome(command, body_hash)
        })
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        let read = self.stream_reads.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.available()?;
            if self.fail_stream_read.compare_exchange(read, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return Err(LogError::Unavailable("this read fails by the test".to_owned()));
            }
            let inner = self.lock();
            let events = inner.streams.get(&stream).map_or(&[][..], Vec::as_slice);
            let after = usize::try_from(after.0).unwrap_or_default().min(events.len());
            Ok(events[after..].iter().take(limit).map(|index| inner.events[*index].clone()).collect())
        })
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        Box::pin(async move {
            self.available()?;
            let inner = self.lock();
            let after = usize::try_from(after.0).unwrap_or_default().min(inner.events.len());
            Ok(inner.events[after..].iter().take(limit).cloned().collect())
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, LogError>> {
        Box::pin(async move {
            self.available()?;
            Ok(Position(self.lock().events.len() as i64))
        })
    }

    fn newest(&self) -> watch::Receiver<Position> {
        self.newest.subscribe()
    }
}
