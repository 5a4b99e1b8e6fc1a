//! Erases subjects: destroys the key, then puts that on record. Whoever asked does it at once; what a crash left undone
//! is done by the process manager. Both send the same command, so it happens once.

use super::runner::{Process, ProcessError};
use super::{Cause, system_actor};
use crate::bus::CommandBus;
use crate::error::CommandError;
use chrono::{DateTime, Utc};
use domain::any_event::SUBJECT;
use domain::subject::{Subject, SubjectCommand, SubjectEvent};
use domain::{Actor, AnyEvent, CommandId, ContentHash, Metadata, Position, SubjectId};
use event_store::RecordedEvent;
use sqlx::PgPool;
use std::sync::Arc;
use uuid::Uuid;
use vault::erasure::destroy;

/// A subject that nobody can be found behind any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Where it is on record.
    pub position: Position,
    /// The fingerprint of the key that is no more.
    pub key_fingerprint: ContentHash,
    /// When the key was destroyed.
    pub destroyed_at: DateTime<Utc>,
}

/// Asks for a subject's erasure and carries it out. `None`: there is no such subject. To be repeated where it failed on
/// the way; after the request is on record, the process manager does the rest by itself.
pub async fn erase(
    bus: &CommandBus,
    pool: &PgPool,
    subject: SubjectId,
    reason: String,
    metadata: Metadata,
) -> Result<Option<Erased>, CommandError> {
    if !vault::erasure::exists(pool, &metadata.tenant, subject).await? {
        return Ok(None);
    }
    bus.execute::<Subject>(subject.0, SubjectCommand::RequestErasure { reason }, metadata.clone()).await?;
    finish(bus, pool, subject, Metadata { command_id: record_id(subject), ..metadata }).await
}

/// Destroys the key and puts that on record.
async fn finish(
    bus: &CommandBus,
    pool: &PgPool,
    subject: SubjectId,
    metadata: Metadata,
) -> Result<Option<Erased>, CommandError> {
    let Some(destroyed) = destroy(pool, &metadata.tenant, subject).await? else { return Ok(None) };
    bus.vault().forget(subject);
    let (key_fingerprint, destroyed_at) = (destroyed.key_fingerprint, destroyed.destroyed_at);
    let command = SubjectCommand::RecordErasure { key_fingerprint: key_fingerprint.clone(), destroyed_at };
    let recorded = bus.execute::<Subject>(subject.0, command, metadata).await?;
    Ok(Some(Erased { position: recorded.position, key_fingerprint, destroyed_at }))
}

/// The one command that records the erasure of a subject, whoever sends it.
fn record_id(subject: SubjectId) -> CommandId {
    CommandId::derived(subject.0, "record-erasure")
}

/// Finishes what was asked for.
pub(crate) struct Eraser(Arc<Hands>);

pub(crate) struct Hands {
    bus: CommandBus,
    pool: PgPool,
    actor: Actor,
}

/// An erasure that was asked for.
pub(crate) struct ToErase {
    cause: Cause,
    subject: SubjectId,
}

impl Eraser {
    pub fn new(bus: CommandBus, pool: PgPool) -> Self {
        Self(Arc::new(Hands { bus, pool, actor: system_actor("system:eraser") }))
    }
}

impl Process for Eraser {
    const NAME: &'static str = "eraser";
    type Work = ToErase;
    type Done = ();
    type Hands = Hands;

    fn hands(&self) -> Arc<Hands> {
        Arc::clone(&self.0)
    }

    fn react(&mut self, event: &RecordedEvent) -> Result<Vec<ToErase>, ProcessError> {
        if &*event.stream.aggregate_type != SUBJECT {
            return Ok(Vec::new());
        }
        let decoded = event.decode().map_err(|source| ProcessError::Unreadable { position: event.position, source })?;
        match decoded {
            AnyEvent::Subject(SubjectEvent::SubjectErasureRequested { subject, .. }) => {
                Ok(vec![ToErase { cause: Cause::of(event), subject }])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn lane(work: &ToErase) -> Uuid {
        work.subject.0
    }

    fn cause(work: &ToErase) -> &Cause {
        &work.cause
    }

    async fn perform(hands: &Hands, work: &ToErase) -> Result<(), CommandError> {
        let metadata = work.cause.metadata(&hands.actor, "record-erasure");
        let metadata = Metadata { command_id: record_id(work.subject), ..metadata };
        if finish(&hands.bus, &hands.pool, work.subject, metadata).await?.is_none() {
            tracing::warn!(subject = %work.subject, "erasure was asked for of a subject that has no key here");
        }
        Ok(())
    }
}
