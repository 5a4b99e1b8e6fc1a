//! The command bus: load, decide, append, once.
//!
//! A command is decided on a cached state, or, where it starts its stream, on none; the append then says whether that
//! state was the present one. So an accepted command costs one round trip. What a state that may be old refuses, or
//! finds nothing to do for, is decided again on what the log says now, before it is believed and put on record.

use crate::cache::{Known, StateCache};
use crate::clock::{Clock, SystemClock};
use crate::error::CommandError;
use crate::hash::body_hash;
use crate::lanes::Lanes;
use crate::loading;
use crate::snapshots::Snapshots;
use crate::store::{Basis, CommandStore, Verdict};
use crate::trace;
use cqrs_es::{AggregateError, CqrsFramework};
use domain::{CommandId, Context, Decider, ExpectedStream, Metadata, Position, StreamVersion};
use event_store::{Appended, CommandOutcome, CommandRecord, EventLog, RefusedCommand, StreamId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::Instrument as _;
use uuid::Uuid;
use vault::Vault;

const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// How the bus behaves; the defaults are right for nearly everybody.
#[derive(Clone)]
pub struct BusOptions {
    /// Tells the time of decisions.
    pub clock: Arc<dyn Clock>,
    /// About how much room cached states may take, in kilobytes.
    pub cache_kilobytes: u64,
    /// How often a command is decided anew where others changed its stream in between.
    pub conflicts_max: u32,
    /// How long a command waits for earlier ones to the same stream.
    pub turn_wait: Duration,
    /// Seals the names of people: those who send commands, and those whom commands name.
    pub vault: Vault,
    /// States of long streams, to begin loads at; without them every load folds its stream from the beginning.
    pub snapshots: Option<Arc<Snapshots>>,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            cache_kilobytes: 64 * 1_024,
            conflicts_max: 8,
            turn_wait: Duration::from_secs(15),
            vault: Vault::off(),
            snapshots: None,
        }
    }
}

/// What an executed command did.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed<E> {
    /// The position of its last event; where it had none, the end of the log as known then.
    pub position: Position,
    /// The stream's version after it.
    pub version: StreamVersion,
    /// True where it had been executed before, and this is what happened then.
    pub repeated: bool,
    /// What it decided; empty where repeated.
    pub events: Vec<E>,
}

/// How many commands ended how since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusCounts {
    /// Executed.
    pub executed: u64,
    /// Executed before.
    pub repeated: u64,
    /// Refused.
    pub refused: u64,
    /// Failed otherwise.
    pub failed: u64,
    /// Decided anew because others changed the stream in between.
    pub conflicts: u64,
}

/// Executes commands. Clones share everything.
#[derive(Clone)]
pub struct CommandBus(Arc<Inner>);

struct Inner {
    log: Arc<dyn EventLog>,
    options: BusOptions,
    cache: StateCache,
    lanes: Arc<Lanes>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    executed: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    conflicts: AtomicU64,
}

/// One command on its way.
struct Sent<'a> {
    id: Uuid,
    stream: &'a StreamId,
    metadata: &'a Metadata,
    record: &'a CommandRecord,
}

/// What an executed command did, and the state that it left.
pub(crate) struct Settled<D: Decider> {
    pub executed: Executed<D::Event>,
    /// The state after it. Where it was repeated: a state after it, or one as old as the cache.
    pub state: Arc<D::State>,
}

impl CommandBus {
    /// A bus that writes to this log.
    pub fn new(log: Arc<dyn EventLog>, options: BusOptions) -> Self {
        let cache = StateCache::new(options.cache_kilobytes);
        Self(Arc::new(Inner { log, options, cache, lanes: Arc::default(), counters: Counters::default() }))
    }

    /// Executes a command on the aggregate `id`. Repeating it (the same `metadata.command_id`) changes nothing and
    /// returns what happened the first time.
    pub async fn execute<D: Decider>(
        &self,
        id: Uuid,
        command: D::Command,
        metadata: Metadata,
    ) -> Result<Executed<D::Event>, CommandError> {
        Ok(self.settle::<D>(id, command, metadata).await?.executed)
    }

    /// The present state of an aggregate, as the log has it now. The default state at version 0 where it does not
    /// exist.
    pub async fn load<D: Decider>(&self, id: Uuid) -> Result<(D::State, StreamVersion), CommandError> {
        let stream = StreamId::new(D::TYPE, &id.to_string());
        let known = self.0.verified::<D>(id, &stream).await?;
        Ok(known.map_or_else(
            || (D::State::default(), StreamVersion(0)),
            |known| (Arc::unwrap_or_clone(known.state), known.version),
        ))
    }

