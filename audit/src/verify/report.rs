//! What a verification found.

use crate::signing::PublicKey;
use serde::Serialize;

/// Faults that are kept in words; beyond them they are only counted.
const FAULTS_KEPT: usize = 50;

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An event is not the one that was sealed.
    EventChanged,
    /// A sealed event is gone.
    EventMissing,
    /// There is an event where none was.
    EventInserted,
    /// Events without their seal, or seals without those before them.
    SealMissing,
    /// A row of seals is not well-formed.
    SealDamaged,
    /// A stream does not follow from its events.
    ChainBroken,
    /// A stored node of the tree is not that of its leaves.
    NodeDiffers,
    /// A checkpoint is not readable, or of another log.
    CheckpointDamaged,
    /// A checkpoint does not follow on the one before.
    CheckpointMissing,
    /// A checkpoint is not signed by the key in force.
    SignatureWrong,
    /// The seals are not those that a checkpoint was signed for.
    RootDiffers,
    /// Checkpoints know of more events than there are.
    LogTruncated,
    /// A published checkpoint says otherwise.
    PublishedDiffers,
    /// A key is not the one that was trusted.
    KeyReplaced,
    /// A bundle ends before its end.
    BundleCut,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The first position that is bad, as far as it can be told.
    pub position: u64,
    /// The last position that it can be: the same, where it is known exactly.
    pub up_to: u64,
    /// What kind of thing.
    pub kind: FaultKind,
    /// In words.
    pub what: String,
}

/// How far the history is proven, by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// Every event up to here is as it was sealed.
    pub sealed_to: u64,
    /// … and up to here the seals are signed by the log's own keys.
    pub signed_to: u64,
    /// … and up to here by a pinned key, or one that it vouches for. None: no key was pinned.
    pub pinned_to: Option<u64>,
    /// … and up to here by a published checkpoint. None: none was given.
    pub published_to: Option<u64>,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log's name.
    pub origin: Option<String>,
    /// Events that were looked at.
    pub events: u64,
    /// Events that the log holds beyond its seals: too new, or the sealer does not run.
    pub unsealed: u64,
    /// Checkpoints that were looked at.
    pub checkpoints: u64,
    /// The keys: from which position on, the key, whether the one before endorsed it.
    pub keys: Vec<(u64, PublicKey, bool)>,
    /// What is proven, unless there are faults.
    pub proven: Proven,
    /// What is wrong, by position; at most fifty.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }

    /// What is wrong first.
    pub fn first(&self) -> Option<&Fault> {
        self.faults.first()
    }

    /// Takes over what a further pass over other streams found.
    pub fn merge(&mut self, other: Self) {
        self.faults.extend(other.faults.into_iter().filter(|fault| fault.kind == FaultKind::ChainBroken));
        self.faults.sort_by_key(|fault| (fault.position, fault.up_to));
        self.faults.truncate(FAULTS_KEPT);
    }
}

/// Faults as they are found: the first ones by position are kept.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub fn add(&mut self, kind: FaultKind, (position, up_to): (u64, u64), what: String) {
        let (position, up_to) = (position.max(1), up_to.max(position).max(1));
        self.0.push(Fault { position, up_to, kind, what });
        if self.0.len() > 4 * FAULTS_KEPT {
            self.sort();
        }
    }

    /// An exact position says more than a span that begins there; among equals the first found stays first.
    fn sort(&mut self) {
        self.0.sort_by_key(|fault| (fault.position, fault.up_to));
        self.0.truncate(FAULTS_KEPT);
    }

    pub fn into_sorted(mut self) -> Vec<Fault> {
        self.sort();
        self.0
    }
}
