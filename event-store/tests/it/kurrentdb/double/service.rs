//! What a node of the double answers.

use super::grpc::{Answer, Call, INVALID_ARGUMENT, Status, UNIMPLEMENTED, frames};
use super::messages::*;
use super::store::{Outcome, Record, Store};
use super::{KurrentDouble, Shared};
use bytes::Bytes;

/// Frames of one answer hold no more events, whatever was asked for.
const COUNT_MAX: usize = 100_000;

const LEADER: i32 = 8;
const FOLLOWER: i32 = 6;

impl Shared {
    /// Answers a call to the node `node`.
    pub fn serve(&self, node: usize, call: &Call) -> Answer {
        match call.path.rsplit_once("event_store.client.").map(|(_, name)| name) {
            Some("streams.Streams/Read") => self.for_leader(node, call).and_then(|()| self.read(call)),
            Some("streams.Streams/Append") => self.for_leader(node, call).and_then(|()| self.append(call)),
            Some("gossip.Gossip/Read") => Ok(frames([self.cluster()])),
            Some("server_features.ServerFeatures/GetSupportedMethods") => {
                Ok(frames([SupportedMethods { server_version: "25.0.0".to_owned() }]))
            }
            _ => Err(Status::new(UNIMPLEMENTED, format!("{} has no {}", KurrentDouble::NAME, call.path))),
        }
    }

    /// A call that wants the leader is sent there by the others.
    fn for_leader(&self, node: usize, call: &Call) -> Result<(), Status> {
        if node == self.leader() || call.headers.get("requires-leader").is_none_or(|wanted| wanted != "true") {
            return Ok(());
        }
        Err(self.not_leader())
    }

    fn cluster(&self) -> ClusterInfo {
        let leader = self.leader();
        let members = self.ports().into_iter().enumerate().map(|(node, (port, is_alive))| MemberInfo {
            instance: Some(Uuid::text(uuid::Uuid::from_u128(node as u128 + 1))),
            state: if node == leader { LEADER } else { FOLLOWER },
            is_alive,
            endpoint: Some(EndPoint { address: "127.0.0.1".to_owned(), port: port.into() }),
        });
        ClusterInfo { members: members.collect() }
    }

    fn append(&self, call: &Call) -> Answer {
        let mut messages = call.messages::<AppendReq>()?.into_iter().filter_map(|message| message.content);
        let Some(AppendContent::Options(options)) = messages.next() else {
            return Err(Status::new(INVALID_ARGUMENT, "an append begins with its options"));
        };
        let (Some(stream), Some(expected)) = (options.stream, options.expected) else {
            return Err(Status::new(INVALID_ARGUMENT, "an append names its stream and the revision expected"));
        };
        let mut events = Vec::new();
        for message in messages {
            let AppendContent::Message(event) = message else {
                return Err(Status::new(INVALID_ARGUMENT, "options come once"));
            };
            events.push(event);
        }
        let result = match self.store().append(&stream.text(), expected, &events) {
            Outcome::Written { revision, position } => {
                AppendResult::Success(Success { current_revision: Some(revision), position: Some(position) })
            }
            Outcome::WrongRevision(current) => AppendResult::WrongExpectedVersion(wrong(current, expected)),
            Outcome::InvalidTransaction => {
                let status = Status::new(INVALID_ARGUMENT, "Invalid Transaction");
                return Err(status.with("exception", "invalid-transaction"));
            }
            Outcome::TooLarge => {
                let status = Status::new(INVALID_ARGUMENT, "Maximum Append Size of 1048576 Exceeded.");
                return Err(status.with("exception", "maximum-append-size-exceeded"));
            }
        };
        Ok(frames([AppendResp { result: Some(result) }]))
    }

    fn read(&self, call: &Call) -> Answer {
        let options = call.messages::<ReadReq>()?.pop().and_then(|request| request.options);
        let options = options.ok_or_else(|| Status::new(INVALID_ARGUMENT, "a read has options"))?;
        let Some(ReadCount::Count(count)) = options.count else {
            return Err(Status::new(UNIMPLEMENTED, "subscriptions are not part of this double"));
        };
        let count = (count as usize).min(COUNT_MAX);
        let store = self.store();
        match &options.from {
            Some(ReadFrom::Stream(from)) => Ok(read_stream(&store, from, &options, count)),
            Some(ReadFrom::All(from)) => read_all(&store, from.position, &options, count),
            None => Err(Status::new(INVALID_ARGUMENT, "a read begins somewhere")),
        }
    }
}

