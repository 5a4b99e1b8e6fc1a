//! The verifier: goes once through events, seals and checkpoints in their order, and says what is proven, or what is
//! wrong and where first.
//!
//! It does no I/O: whoever has the history (the database: [`live`]; an exported file: [`crate::bundle`]) hands it over
//! piece by piece. Events are compared with their seals one by one, so that a changed one is named by its position; the
//! tree is built from the seals and compared with the checkpoints, so that changed seals show, too; checkpoints are
//! compared with those that were published, and their keys with those that are pinned, so that a history that was
//! written anew as a whole shows to whoever has kept anything of the old one.

pub mod live;
mod published;
mod report;
mod seals;

pub use published::Published;
pub use report::{Fault, FaultKind, Proven, Report};

use crate::canonical::StoredEvent;
use crate::chain::{Part, StreamDigest, VerifiedHeads, stream_digest};
use crate::keys::{KeyHistory, is_key_event};
use crate::merkle::{Frontier, Hash};
use crate::signing::{Note, PublicKey};
use report::Faults;
use std::collections::VecDeque;

/// Events between two seals that a verifier holds at most; a row of seals has never so many.
const PENDING_MAX: usize = 100_000;

/// What a verifier is told from outside.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Keys that the verifier trusts; none: those that the log itself names.
    pub pinned: Vec<PublicKey>,
    /// Checkpoints as they were published.
    pub published: Vec<Note>,
    /// Of how many streams the chains are followed in one pass: bounds the memory, about 100 bytes each.
    pub streams_max: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { pinned: Vec::new(), published: Vec::new(), streams_max: 1 << 21 }
    }
}

/// An event that waits for its seal.
struct Pending {
    position: u64,
    leaf: Hash,
    stream: StreamDigest,
    sequence: i64,
    /// The payload of an event of the stream of keys.
    key: Option<String>,
}

/// Goes through a history.
pub struct Verifier {
    origin: Option<String>,
    frontier: Frontier,
    heads: VerifiedHeads,
    keys: KeyHistory,
    pending: VecDeque<Pending>,
    events: u64,
    last_position: u64,
    /// The end of the tree cannot be built any more: seals are missing.
    tree_ends: bool,
    notes: Notes,
    published: Published,
    options: VerifyOptions,
    faults: Faults,
    scratch: Vec<u8>,
}

/// What the checkpoints so far said.
#[derive(Default)]
struct Notes {
    count: u64,
    last: Option<(u64, u64, Hash)>,
    last_damaged: bool,
    /// The largest tree whose checkpoint was right.
    good_to: u64,
    /// The same by key: of those that are trusted is decided at the end.
    good_by_key: Vec<(PublicKey, u64)>,
}

impl Verifier {
    /// Begins a pass. `part` says of which streams the chains are followed: all, unless there are too many.
    pub fn new(options: VerifyOptions, part: Part) -> Self {
        Self {
            origin: None,
            frontier: Frontier::default(),
            heads: VerifiedHeads::new(part, options.streams_max),
            keys: KeyHistory::default(),
            pending: VecDeque::new(),
            events: 0,
            last_position: 0,
            tree_ends: false,
            notes: Notes::default(),
            published: Published::new(&options.published),
            options,
            faults: Faults::default(),
            scratch: Vec::with_capacity(512),
        }
    }

    /// How many events have been taken.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The name that the log is said to have.
    pub fn of_log(&mut self, origin: &str) {
        self.origin = Some(origin.to_owned());
    }

    /// Takes the next event, in the order of positions.
    pub fn event(&mut self, event: &StoredEvent<'_>) {
        let position = event.position.max(0) as u64;
        self.events += 1;
        if position <= self.last_position {
            let what = format!("the log holds a second event at position {position} (stream {})", stream_of(event));
            self.faults.add(FaultKind::EventInserted, (position, position), what);
            return;
        }
        self.last_position = position;
        if self.pending.len() >= PENDING_MAX {
            self.faults.add(FaultKind::SealMissing, (position, position), "no seal for a long time".to_owned());
            self.pending.clear();
        }
        let key = is_key_event(event).then(|| event.payload.to_owned());
        let stream = stream_digest(event.aggregate_type, event.aggregate_id);
        let leaf = event.leaf(&mut self.scratch);
        self.pending.push_back(Pending { position, leaf, stream, sequence: event.sequence, key });
    }

