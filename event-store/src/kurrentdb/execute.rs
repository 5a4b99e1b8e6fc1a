//! An append, step by step: check the version, claim the command, append the events, learn their position.

use super::KurrentEventLog;
use super::claims::{Body, Claim, Intent, idle_outcome, idle_to_write, intent_to_write, refusal_to_write};
use super::connection::Failure;
use super::translate::{size, to_write};
use crate::log::{
    Append, AppendError, Appended, CommandOutcome, Expected, LogError, NewEvent, RefusedCommand, StreamId,
};
use domain::{CommandId, Metadata, Position, StreamVersion};
use eventstore::{AppendToStreamOptions, Client, EventData, StreamState};
use std::time::Duration;
use tokio::time::Instant;

/// A position that is not told within this time is looked for: the event may have been numbered before anybody here
/// waited for it.
const TOLD_WITHIN: Duration = Duration::from_millis(100);
/// How often an entry may be beaten to its place by others of the same command.
const ATTEMPTS_MAX: usize = 100;

/// What the last entry of a command's stream says.
enum Standing {
    /// Nothing is there.
    Unheard,
    /// It is decided.
    Decided(CommandOutcome),
    /// Its last intent came too late and is void; the next entry stands at this revision.
    Void(i64),
}

impl KurrentEventLog {
    pub(super) async fn append_now(&self, append: Append) -> Result<Appended, AppendError> {
        let (events, bytes) = (append.events.len(), size(&append.events, &append.metadata));
        if events > self.options.append_events_max || bytes > self.options.append_bytes_max {
            return Err(AppendError::TooLarge { events, bytes });
        }
        let _room = self.room.try_acquire().map_err(|_| AppendError::Overloaded)?;
        match self.execute(append, self.deadline()).await {
            // The server's own limit is lower than ours.
            Err(AppendError::TooLarge { .. }) => Err(AppendError::TooLarge { events, bytes }),
            answer => answer,
        }
    }

    async fn execute(&self, append: Append, deadline: Instant) -> Result<Appended, AppendError> {
        if let Some(earlier) = self.check_version(&append, deadline).await? {
            return accepted(earlier);
        }
        let (command, body_hash) = (append.metadata.command_id, append.command.body_hash);
        if append.events.is_empty() {
            let position = *self.numbering.newest().borrow();
            let entry = idle_to_write(&append, position)?;
            return match self.claim(command, &body_hash, entry, deadline).await? {
                Some(earlier) => accepted(earlier),
                None => accepted(idle_outcome(position, version(&append))).map(first_time),
            };
        }
        if let Some(earlier) = self.claim(command, &body_hash, intent_to_write(&append)?, deadline).await? {
            return accepted(earlier);
        }
        let intent = Intent {
            expected: version(&append).0,
            stream: append.stream,
            events: append.events,
            metadata: append.metadata,
        };
        match self.finish(&intent, deadline).await? {
            Some(position) => accepted(intent.outcome(position)).map(first_time),
            None => Err(conflict(&intent.stream, intent.expected)),
        }
    }

    pub(super) async fn record_refusal_now(&self, refusal: RefusedCommand) -> Result<CommandOutcome, AppendError> {
        let _room = self.room.try_acquire().map_err(|_| AppendError::Overloaded)?;
        let entry = refusal_to_write(&refusal)?;
        let (command, body_hash) = (refusal.metadata.command_id, refusal.command.body_hash);
        let earlier = self.claim(command, &body_hash, entry, self.deadline()).await?;
        Ok(earlier.unwrap_or(CommandOutcome::Refused { code: refusal.code, message: refusal.message }))
    }

    pub(super) async fn outcome_of(
        &self,
        command: CommandId,
        body_hash: &[u8; 32],
        deadline: Instant,
    ) -> Result<Option<CommandOutcome>, AppendError> {
        Ok(match self.standing(command, body_hash, deadline).await? {
            Standing::Decided(outcome) => Some(outcome),
            Standing::Unheard | Standing::Void(_) => None,
        })
    }

    /// The stream must be where the append expects it, as far as can be told now: an intent for a version that is yet
    /// to come could be executed when its caller has long been told of a conflict. Where it is elsewhere, the command
    /// may have been executed before.
    async fn check_version(&self, append: &Append, deadline: Instant) -> Result<Option<CommandOutcome>, AppendError> {
        let expected = version(append).0;
        let mut at = self.known_version(&append.stream);
        if expected > at || append.events.is_empty() {
            at = self.reader().version_of(&self.names.stream(&append.stream), deadline).await?;
            self.note_version(&append.stream, at);
        }
        if at == expected {
            return Ok(None);
        }
        let (command, body_hash) = (append.metadata.command_id, &append.command.body_hash);
        match self.outcome_of(command, body_hash, deadline).await? {
            Some(outcome) => Ok(Some(outcome)),
            None => Err(conflict(&append.stream, expected)),
        }
    }

