//! What the two streaming transports share: how far a stream of events has come, and the words for cutting one off.

use crate::schema::codes::{GOING_AWAY, SLOW_CLIENT, coded_server_error};
use async_graphql::{Response, ServerError};
use domain::Position;
use std::sync::atomic::{AtomicI64, Ordering};

/// The position of the last event that a subscription gave; none before the first, or where it gives none.
#[derive(Debug, Default)]
pub struct ResumeAt(AtomicI64);

impl ResumeAt {
    /// Moves on. Called right before the event is handed out, so that the transport reads the position of what it
    /// sends.
    pub fn set(&self, position: Position) {
        self.0.store(position.0, Ordering::Release);
    }

    /// Where it is.
    pub fn get(&self) -> Option<Position> {
        Some(self.0.load(Ordering::Acquire)).filter(|position| *position > 0).map(Position)
    }
}

/// A client reconnected and says after which event to go on (`Last-Event-ID`).
#[derive(Debug, Clone, Copy)]
pub struct LastEventId(pub Position);

/// Why a stream ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOff {
    /// The client takes its messages too slowly.
    Slow,
    /// The server is about to stop.
    GoingAway,
}

impl CutOff {
    /// In words, with the position to resume from where there is one.
    pub fn reason(self, resume_after: Option<Position>) -> String {
        let why = match self {
            Self::Slow => "messages were taken too slowly",
            Self::GoingAway => "the server is about to stop",
        };
        match resume_after {
            Some(position) => format!("{why}; resume events(after: {position})"),
            None => format!("{why}; subscribe again"),
        }
    }

    /// As an error of the operation.
    pub fn error(self, resume_after: Option<Position>) -> ServerError {
        let code = match self {
            Self::Slow => SLOW_CLIENT,
            Self::GoingAway => GOING_AWAY,
        };
        let mut error = coded_server_error(code, self.reason(resume_after));
        if let Some(position) = resume_after {
            error.extensions.get_or_insert_default().set("resumeAfter", position.0);
        }
        error
    }

    /// As the operation's last message.
    pub fn response(self, resume_after: Option<Position>) -> Response {
        Response::from_errors(vec![self.error(resume_after)])
    }
}