    /// Takes a checkpoint's note, once the tree has its size.
    pub fn checkpoint(&mut self, text: &str) {
        self.notes.count += 1;
        let size = self.frontier.size();
        let note = match Note::parse(text) {
            Ok(note) => note,
            Err(error) => {
                // What follows on it can not be told from what follows on another.
                (self.notes.last, self.notes.last_damaged) = (None, true);
                return self.faults.add(FaultKind::CheckpointDamaged, (size, size), error.to_string());
            }
        };
        let said = &note.checkpoint;
        let number = said.number;
        let from = (self.notes.good_to + 1).min(said.tree_size);
        let span = (from, said.tree_size);
        if self.origin.as_ref().is_some_and(|origin| *origin != said.origin) {
            let what = format!("checkpoint {number} is of another log: {}", said.origin);
            self.faults.add(FaultKind::CheckpointDamaged, span, what);
        }
        if !std::mem::take(&mut self.notes.last_damaged)
            && let Err(what) = self.notes.follows(&note)
        {
            self.faults.add(FaultKind::CheckpointMissing, span, what);
        }
        self.notes.last = Some((number, said.tree_size, note.digest()));
        if let Err((kind, what)) = self.published.take(&note) {
            self.faults.add(kind, span, what);
        }
        let Some((since, key)) = self.keys.in_force(said.tree_size).map(|key| (key.position, key.key)) else {
            let what = format!("checkpoint {number} was signed before any key was in force");
            return self.faults.add(FaultKind::SignatureWrong, (said.tree_size, said.tree_size), what);
        };
        if !note.is_signed_by(&key) {
            let what = format!("checkpoint {number} is not signed by the key in force, {}", key.id());
            return self.faults.add(FaultKind::SignatureWrong, (from.max(since), said.tree_size), what);
        }
        if self.tree_ends {
            return;
        }
        if said.tree_size != size {
            let what = format!("checkpoint {number} holds {} events; there are seals of {size}", said.tree_size);
            return self.faults.add(FaultKind::LogTruncated, (size + 1, said.tree_size), what);
        }
        if said.root != self.frontier.root() {
            let what = format!(
                "the seals are not those of checkpoint {number}: what was sealed from {} to {} was written anew",
                span.0, span.1
            );
            return self.faults.add(FaultKind::RootDiffers, span, what);
        }
        self.notes.good(key, size);
    }

    /// The part of the streams whose chains this pass followed.
    pub fn part(&self) -> Part {
        self.heads.part()
    }

    /// Ends the pass. `unsealed`: how many events the log holds beyond its seals.
    pub fn finish(mut self, unsealed: u64) -> Report {
        let size = self.frontier.size();
        if let Some(stray) = self.pending.front() {
            let what = format!("events from position {} on are not sealed, but others after them are", stray.position);
            self.faults.add(FaultKind::SealMissing, (stray.position, self.last_position), what);
        }
        for (kind, span, what) in self.published.rest(size, &self.keys) {
            self.faults.add(kind, span, what);
        }
        self.check_pinned();
        let trusted = self.keys.vouched(&self.options.pinned);
        let is_trusted = |key: &PublicKey| trusted.iter().any(|one| one.key == *key);
        let pinned_to = self.notes.good_by_key.iter().filter(|(key, _)| is_trusted(key)).map(|(_, to)| *to).max();
        let proven = Proven {
            sealed_to: size,
            signed_to: self.notes.good_to,
            pinned_to: (!self.options.pinned.is_empty()).then(|| pinned_to.unwrap_or(0)),
            published_to: (!self.options.published.is_empty()).then_some(self.published.good_to()),
        };
        Report {
            origin: self.origin,
            events: self.events,
            unsealed,
            checkpoints: self.notes.count,
            keys: self.keys.all().iter().map(|key| (key.position, key.key, key.endorsed)).collect(),
            proven,
            faults: self.faults.into_sorted(),
        }
    }

    /// Whoever pins a key wants to see it, and every key after it vouched for.
    fn check_pinned(&mut self) {
        if self.options.pinned.is_empty() {
            return;
        }
        let vouched = self.keys.vouched(&self.options.pinned);
        let Some(first) = self.keys.all().first() else {
            let span = (1, self.frontier.size().max(1));
            return self.faults.add(FaultKind::KeyReplaced, span, "no key is registered in the log".to_owned());
        };
        if vouched.is_empty() {
            let what = format!("no pinned key is among the log's: its first is {}", first.key.id());
            self.faults.add(FaultKind::KeyReplaced, (first.position, self.frontier.size()), what);
        } else if let Some(last) = self.keys.all().last()
            && vouched.last().is_none_or(|vouched| vouched.key != last.key)
        {
            let what = format!("no pinned key vouches for the key {}, in force since here", last.key.id());
            self.faults.add(FaultKind::KeyReplaced, (last.position, self.frontier.size()), what);
        }
    }
}

fn stream_of(event: &StoredEvent<'_>) -> String {
    format!("{}-{}", event.aggregate_type, event.aggregate_id)
}

impl Notes {
    /// Whether a checkpoint follows on the one before: its number, its size, and what it says of that one.
    fn follows(&self, note: &Note) -> Result<(), String> {
        let said = &note.checkpoint;
        let (number, size, digest) = self.last.unwrap_or_default();
        if said.number != number + 1 {
            return Err(format!("checkpoint {} follows on checkpoint {number}", said.number));
        }
        if said.previous != self.last.map(|_| digest) {
            return Err(format!("checkpoint {} does not follow on checkpoint {number} as it stands here", said.number));
        }
        if said.tree_size <= size {
            return Err(format!("checkpoint {} holds no more than the one before", said.number));
        }
        Ok(())
    }

    fn good(&mut self, key: PublicKey, size: u64) {
        self.good_to = self.good_to.max(size);
        match self.good_by_key.iter_mut().find(|(known, _)| *known == key) {
            Some((_, to)) => *to = size.max(*to),
            None => self.good_by_key.push((key, size)),
        }
    }
}
