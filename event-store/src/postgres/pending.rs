//! An append on its way through the queue, and how a batch is chosen from those that wait.

use super::known::Known;
use crate::log::{
    Append, AppendError, Appended, CommandOutcome, CommandRecord, Expected, NewEvent, RefusedCommand, StreamId,
};
use domain::{Metadata, Position, StreamVersion};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// An append, or a refusal to put on record, with the way back to its caller.
pub(super) struct Pending {
    pub stream: StreamId,
    /// The stream's version before; meaningless in a refusal.
    pub expected: i64,
    pub events: Vec<NewEvent>,
    pub metadata: Metadata,
    pub metadata_json: String,
    pub command: CommandRecord,
    pub refusal: Option<Refusal>,
    pub bytes: usize,
    /// When the caller must have an answer, at the latest.
    pub deadline: Instant,
    pub reply: oneshot::Sender<Reply>,
    /// Held for as long as the append takes up room in the queue.
    _share: QueueShare,
}

pub(super) struct Refusal {
    pub code: String,
    pub message: String,
}

/// What the writer answers.
pub(super) enum Reply {
    /// It is on record, now or since earlier.
    Recorded(CommandOutcome),
    /// This process knows already that the stream has moved on, or that the command is on record: the caller finds
    /// out which, so that the writer does not have to stop for it.
    Outdated,
    /// It is not on record, or that is not known.
    Failed(AppendError),
}

impl Pending {
    pub fn of_append(append: Append, deadline: Instant, share: QueueShare) -> (Self, oneshot::Receiver<Reply>) {
        let Expected::Version(expected) = append.expected;
        let parts = (append.stream, append.metadata, append.command);
        Self::new(parts, expected.0, append.events, None, deadline, share)
    }

    pub fn of_refusal(
        refusal: RefusedCommand,
        deadline: Instant,
        share: QueueShare,
    ) -> (Self, oneshot::Receiver<Reply>) {
        let parts = (refusal.stream, refusal.metadata, refusal.command);
        let refusal = Refusal { code: storable(refusal.code), message: storable(refusal.message) };
        Self::new(parts, 0, Vec::new(), Some(refusal), deadline, share)
    }

    fn new(
        (stream, metadata, command): (StreamId, Metadata, CommandRecord),
        expected: i64,
        events: Vec<NewEvent>,
        refusal: Option<Refusal>,
        deadline: Instant,
        share: QueueShare,
    ) -> (Self, oneshot::Receiver<Reply>) {
        let (reply, answer) = oneshot::channel();
        // Metadata is a flat struct of texts: its serialisation can not fail.
        let metadata_json = serde_json::to_string(&metadata).unwrap_or_else(|_| "{}".to_owned());
        let bytes = share.bytes;
        (
            Self {
                stream,
                expected,
                events,
                metadata,
                metadata_json,
                command,
                refusal,
                bytes,
                deadline,
                reply,
                _share: share,
            },
            answer,
        )
    }

    pub fn version_after(&self) -> i64 {
        self.expected + self.events.len() as i64
    }

    /// The outcome to answer once it is written, its last event (or the end of the log then) being `last`.
    pub fn outcome(&self, last: i64) -> CommandOutcome {
        match &self.refusal {
            Some(refusal) => CommandOutcome::Refused { code: refusal.code.clone(), message: refusal.message.clone() },
            None => CommandOutcome::Accepted(Appended {
                position: Position(last),
                version: StreamVersion(self.version_after()),
                events: self.events.len() as u32,
                repeated: false,
            }),
        }
    }

    pub fn conflict(&self) -> AppendError {
        AppendError::Conflict { stream: self.stream.clone(), expected: StreamVersion(self.expected) }
    }

    /// Answers. A caller that has gone away does not mind.
    pub fn answer(self, reply: Reply) {
        let _ = self.reply.send(reply);
    }
}

/// PostgreSQL stores every character but NUL.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

/// The room of the queue: what the appends that wait or are under way take up.
#[derive(Default)]
pub(super) struct QueueRoom {
    appends: AtomicUsize,
    bytes: AtomicUsize,
}

/// One append's part of the room, given back on drop.
pub(super) struct QueueShare {
    room: Arc<QueueRoom>,
    bytes: usize,
}

impl QueueShare {
    /// Takes a part of the room, or `None` where there is no room now.
    pub fn take(room: &Arc<QueueRoom>, bytes: usize, appends_max: usize, bytes_max: usize) -> Option<Self> {
        let appends_before = room.appends.fetch_add(1, Ordering::Relaxed);
        let bytes_before = room.bytes.fetch_add(bytes, Ordering::Relaxed);
        let share = Self { room: Arc::clone(room), bytes };
        // One append alone always has room: it is bounded by its own limit.
        let fits = appends_before < appends_max && bytes_before + bytes <= bytes_max;
        (appends_before == 0 || fits).then_some(share)
    }
}

impl Drop for QueueShare {
    fn drop(&mut self) {
        self.room.appends.fetch_sub(1, Ordering::Relaxed);
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How much one batch may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchBounds {
    pub appends: usize,
    pub events: usize,
    pub bytes: usize,
}

/// Takes the next batch from those that wait, oldest first. Two appends to one stream, or of one command, never share
/// a batch: the later one keeps its place for the next. Those that can not succeed any more are answered at once.
pub(super) fn next_batch(waiting: &mut VecDeque<Pending>, bounds: BatchBounds, known: &Known) -> Vec<Pending> {
    let mut batch = Vec::with_capacity(waiting.len().min(bounds.appends));
    let mut kept = VecDeque::new();
    let mut streams = HashSet::new();
    let mut commands = HashSet::new();
    let (mut events, mut bytes) = (0, 0);
    let now = Instant::now();
    while let Some(append) = waiting.pop_front() {
        if append.deadline <= now {
            append.answer(Reply::Failed(late()));
            continue;
        }
        let command = append.metadata.command_id.0;
        if known.has_command(command) || (append.refusal.is_none() && known.version(&append.stream) > append.expected) {
            append.answer(Reply::Outdated);
            continue;
        }
        let fits = batch.is_empty()
            || (batch.len() < bounds.appends
                && events + append.events.len() <= bounds.events
                && bytes + append.bytes <= bounds.bytes);
        if !fits {
            kept.push_back(append);
            break;
        }
        let alone = append.events.is_empty() || !streams.contains(&append.stream);
        if !alone || commands.contains(&command) {
            kept.push_back(append);
            continue;
        }
        if !append.events.is_empty() {
            streams.insert(append.stream.clone());
        }
        commands.insert(command);
        events += append.events.len();
        bytes += append.bytes;
        batch.push(append);
    }
    while let Some(append) = kept.pop_back() {
        waiting.push_front(append);
    }
    batch
}

pub(super) fn late() -> AppendError {
    AppendError::Log(crate::log::LogError::Unavailable("the log did not get to this append in time".to_owned()))
}