    /// How many commands ended how.
    pub fn counts(&self) -> BusCounts {
        let Counters { executed, repeated, refused, failed, conflicts } = &self.0.counters;
        BusCounts {
            executed: executed.load(Ordering::Relaxed),
            repeated: repeated.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
            conflicts: conflicts.load(Ordering::Relaxed),
        }
    }

    /// The log that the bus writes to.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.0.log
    }

    /// The clock that tells the time of decisions.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.options.clock
    }

    /// The vault that names are sealed in.
    pub fn vault(&self) -> &Vault {
        &self.0.options.vault
    }

    /// The one place where names are sealed on the way in: nothing behind it ever knows them.
    async fn seal_people<D: Decider>(
        &self,
        command: &mut D::Command,
        metadata: &mut Metadata,
    ) -> Result<(), CommandError> {
        let vault = self.vault();
        metadata.actor = vault.seal_actor(&metadata.tenant, &metadata.actor).await?;
        for person in D::people(command) {
            *person = vault.seal_actor(&metadata.tenant, person).await?;
        }
        Ok(())
    }

    pub(crate) async fn settle<D: Decider>(
        &self,
        id: Uuid,
        mut command: D::Command,
        mut metadata: Metadata,
    ) -> Result<Settled<D>, CommandError> {
        self.seal_people::<D>(&mut command, &mut metadata).await?;
        let stream = StreamId::new(D::TYPE, &id.to_string());
        let name = D::command_name(&command);
        let span = tracing::debug_span!(
            "command",
            otel.name = format!("command {name}"),
            command = name,
            stream = %stream,
            command_id = %metadata.command_id,
            outcome = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        );
        trace::join(&span, &mut metadata);
        let body_hash = body_hash::<D>(id, &command)
            .map_err(|error| CommandError::Damaged { reason: format!("the command has no JSON: {error}") })?;
        let record = CommandRecord { name: name.to_owned(), body_hash };
        let sent = Sent { id, stream: &stream, metadata: &metadata, record: &record };
        let settled = self.0.run::<D>(sent, command).instrument(span.clone()).await;
        span.record("outcome", self.0.count(&settled));
        // A refusal is an answer like any other.
        if !matches!(settled, Ok(_) | Err(CommandError::Refused { .. })) {
            span.record("otel.status_code", "ERROR");
        }
        settled
    }
}

impl Inner {
    async fn run<D: Decider>(&self, sent: Sent<'_>, command: D::Command) -> Result<Settled<D>, CommandError> {
        let (_lane, mut basis) = match D::expected_stream(&command) {
            ExpectedStream::New => (None, Basis { known: None, verified: false }),
            ExpectedStream::Any => {
                let lane = self.lanes.enter((D::TYPE, sent.id), self.options.turn_wait).await?;
                (Some(lane), self.cached_or_loaded::<D>(sent.id, sent.stream).await?)
            }
        };
        let mut conflicts = 0;
        loop {
            match self.decide(&sent, &basis, command.clone()).await {
                Err(AggregateError::UserError(refusal)) if basis.verified => {
                    return self.refuse(&sent, &refusal, basis.state()).await;
                }
                Err(AggregateError::UserError(_)) | Ok(Verdict::Unsure) => {
                    let known = self.verified::<D>(sent.id, sent.stream).await?;
                    basis = Basis { known, verified: true };
                }
                Ok(Verdict::Failed(event_store::AppendError::Conflict { .. })) => {
                    self.cache.evict::<D>(sent.id).await;
                    self.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                    conflicts += 1;
                    if conflicts > self.options.conflicts_max {
                        return Err(CommandError::Conflict);
                    }
                    pause_after_conflict(conflicts, sent.metadata.command_id).await;
                    let known = self.loaded::<D>(sent.id, sent.stream).await?;
                    basis = Basis { known, verified: true };
                }
                Ok(Verdict::Failed(error)) => return Err(error.into()),
                Ok(Verdict::Unstorable(reason)) => return Err(CommandError::Damaged { reason }),
                Ok(Verdict::Appended { appended, events, state, last_event }) => {
                    return Ok(self.accept(sent.id, &basis, appended, events, (state, last_event)).await);
                }
                Err(other) => return Err(CommandError::Damaged { reason: other.to_string() }),
            }
        }
    }

