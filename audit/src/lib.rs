//! A history that can be proven: what was recorded is still there, unchanged, whole and in order.
//!
//! The sealer follows the log (it is never in the append) and seals every event three times over: as a leaf of one
//! Merkle tree over all positions (RFC 9162), as a link of its stream's hash chain, and, at bounded intervals, by a
//! checkpoint: the tree's size and root, signed with Ed25519, each naming the one before. The verifier goes through
//! events, seals and checkpoints once, with the database or with nothing but an exported bundle, and names the first
//! position at which something is not as it was sealed.
//!
//! Read in this order: [`canonical`] (which bytes of an event are hashed), [`merkle`], [`chain`], [`signing`] and
//! [`keys`], [`sealer`], [`verify`], [`bundle`], [`proofs`]. What is proven against whom stands in `docs/auditors.md`.

pub mod bundle;
pub mod canonical;
pub mod chain;
pub mod keys;
pub mod merkle;
pub mod proofs;
pub mod publisher;
pub mod sealer;
pub mod signing;
pub mod store;
pub mod tree;
pub mod verify;

pub use canonical::StoredEvent;
pub use keys::KeyHistory;
pub use merkle::{Frontier, Hash};
pub use publisher::{Publisher, PublisherHandle, PublisherOptions, PublisherStatus, Sink};
pub use sealer::{Sealer, SealerHandle, SealerOptions, SealerState, SealerStatus};
pub use signing::{Checkpoint, Keyring, Note, PublicKey, Signer};
pub use verify::{Fault, FaultKind, Report, Verifier, VerifyOptions};

/// Why something of the audit could not be done. Tampering that a verification finds is no error: it is its result.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database is out of reach, or refused.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
    /// A file can not be read or written.
    #[error("{what}")]
    File {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A document is not what it should be.
    #[error("{0}")]
    Malformed(String),
    /// What was asked for is not there.
    #[error("{0}")]
    Missing(String),
}

impl AuditError {
    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::File { what, source }
    }
}
