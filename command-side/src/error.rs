//! Why a command did not succeed.

use event_store::{AppendError, LogError};

/// Why a command did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    /// The aggregate refused; the refusal is on record.
    #[error("{message}")]
    Refused {
        /// Its stable code, such as `run_already_ended`.
        code: String,
        /// In words.
        message: String,
    },
    /// The same command id came before with another content.
    #[error("this command id was used before for another command")]
    CommandReused,
    /// Others kept changing the aggregate first.
    #[error("the aggregate kept changing; try again")]
    Conflict,
    /// The event log can not be reached, or the outcome is unknown: repeating the same command is safe.
    #[error("the event log can not be reached: {0}")]
    Unavailable(String),
    /// More commands wait than are taken in.
    #[error("too many commands wait; try again a little later")]
    Overloaded,
    /// The command's events are larger than the log takes in one piece.
    #[error("the command is too large: {events} events, {bytes} bytes")]
    TooLarge {
        /// Its events.
        events: usize,
        /// Its bytes.
        bytes: usize,
    },
    /// The aggregate's events can not be read.
    #[error("the aggregate can not be loaded: {0}")]
    Damaged(String),
}

impl CommandError {
    /// Whether the same command may succeed if it is sent again as it is.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict | Self::Unavailable(_) | Self::Overloaded)
    }
}

impl From<LogError> for CommandError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(_) | LogError::Closed => Self::Unavailable(error.to_string()),
            LogError::Damaged { .. } => Self::Damaged(error.to_string()),
        }
    }
}

impl From<AppendError> for CommandError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { .. } => Self::Conflict,
            AppendError::CommandReused(_) => Self::CommandReused,
            AppendError::RefusedBefore { code, message } => Self::Refused { code, message },
            AppendError::TooLarge { events, bytes } => Self::TooLarge { events, bytes },
            AppendError::Overloaded => Self::Overloaded,
            AppendError::Log(error) => error.into(),
        }
    }
}
