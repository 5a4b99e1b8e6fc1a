//! What the double's nodes share: the log, with the rules that KurrentDB documents for it.

use super::messages::{ExpectedRevision, Position, ProposedMessage, RecordedEvent, StreamIdentifier, Uuid};
use std::collections::HashMap;

/// The server's own default of `MaxAppendSize`.
const APPEND_SIZE_MAX: usize = 1_048_576;

/// One record of the log.
#[derive(Clone)]
pub struct Record {
    pub id: uuid::Uuid,
    pub stream: String,
    pub revision: u64,
    /// Its place in `$all`: rising, and not dense, as the offsets of a log are.
    pub place: u64,
    pub event: ProposedMessage,
    created: i64,
}

impl Record {
    pub fn event_type(&self) -> &str {
        self.event.metadata.get("type").map_or("", String::as_str)
    }

    /// As it goes over the wire.
    pub fn message(&self) -> RecordedEvent {
        let mut metadata = self.event.metadata.clone();
        metadata.insert("created".to_owned(), self.created.to_string());
        RecordedEvent {
            id: Some(Uuid::text(self.id)),
            stream: Some(StreamIdentifier::of(&self.stream)),
            revision: self.revision,
            prepare: self.place,
            commit: self.place,
            metadata,
            custom_metadata: self.event.custom_metadata.clone(),
            data: self.event.data.clone(),
        }
    }
}

/// What became of an append.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It is in the log, now or since before.
    Written { revision: u64, position: Position },
    /// The stream stands elsewhere; `None`: there is none.
    WrongRevision(Option<u64>),
    /// A part of its events is in the stream, others stand in the places of the rest.
    InvalidTransaction,
    /// It is larger than an append may be.
    TooLarge,
}

/// The log.
#[derive(Default)]
pub struct Store {
    records: Vec<Record>,
    /// The records of each stream, by index.
    streams: HashMap<String, Vec<usize>>,
    end: u64,
}

impl Store {
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The records of a stream; `None`: there is no such stream.
    pub fn stream(&self, name: &str) -> Option<&[usize]> {
        self.streams.get(name).map(Vec::as_slice)
    }

    /// The target of a link, `revision@stream`.
    pub fn target(&self, link: &Record) -> Option<&Record> {
        let text = std::str::from_utf8(&link.event.data).ok()?;
        let (revision, stream) = text.split_once('@')?;
        let index = *self.stream(stream)?.get(revision.parse::<usize>().ok()?)?;
        self.records.get(index)
    }

    pub fn append(&mut self, stream: &str, expected: ExpectedRevision, events: &[ProposedMessage]) -> Outcome {
        let size = |event: &ProposedMessage| {
            event.data.len() + event.custom_metadata.len() + 2 * event.metadata.get("type").map_or(0, String::len)
        };
        if events.iter().map(size).sum::<usize>() > APPEND_SIZE_MAX {
            return Outcome::TooLarge;
        }
        let ids: Vec<uuid::Uuid> = events.iter().filter_map(|event| event.id.as_ref()?.id()).collect();
        assert_eq!(ids.len(), events.len(), "every event has an id");
        let length = self.streams.get(stream).map_or(0, Vec::len);
        let at = match expected {
            ExpectedRevision::NoStream(()) => 0,
            ExpectedRevision::Revision(revision) => revision as usize + 1,
            ExpectedRevision::StreamExists(()) if length == 0 => return Outcome::WrongRevision(None),
            // (Idempotency of these two is of the recent past only, and nobody here rests on it.)
            ExpectedRevision::StreamExists(()) | ExpectedRevision::Any(()) => length,
        };
        if at > length {
            return Outcome::WrongRevision((length as u64).checked_sub(1));
        }
        if at < length {
            return self.repeated(stream, at, &ids);
        }
        let created = chrono::Utc::now().timestamp_micros() * 10;
        for (event, id) in events.iter().zip(ids) {
            self.end += 64 + size(event) as u64;
            let entries = self.streams.entry(stream.to_owned()).or_default();
            let (revision, place) = (entries.len() as u64, self.end);
            entries.push(self.records.len());
            self.records.push(Record { id, stream: stream.to_owned(), revision, place, event: event.clone(), created });
        }
        self.written(stream, (at + events.len()) as u64 - 1)
    }

    /// An append behind the end of its stream: a repetition, if its ids are those that stand there.
    fn repeated(&self, stream: &str, at: usize, ids: &[uuid::Uuid]) -> Outcome {
        let entries = &self.streams[stream];
        for (n, id) in ids.iter().enumerate() {
            let there = entries.get(at + n).map(|index| self.records[*index].id);
            if there != Some(*id) {
                return if n == 0 {
                    Outcome::WrongRevision(Some(entries.len() as u64 - 1))
                } else {
                    Outcome::InvalidTransaction
                };
            }
        }
        self.written(stream, (at + ids.len()) as u64 - 1)
    }

    fn written(&self, stream: &str, revision: u64) -> Outcome {
        let place = self.records[self.streams[stream][revision as usize]].place;
        Outcome::Written { revision, position: Position { commit: place, prepare: place } }
    }

    /// Takes a stream away, as an operator's scavenge of a deleted stream does.
    pub fn forget(&mut self, name: &str) {
        self.streams.remove(name);
    }
}
