//! What a check says of what it measured.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A check's outcome, by the Nagios contract. **Unknown is first class: what could not be measured is never `Ok`.**
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Measured, and within bounds.
    Ok,
    /// Measured, and to be looked at.
    Warning,
    /// Measured, and to be acted upon now.
    Critical,
    /// Could not be measured; the result carries the cause.
    Unknown,
}

impl Outcome {
    /// All outcomes, best first.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Unknown, Self::Warning, Self::Critical];

    /// The exit code of the Nagios plugin contract.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// Orders outcomes for "the worst of": a measured problem outranks one that could not be measured.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unknown => 1,
            Self::Warning => 2,
            Self::Critical => 3,
        }
    }

    /// The worse of two.
    #[must_use]
    pub const fn worse(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }

    /// The name as stored and shown: `ok`, `warning`, `critical`, `unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