fn wrong(current: Option<u64>, expected: ExpectedRevision) -> WrongExpectedVersion {
    WrongExpectedVersion {
        current: Some(current.map_or(CurrentRevision::NoStream(()), CurrentRevision::Revision)),
        expected: Some(match expected {
            ExpectedRevision::Revision(revision) => WrongRevision::Revision(revision),
            ExpectedRevision::NoStream(()) => WrongRevision::NoStream(()),
            ExpectedRevision::Any(()) => WrongRevision::Any(()),
            ExpectedRevision::StreamExists(()) => WrongRevision::StreamExists(()),
        }),
    }
}

fn read_stream(store: &Store, from: &FromStream, options: &ReadOptions, count: usize) -> Bytes {
    let name = from.stream.as_ref().map(StreamIdentifier::text).unwrap_or_default();
    let Some(entries) = store.stream(&name) else {
        let content = ReadContent::StreamNotFound(StreamNotFound { stream: Some(StreamIdentifier::of(&name)) });
        return frames([ReadResp { content: Some(content) }]);
    };
    let backwards = options.direction == 1;
    let (start, end) = match (from.revision, backwards) {
        (Some(FromRevision::Revision(revision)), false) => (revision as usize, entries.len()),
        (Some(FromRevision::End(())), false) | (Some(FromRevision::Start(())), true) => (0, 0),
        (Some(FromRevision::Revision(revision)), true) => (0, (revision as usize + 1).min(entries.len())),
        (Some(FromRevision::Start(())) | None, false) | (Some(FromRevision::End(())) | None, true) => {
            (0, entries.len())
        }
    };
    let entries = entries.get(start..end).unwrap_or(&[]);
    let record = |index: &usize| &store.records()[*index];
    let mut contents: Vec<ReadContent> = if backwards {
        entries.iter().rev().take(count).map(record).map(|record| content(store, record, options)).collect()
    } else {
        entries.iter().take(count).map(record).map(|record| content(store, record, options)).collect()
    };
    contents.push(ReadContent::LastStreamPosition(store.stream(&name).map_or(0, <[usize]>::len) as u64 - 1));
    frames(contents.into_iter().map(|content| ReadResp { content: Some(content) }))
}

fn read_all(store: &Store, from: Option<FromPosition>, options: &ReadOptions, count: usize) -> Answer {
    let filter = match &options.filter {
        Some(ReadFilter::Filter(filter)) => Some(filter),
        _ => None,
    };
    if let Some(FilterBy::Stream(by) | FilterBy::EventType(by)) = filter.and_then(|filter| filter.by.as_ref())
        && (!by.regex.is_empty() || by.prefix.is_empty())
    {
        return Err(Status::new(UNIMPLEMENTED, "filters of this double are prefixes"));
    }
    let records = store.records();
    // Forwards the place itself is part of what is read; backwards it is not.
    let at = |position: Position| records.partition_point(|record| record.place < position.commit);
    let wanted = |record: &&Record| filter.is_none_or(|filter| passes(filter, record));
    let read: Vec<&Record> = if options.direction == 1 {
        let end = match from {
            Some(FromPosition::Position(position)) => at(position),
            Some(FromPosition::Start(())) => 0,
            Some(FromPosition::End(())) | None => records.len(),
        };
        records[..end].iter().rev().filter(wanted).take(count).collect()
    } else {
        let start = match from {
            Some(FromPosition::Position(position)) => at(position),
            Some(FromPosition::Start(())) | None => 0,
            Some(FromPosition::End(())) => records.len(),
        };
        records[start..].iter().filter(wanted).take(count).collect()
    };
    Ok(frames(read.into_iter().map(|record| ReadResp { content: Some(content(store, record, options)) })))
}

fn passes(filter: &Filter, record: &Record) -> bool {
    match &filter.by {
        Some(FilterBy::Stream(by)) => by.prefix.iter().any(|prefix| record.stream.starts_with(prefix)),
        Some(FilterBy::EventType(by)) => by.prefix.iter().any(|prefix| record.event_type().starts_with(prefix)),
        None => true,
    }
}

fn content(store: &Store, record: &Record, options: &ReadOptions) -> ReadContent {
    let position = Some(CommitPosition::Commit(record.place));
    if options.resolve_links && record.event_type() == "$>" {
        let event = store.target(record).map(Record::message);
        return ReadContent::Event(ReadEvent { event, link: Some(record.message()), position });
    }
    ReadContent::Event(ReadEvent { event: Some(record.message()), link: None, position })
}
