//! What can go wrong with sealing and opening.

use domain::SubjectId;

/// Why a text could not be sealed or opened, or why the vault does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Names are sealed in this database, and no master key is configured: going on would write them openly.
    #[error("personal data in this database is sealed, and no master key is configured (see privacy.master_key_file)")]
    MasterKeyMissing,
    /// The configured master key is not the one that this database's keys are wrapped by.
    #[error("the configured master key is not the one that this database's keys are wrapped by")]
    MasterKeyWrong,
    /// The table of keys can not be read or written just now; to be tried again.
    #[error("the keys of personal data can not be reached: {0}")]
    Unavailable(String),
    /// A wrapped key does not unwrap: somebody has changed it.
    #[error("the key of subject {0} is damaged")]
    Damaged(SubjectId),
    /// The text pretends to be sealed.
    #[error("a text that begins with \"sealed:\" was not sealed here")]
    NotOurs,
    /// The text is over the bound.
    #[error("a personal text of {bytes} bytes is over the limit of {max}")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The cryptographic library refused: there is no randomness, or a bound of its own was met.
    #[error("the cryptographic library failed")]
    Cryptography,
}

impl From<sqlx::Error> for VaultError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<ring::error::Unspecified> for VaultError {
    fn from(_: ring::error::Unspecified) -> Self {
        Self::Cryptography
    }
}
