//! Why a probe could not measure.

use super::Secret;
use std::time::Duration;

/// Why a probe could not measure. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct ProbeError {
    /// What kind of trouble it is.
    pub kind: ProbeErrorKind,
    /// In words, for the result's cause.
    pub cause: String,
}

/// What kind of trouble kept a probe from measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeErrorKind {
    /// The component's settings do not do.
    Configuration,
    /// The target can not be reached.
    Unreachable,
    /// The target refuses us.
    Denied,
    /// The target is, or answers with, something else than expected.
    Malformed,
    /// It took too long.
    TimedOut,
    /// The run was cancelled.
    Cancelled,
    /// The probe itself failed.
    Internal,
}

impl ProbeErrorKind {
    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Malformed => "malformed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

macro_rules! constructors {
    ($($name:ident $kind:ident),*) => {
        $(pub(crate) fn $name(cause: impl Into<String>) -> Self {
            Self { kind: ProbeErrorKind::$kind, cause: cause.into() }
        })*
    };
}

impl ProbeError {
    constructors!(
        configuration Configuration, unreachable Unreachable, denied Denied, malformed Malformed, internal Internal
    );

    pub(crate) fn cancelled() -> Self {
        Self { kind: ProbeErrorKind::Cancelled, cause: "the measurement was cancelled".to_owned() }
    }

    pub(crate) fn timed_out(after: Duration) -> Self {
        let cause = format!("the measurement took longer than {} ms", after.as_millis());
        Self { kind: ProbeErrorKind::TimedOut, cause }
    }

    /// An error of the file system, about a path.
    pub(crate) fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        let cause = format!("{}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Self::denied(cause),
            _ => Self::unreachable(cause),
        }
    }

    /// The same, with a secret cut out of its text: other people's messages are not ours to trust.
    pub(crate) fn without(mut self, secret: Option<&Secret>) -> Self {
        if let Some(secret) = secret {
            self.cause = secret.cut_out_of(&self.cause);
        }
        self
    }
}
