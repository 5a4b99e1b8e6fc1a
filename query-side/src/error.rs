//! Why a query gave no answer.

use std::sync::Arc;

/// Why a query gave no answer. Cheap to clone: several waiting requests may share one failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// The cursor was not made by this query.
    #[error("the cursor does not belong to this list")]
    BadCursor,
    /// More was asked for at once than the bound allows.
    #[error("{what} must be between {least} and {most}")]
    OutOfBounds {
        /// What was asked for, such as `first`.
        what: &'static str,
        /// The least allowed.
        least: i64,
        /// The most allowed.
        most: i64,
    },
    /// The log does not reach so far yet.
    #[error("the log ends at position {end}: there is no position {asked} yet")]
    BeyondEnd {
        /// Where it was to be looked at.
        asked: domain::Position,
        /// Where it ends.
        end: domain::Position,
    },
    /// That time is still to come.
    #[error("{asked} is still to come: by the database's clock it is {now}")]
    InFuture {
        /// What was asked for.
        asked: chrono::DateTime<chrono::Utc>,
        /// What it is.
        now: chrono::DateTime<chrono::Utc>,
    },
    /// An answer about the past would have to be made from more than is taken on at once.
    #[error("that answer would be made from more than {most} {what}: ask for less of it")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many are taken.
        most: usize,
    },
    /// This is answered of the present only.
    #[error("{0} is answered of the present only")]
    PresentOnly(&'static str),
    /// The query ran into its time limit.
    #[error("the query took too long")]
    TimedOut,
    /// The database can not be reached, or all its connections are busy: to be tried again.
    #[error("the database can not be reached just now")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// A row is not what this version understands, or the database refused the statement.
    #[error("the database refused the query, or a row is damaged")]
    Database(#[source] Arc<sqlx::Error>),
    /// The event log gave no answer.
    #[error(transparent)]
    Log(#[from] event_store::LogError),
}

impl From<sqlx::Error> for QueryError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        match (&error, code.as_deref()) {
            // query_canceled: the statement timeout.
            (_, Some("57014")) => Self::TimedOut,
            // Connection exceptions, resources, operator intervention (shutdown, starting up).
            (_, Some(code)) if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => {
                Self::Unavailable(Arc::new(error))
            }
            (_, Some(_)) => Self::Database(Arc::new(error)),
            (
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed,
                _,
            ) => Self::Unavailable(Arc::new(error)),
            _ => Self::Database(Arc::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::QueryError;

    #[test]
    fn an_unreachable_database_is_to_be_tried_again_and_a_damaged_row_is_not() {
        assert!(matches!(QueryError::from(sqlx::Error::PoolTimedOut), QueryError::Unavailable(_)));
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(QueryError::from(sqlx::Error::Io(refused)), QueryError::Unavailable(_)));
        assert!(matches!(QueryError::from(sqlx::Error::RowNotFound), QueryError::Database(_)));
    }
}
