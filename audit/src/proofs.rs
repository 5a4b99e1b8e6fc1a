//! Proofs as documents that stand for themselves: an event is in a checkpoint; a checkpoint goes on from another.

use crate::canonical::{StoredEvent, moment};
use crate::merkle::{Hash, verify_consistency, verify_inclusion};
use crate::signing::{Note, PublicKey};
use crate::{AuditError, store, tree};
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

/// An event, verbatim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenEvent {
    /// Its place in the total order.
    pub position: i64,
    /// Its stream's aggregate type.
    pub aggregate_type: String,
    /// Its stream's aggregate id.
    pub aggregate_id: String,
    /// Its place in its stream.
    pub sequence: i64,
    /// Its own id.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
    /// Its version.
    pub event_version: String,
    /// When it was recorded.
    pub recorded_at: String,
    /// The payload's JSON text.
    pub payload: String,
    /// The metadata's JSON text.
    pub metadata: String,
}

impl ProvenEvent {
    /// The document of an event.
    pub fn of(event: &StoredEvent<'_>) -> Self {
        Self {
            position: event.position,
            aggregate_type: event.aggregate_type.to_owned(),
            aggregate_id: event.aggregate_id.to_owned(),
            sequence: event.sequence,
            event_id: event.event_id,
            event_type: event.event_type.to_owned(),
            event_version: event.event_version.to_owned(),
            recorded_at: moment(event.recorded_at),
            payload: event.payload.to_owned(),
            metadata: event.metadata.to_owned(),
        }
    }

    fn leaf(&self) -> Result<Hash, AuditError> {
        let recorded_at: DateTime<Utc> = DateTime::parse_from_rfc3339(&self.recorded_at)
            .map_err(|error| AuditError::Malformed(format!("recorded_at: {error}")))?
            .to_utc();
        let event = StoredEvent {
            position: self.position,
            aggregate_type: &self.aggregate_type,
            aggregate_id: &self.aggregate_id,
            sequence: self.sequence,
            event_id: self.event_id,
            event_type: &self.event_type,
            event_version: &self.event_version,
            recorded_at,
            payload: &self.payload,
            metadata: &self.metadata,
        };
        Ok(event.leaf(&mut Vec::new()))
    }
}

/// That an event is in the tree of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// The event.
    pub event: ProvenEvent,
    /// Its leaf's hash, in hexadecimal digits.
    pub leaf: String,
    /// The hashes from the leaf to the root.
    pub proof: Vec<String>,
    /// The signed note.
    pub checkpoint: String,
}

/// That the tree of a checkpoint goes on from that of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyProof {
    /// The smaller tree's signed note.
    pub first: String,
    /// The larger tree's signed note.
    pub second: String,
    /// The hashes that both trees consist of.
    pub proof: Vec<String>,
}

/// Proves that the event at a position is in the first checkpoint that covers it, or in the one named.
pub async fn prove(pool: &PgPool, position: u64, checkpoint: Option<u64>) -> Result<InclusionProof, AuditError> {
    let text = match checkpoint {
        Some(number) => store::note(pool, number).await?,
        None => store::note_covering(pool, position).await?,
    };
    let text = text.ok_or_else(|| AuditError::Missing(format!("no checkpoint covers position {position} yet")))?;
    let note = Note::parse(&text)?;
    let mut db = pool.acquire().await?;
    let row = store::events(&mut *db, position.saturating_sub(1), position, 1).try_collect::<Vec<_>>().await?;
    let row = row.first().ok_or_else(|| AuditError::Missing(format!("there is no event at position {position}")))?;
    let event = ProvenEvent::of(&store::stored(row)?);
    let proof = tree::inclusion(&mut db, position, note.checkpoint.tree_size).await?;
    let leaf = hex::encode(event.leaf()?);
    Ok(InclusionProof { event, leaf, proof: proof.iter().map(hex::encode).collect(), checkpoint: text })
}

/// Proves that the second checkpoint goes on from the first.
pub async fn prove_consistency(pool: &PgPool, first: u64, second: u64) -> Result<ConsistencyProof, AuditError> {
    let (first, second) = (first.min(second), first.max(second));
    let missing = |number| AuditError::Missing(format!("there is no checkpoint {number}"));
    let one = store::note(pool, first).await?.ok_or_else(|| missing(first))?;
    let other = store::note(pool, second).await?.ok_or_else(|| missing(second))?;
    let sizes = (Note::parse(&one)?.checkpoint.tree_size, Note::parse(&other)?.checkpoint.tree_size);
    let proof = tree::consistency(&mut *pool.acquire().await?, sizes.0, sizes.1).await?;
    Ok(ConsistencyProof { first: one, second: other, proof: proof.iter().map(hex::encode).collect() })
}

impl InclusionProof {
    /// Whether it proves what it says; else why not. `keys`: those of which one must have signed the checkpoint; none:
    /// the signature is not looked at.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<Note, AuditError> {
        let note = signed(&self.checkpoint, keys)?;
        let leaf = self.event.leaf()?;
        if hex::encode(leaf) != self.leaf {
            return Err(AuditError::Malformed("the event is not the one of the leaf".to_owned()));
        }
        let said = &note.checkpoint;
        let index = u64::try_from(self.event.position - 1)
            .map_err(|_| AuditError::Malformed("the position is below 1".to_owned()))?;
        if verify_inclusion(&leaf, index, said.tree_size, &hashes(&self.proof)?, &said.root) {
            Ok(note)
        } else {
            Err(AuditError::Malformed(format!("the proof does not lead to the root of checkpoint {}", said.number)))
        }
    }
}

impl ConsistencyProof {
    /// Whether it proves what it says; else why not.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<(Note, Note), AuditError> {
        let (first, second) = (signed(&self.first, keys)?, signed(&self.second, keys)?);
        let (one, other) = (&first.checkpoint, &second.checkpoint);
        if one.origin != other.origin {
            return Err(AuditError::Malformed("the checkpoints are of two logs".to_owned()));
        }
        let trees = ((one.tree_size, &one.root), (other.tree_size, &other.root));
        if verify_consistency(trees.0, trees.1, &hashes(&self.proof)?) {
            Ok((first, second))
        } else {
            let what = format!("checkpoint {} does not go on from checkpoint {}", other.number, one.number);
            Err(AuditError::Malformed(what))
        }
    }
}

fn signed(text: &str, keys: &[PublicKey]) -> Result<Note, AuditError> {
    let note = Note::parse(text)?;
    if keys.is_empty() || keys.iter().any(|key| note.is_signed_by(key)) {
        Ok(note)
    } else {
        let what = format!("checkpoint {} is not signed by a pinned key", note.checkpoint.number);
        Err(AuditError::Malformed(what))
    }
}

fn hashes(digits: &[String]) -> Result<Vec<Hash>, AuditError> {
    let hash = |text: &String| {
        let mut hash = Hash::default();
        hex::decode_to_slice(text, &mut hash).map(|()| hash)
    };
    let hashes: Result<_, _> = digits.iter().map(hash).collect();
    hashes.map_err(|error| AuditError::Malformed(format!("a hash of the proof: {error}")))
}