    /// Lets the framework drive the aggregate on this basis, up to the append.
    async fn decide<D: Decider>(
        &self,
        sent: &Sent<'_>,
        basis: &Basis<D>,
        command: D::Command,
    ) -> Result<Verdict<D>, AggregateError<D::Refusal>> {
        let verdict = Mutex::new(None);
        let store = CommandStore {
            log: self.log.as_ref(),
            stream: sent.stream,
            basis,
            metadata: sent.metadata,
            record: sent.record,
            verdict: &verdict,
        };
        let context = Context { now: self.options.clock.now(), actor: sent.metadata.actor.clone(), id: sent.id };
        let framework = CqrsFramework::new(store, Vec::new(), ());
        let ended =
            framework.execute_with_metadata(&sent.stream.aggregate_id, (command, context), HashMap::new()).await;
        drop(framework);
        match verdict.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(verdict) => Ok(verdict),
            // Without a verdict the decision did not come to the commit.
            None => Err(ended.err().unwrap_or(AggregateError::AggregateConflict)),
        }
    }

    async fn accept<D: Decider>(
        &self,
        id: Uuid,
        basis: &Basis<D>,
        appended: Appended,
        events: Vec<D::Event>,
        (state, last_event): (D::State, Option<Uuid>),
    ) -> Settled<D> {
        let Appended { position, version, repeated, .. } = appended;
        if repeated {
            // What was decided now did not happen.
            let executed = Executed { position, version, repeated, events: Vec::new() };
            return Settled { executed, state: basis.state() };
        }
        let state = Arc::new(state);
        if let Some(last_event) = last_event {
            self.cache.put::<D>(id, &Known { state: Arc::clone(&state), version, last_event }).await;
        }
        Settled { executed: Executed { position, version, repeated, events }, state }
    }

    /// Puts a refusal on record; where the command came before, what happened then counts.
    async fn refuse<D: Decider>(
        &self,
        sent: &Sent<'_>,
        refusal: &D::Refusal,
        state: Arc<D::State>,
    ) -> Result<Settled<D>, CommandError> {
        let refused = RefusedCommand {
            stream: sent.stream.clone(),
            metadata: sent.metadata.clone(),
            command: sent.record.clone(),
            code: D::refusal_code(refusal).to_owned(),
            message: refusal.to_string(),
        };
        match self.log.record_refusal(refused).await? {
            CommandOutcome::Refused { code, message } => Err(CommandError::Refused { code, message }),
            CommandOutcome::Accepted(Appended { position, version, .. }) => {
                let executed = Executed { position, version, repeated: true, events: Vec::new() };
                Ok(Settled { executed, state })
            }
        }
    }

    async fn cached_or_loaded<D: Decider>(&self, id: Uuid, stream: &StreamId) -> Result<Basis<D>, CommandError> {
        if let Some(known) = self.cache.get::<D>(id).await {
            return Ok(Basis { known: Some(known), verified: false });
        }
        Ok(Basis { known: self.loaded::<D>(id, stream).await?, verified: true })
    }

    /// What the log has now, by reading on from the cached state where there is one.
    async fn verified<D: Decider>(&self, id: Uuid, stream: &StreamId) -> Result<Option<Known<D>>, CommandError> {
        if let Some(cached) = self.cache.get::<D>(id).await {
            let version = cached.version;
            if let Some(known) = loading::verify::<D>(self.log.as_ref(), stream, cached).await? {
                if known.version > version {
                    self.cache.put::<D>(id, &known).await;
                }
                return Ok(Some(known));
            }
            self.cache.evict::<D>(id).await;
        }
        self.loaded::<D>(id, stream).await
    }

    async fn loaded<D: Decider>(&self, id: Uuid, stream: &StreamId) -> Result<Option<Known<D>>, CommandError> {
        let known = loading::load::<D>(self.log.as_ref(), stream, self.options.snapshots.as_deref()).await?;
        if let Some(known) = &known {
            self.cache.put::<D>(id, known).await;
        }
        Ok(known)
    }

    /// Counts how a command ended; its name for the trace.
    fn count<D: Decider>(&self, settled: &Result<Settled<D>, CommandError>) -> &'static str {
        let (counter, outcome) = match settled {
            Ok(settled) if settled.executed.repeated => (&self.counters.repeated, "repeated"),
            Ok(_) => (&self.counters.executed, "executed"),
            Err(error @ CommandError::Refused { .. }) => (&self.counters.refused, error.outcome()),
            Err(error) => (&self.counters.failed, error.outcome()),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome
    }
}

/// The first time at once, then longer and longer, and never two commands alike.
async fn pause_after_conflict(conflicts: u32, command: CommandId) {
    if conflicts < 2 {
        return;
    }
    let longest = PAUSE_MAX.min(PAUSE_MIN * 2_u32.saturating_pow(conflicts.min(16)));
    // The command's own random bits, stirred by the count (the multiplier is that of splitmix64).
    let stirred = (command.0.as_u64_pair().1 ^ u64::from(conflicts)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let share = (stirred >> 40) as f64 / f64::from(1_u32 << 24);
    tokio::time::sleep(longest.mul_f64(0.25 + 0.75 * share)).await;
}
