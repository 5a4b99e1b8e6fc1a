//! What this process knows for certain of streams and commands, so that most questions never reach the database.

use crate::log::StreamId;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Entries of one generation; two generations are kept, so memory is bounded at about twice this.
const GENERATION_MAX: usize = 32_768;

/// Facts that stay true because the log is append-only: "this stream has at least so many events", "this command is
/// on record". Old entries are forgotten in generations; forgetting only costs a question to the database.
#[derive(Default)]
pub(super) struct Known {
    inner: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    streams: HashMap<StreamId, i64>,
    streams_before: HashMap<StreamId, i64>,
    commands: HashSet<Uuid>,
    commands_before: HashSet<Uuid>,
}

impl Known {
    /// The least number of events that the stream is known to have; 0 where nothing is known.
    pub fn version(&self, stream: &StreamId) -> i64 {
        self.lock().version(stream)
    }

    /// Notes that the stream has at least `version` events.
    pub fn note_version(&self, stream: &StreamId, version: i64) {
        self.lock().note_version(stream, version);
    }

    /// Whether this command was seen on record.
    pub fn has_command(&self, command: Uuid) -> bool {
        let known = self.lock();
        known.commands.contains(&command) || known.commands_before.contains(&command)
    }

    /// Notes a command that is on record, and what it did to its stream.
    pub fn note_command(&self, command: Uuid, stream: &StreamId, version: i64) {
        let mut known = self.lock();
        if known.commands.len() >= GENERATION_MAX {
            known.commands_before = std::mem::take(&mut known.commands);
        }
        known.commands.insert(command);
        if version > 0 {
            known.note_version(stream, version);
        }
    }

    /// Forgets everything: after a reconnect the server may be another one, restored from an older copy.
    pub fn forget(&self) {
        *self.lock() = Generations::default();
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // A panic elsewhere can not leave these maps half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn version(&self, stream: &StreamId) -> i64 {
        self.streams.get(stream).or_else(|| self.streams_before.get(stream)).copied().unwrap_or(0)
    }

    fn note_version(&mut self, stream: &StreamId, version: i64) {
        if version <= self.version(stream) {
            return;
        }
        if self.streams.len() >= GENERATION_MAX && !self.streams.contains_key(stream) {
            self.streams_before = std::mem::take(&mut self.streams);
        }
        self.streams.insert(stream.clone(), version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(n: usize) -> StreamId {
        StreamId::new("Thing", &n.to_string())
    }

    #[test]
    fn a_version_never_goes_back() {
        let known = Known::default();
        known.note_version(&stream(1), 7);
        known.note_version(&stream(1), 3);
        assert_eq!(known.version(&stream(1)), 7);
        assert_eq!(known.version(&stream(2)), 0);
    }

    #[test]
    fn memory_is_bounded_and_recent_entries_survive() {
        let known = Known::default();
        for n in 0..3 * GENERATION_MAX {
            known.note_command(Uuid::from_u128(n as u128), &stream(n), 1);
        }
        let last = 3 * GENERATION_MAX - 1;
        assert_eq!(known.version(&stream(last)), 1);
        assert!(known.has_command(Uuid::from_u128(last as u128)));
        assert_eq!(known.version(&stream(0)), 0);
        assert!(!known.has_command(Uuid::from_u128(0)));
        let kept = known.lock();
        assert!(kept.streams.len() + kept.streams_before.len() <= 2 * GENERATION_MAX);
        assert!(kept.commands.len() + kept.commands_before.len() <= 2 * GENERATION_MAX);
    }

    #[test]
    fn forgetting_forgets_all() {
        let known = Known::default();
        known.note_command(Uuid::from_u128(1), &stream(1), 4);
        known.forget();
        assert_eq!(known.version(&stream(1)), 0);
        assert!(!known.has_command(Uuid::from_u128(1)));
    }
}
