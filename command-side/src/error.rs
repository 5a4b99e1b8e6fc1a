//! Why a command was not executed.

use event_store::{AppendError, LogError};
use std::time::Duration;
use vault::VaultError;

/// Why a command was not executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The aggregate said no, now or when the command came first. It is on record.
    #[error("refused: {message}")]
    Refused {
        /// The refusal's stable code.
        code: String,
        /// The refusal in words.
        message: String,
    },
    /// The same command id came before with another content.
    #[error("the command id was used before for another command")]
    CommandReused,
    /// Others kept changing the same aggregate: come back.
    #[error("others kept changing the same thing: try again")]
    Conflict,
    /// The log can not be reached, or the outcome is not known: come back after that time with the same command id.
    #[error("the event log can not be reached: try again in {} s", .0.as_secs().max(1))]
    Unavailable(Duration),
    /// More is asked than can be done just now: come back.
    #[error("too much is asked just now: try again")]
    Overloaded,
    /// The command decided more than the log takes in one piece.
    #[error("the command is too large")]
    TooLarge,
    /// What is stored can not be read: a human is needed.
    #[error("the stored history is damaged: {reason}")]
    Damaged {
        /// What is wrong, and where.
        reason: String,
    },
}

/// When to come back after the log was out of reach.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);

impl CommandError {
    /// Whether the same command may succeed a little later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict | Self::Unavailable(_) | Self::Overloaded)
    }

    /// A short name for traces and metrics.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::CommandReused => "reused",
            Self::Conflict => "conflict",
            Self::Unavailable(_) => "unavailable",
            Self::Overloaded => "overloaded",
            Self::TooLarge => "too_large",
            Self::Damaged { .. } => "damaged",
        }
    }
}

impl From<LogError> for CommandError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(reason) => {
                tracing::warn!(reason, "the event log can not be reached");
                Self::Unavailable(RETRY_AFTER)
            }
            LogError::Closed => Self::Unavailable(RETRY_AFTER),
            LogError::Damaged { position, reason } => {
                Self::Damaged { reason: format!("{reason} (position {position})") }
            }
        }
    }
}

impl From<AppendError> for CommandError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { .. } => Self::Conflict,
            AppendError::CommandReused(_) => Self::CommandReused,
            AppendError::RefusedBefore { code, message } => Self::Refused { code, message },
            AppendError::TooLarge { .. } => Self::TooLarge,
            AppendError::Overloaded => Self::Overloaded,
            AppendError::Log(error) => error.into(),
        }
    }
}

impl From<VaultError> for CommandError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable(reason) => {
                tracing::warn!(reason, "the keys of personal data can not be reached");
                Self::Unavailable(RETRY_AFTER)
            }
            // Not on record: whoever it is by can not be named there.
            VaultError::NotOurs => {
                Self::Refused { code: "name_not_sealed_here".to_owned(), message: error.to_string() }
            }
            VaultError::TooLong { .. } => {
                Self::Refused { code: "name_too_long".to_owned(), message: error.to_string() }
            }
            VaultError::MasterKeyMissing
            | VaultError::MasterKeyWrong
            | VaultError::Damaged(_)
            | VaultError::Cryptography => Self::Damaged { reason: error.to_string() },
        }
    }
}
