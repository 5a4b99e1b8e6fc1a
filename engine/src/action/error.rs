//! Why an action could not go on, in words an operator can act on.

use std::fmt;

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionErrorKind {
    /// A setting or a secret is missing or wrong.
    Configuration,
    /// The target is not as it has to be: nothing was changed.
    Precondition,
    /// The target refused or failed.
    Target,
    /// It took too long.
    TimedOut,
    /// It was stopped.
    Cancelled,
    /// A defect of the platform.
    Internal,
}

impl ActionErrorKind {
    /// The name as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Precondition => "precondition",
            Self::Target => "target",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Configuration, Self::Precondition, Self::Target, Self::TimedOut, Self::Cancelled, Self::Internal]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// Why an action could not go on. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionError {
    /// What kind of trouble it is.
    pub kind: ActionErrorKind,
    /// In words.
    pub message: String,
}

impl ActionError {
    /// A setting or a secret is missing or wrong.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self { kind: ActionErrorKind::Configuration, message: message.into() }
    }

    /// The target is not as it has to be: nothing was changed.
    pub fn precondition(message: impl Into<String>) -> Self {
        Self { kind: ActionErrorKind::Precondition, message: message.into() }
    }

    /// The target refused or failed.
    pub fn target(message: impl Into<String>) -> Self {
        Self { kind: ActionErrorKind::Target, message: message.into() }
    }

    /// A defect of the platform.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { kind: ActionErrorKind::Internal, message: message.into() }
    }

    /// It was stopped.
    pub fn cancelled() -> Self {
        Self { kind: ActionErrorKind::Cancelled, message: "it was stopped".to_owned() }
    }

    /// It took too long.
    pub fn timed_out(after: std::time::Duration) -> Self {
        Self { kind: ActionErrorKind::TimedOut, message: format!("not done after {:.1} s", after.as_secs_f64()) }
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ActionError {}