    /// Writes an entry into the command's stream, behind void ones only. `None`: it is there, and decides; else what
    /// was decided before.
    async fn claim(
        &self,
        command: CommandId,
        body_hash: &[u8; 32],
        entry: EventData,
        deadline: Instant,
    ) -> Result<Option<CommandOutcome>, AppendError> {
        let stream = self.names.command(command.0);
        let mut next = 0;
        for _ in 0..ATTEMPTS_MAX {
            match self.write(&stream, next, vec![entry.clone()], deadline).await {
                Ok(()) => return Ok(None),
                Err(Failure::WrongRevision) => {}
                Err(failure) => return Err(failed(failure)),
            }
            match self.standing(command, body_hash, deadline).await? {
                Standing::Decided(outcome) => return Ok(Some(outcome)),
                Standing::Void(revision) => next = revision,
                Standing::Unheard => next = 0,
            }
        }
        Err(LogError::Unavailable(format!("command {command} is sent by too many at once")).into())
    }

    /// Reads the command's stream, and finishes what was begun.
    async fn standing(
        &self,
        command: CommandId,
        body_hash: &[u8; 32],
        deadline: Instant,
    ) -> Result<Standing, AppendError> {
        let stream = self.names.command(command.0);
        let Some(last) = self.reader().last_of(&stream, deadline).await? else { return Ok(Standing::Unheard) };
        let claim = Claim::read(&last)?;
        claim.require(command, body_hash)?;
        let outcome = match claim.body {
            Body::Idle { position, version } => idle_outcome(position, version),
            Body::Refused { code, message } => CommandOutcome::Refused { code, message },
            Body::Intent(intent) => match self.became_of(&intent, deadline).await? {
                Some(position) => intent.outcome(position),
                None => return Ok(Standing::Void(last.revision as i64 + 1)),
            },
        };
        Ok(Standing::Decided(outcome))
    }

    /// What became of an intent, finished here if nobody has: the position of its last event, or `None` where the
    /// stream went on without it.
    async fn became_of(&self, intent: &Intent, deadline: Instant) -> Result<Option<Position>, AppendError> {
        if self.reader().version_of(&self.names.stream(&intent.stream), deadline).await? == intent.expected {
            self.finish(intent, deadline).await
        } else {
            self.found(intent, deadline).await
        }
    }

    /// Appends the events of an intent, as its writer or for it.
    async fn finish(&self, intent: &Intent, deadline: Instant) -> Result<Option<Position>, AppendError> {
        let Some(last) = intent.events.last() else { return Ok(None) };
        let stream = self.names.stream(&intent.stream);
        let events = written(&intent.events, &intent.metadata)?;
        let waiting = self.numbering.wait_for(last.event_id);
        match self.write(&stream, intent.expected, events, deadline).await {
            Ok(()) => {}
            // Others may have finished it, and others still may have gone on from there.
            Err(Failure::WrongRevision | Failure::Mixed) => return self.found(intent, deadline).await,
            Err(failure) => return Err(failed(failure)),
        }
        self.note_version(&intent.stream, intent.expected + intent.events.len() as i64);
        match waiting.position(deadline.min(Instant::now() + TOLD_WITHIN)).await {
            Ok(position) => Ok(Some(position)),
            Err(_) => self.found(intent, deadline).await,
        }
    }

    /// Looks for the events of an intent in their places.
    async fn found(&self, intent: &Intent, deadline: Instant) -> Result<Option<Position>, AppendError> {
        let Some(last) = intent.events.last() else { return Ok(None) };
        let before = intent.expected + intent.events.len() as i64 - 1;
        let stream = self.names.stream(&intent.stream);
        let there = self.reader().raw_stream(&stream, before, 1, deadline).await?;
        let Some(event) = there.first().filter(|event| event.id == last.event_id) else { return Ok(None) };
        self.note_version(&intent.stream, before + 1);
        Ok(Some(self.numbering.position_of(event, deadline).await?))
    }

    /// Appends at an exact version of a stream.
    async fn write(
        &self,
        stream: &str,
        version: i64,
        events: Vec<EventData>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let state = if version == 0 { StreamState::NoStream } else { StreamState::StreamRevision(version as u64 - 1) };
        let options = AppendToStreamOptions::default().stream_state(state).requires_leader(true);
        let question = |client: Client| {
            let (options, events) = (options.clone(), events.clone());
            async move { client.append_to_stream(stream, &options, events).await.map(|_| ()) }
        };
        self.connection.ask(deadline, question).await
    }
}

fn written(events: &[NewEvent], metadata: &Metadata) -> Result<Vec<EventData>, LogError> {
    events.iter().map(|event| to_write(event, metadata)).collect()
}

fn version(append: &Append) -> StreamVersion {
    let Expected::Version(version) = append.expected;
    version
}

fn conflict(stream: &StreamId, expected: i64) -> AppendError {
    AppendError::Conflict { stream: stream.clone(), expected: StreamVersion(expected) }
}

fn failed(failure: Failure) -> AppendError {
    match failure {
        // The caller knows how large it is.
        Failure::TooLarge => AppendError::TooLarge { events: 0, bytes: 0 },
        failure => AppendError::Log(failure.into()),
    }
}

fn first_time(appended: Appended) -> Appended {
    Appended { repeated: false, ..appended }
}

fn accepted(outcome: CommandOutcome) -> Result<Appended, AppendError> {
    match outcome {
        CommandOutcome::Accepted(appended) => Ok(appended),
        CommandOutcome::Refused { code, message } => Err(AppendError::RefusedBefore { code, message }),
    }
}
