//! What a database error means for an append: told by SQLSTATE and constraint NAME, never by the message.

use crate::log::LogError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

pub(super) const POSITION_KEY: &str = "events_position_key";
pub(super) const STREAM_KEY: &str = "events_pkey";
pub(super) const COMMAND_KEY: &str = "commands_pkey";

/// How a batch failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another writer took the position first.
    PositionTaken,
    /// Some append of the batch rests on an old version of its stream, or repeats a command.
    KeyTaken,
    /// Two transactions were in each other's way; nothing was written.
    Entangled,
    /// The database refused the statement for another reason; nothing was written.
    Refused {
        /// True where the content is at fault (a value it can not store), so that repeating can not help.
        content: bool,
        /// What it said.
        reason: String,
    },
    /// The connection broke, or did not answer in time: whether the batch was written is not known.
    Unknown(String),
}

impl Failure {
    pub fn of(error: &sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = error else { return Self::Unknown(error.to_string()) };
        let Some(error) = database.try_downcast_ref::<PgDatabaseError>() else {
            return Self::Unknown(database.to_string());
        };
        if matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) {
            return Self::Unknown(error.message().to_owned());
        }
        match (error.code(), error.constraint()) {
            ("23505", Some(POSITION_KEY)) => Self::PositionTaken,
            ("23505", Some(STREAM_KEY | COMMAND_KEY)) => Self::KeyTaken,
            ("40001" | "40P01" | "55P03", _) => Self::Entangled,
            (code, _) => Self::Refused {
                content: matches!(code.get(..2), Some("22" | "23" | "54")),
                reason: format!("{} (SQLSTATE {code})", error.message()),
            },
        }
    }
}

/// A failed read, or a failed connect.
pub(super) fn unavailable(error: &sqlx::Error) -> LogError {
    LogError::Unavailable(error.to_string())
}
