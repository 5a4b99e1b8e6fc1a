//! What can go wrong with the lab.

use std::path::PathBuf;

/// Why the lab could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file or folder could not be read or changed.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried, such as "write".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A state file of the lab is not what it should be.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        #[source]
        source: serde_json::Error,
    },
    /// The lab's database refused or failed.
    #[error("the lab's database: cannot {doing}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The lab's own PostgreSQL did not start.
    #[error("the lab's PostgreSQL did not start")]
    Server(#[from] private_servers::ServerError),
    /// A certificate could not be made.
    #[error("cannot make the lab's certificates")]
    Certificate(#[from] rcgen::Error),
    /// The TLS server could not be configured.
    #[error("cannot configure TLS")]
    Tls(#[from] rustls::Error),
    /// The Redis server given as cache failed.
    #[error("the lab's cache: {0}")]
    Cache(String),
    /// The options contradict themselves or the data that is there.
    #[error("{0}")]
    Options(String),
    /// No lab has been made in this folder.
    #[error("there is no lab in {0}; start it with `lab up`")]
    NoLab(PathBuf),
    /// The lab exists, but no process keeps it up.
    #[error("the lab in {0} is not up; start it with `lab up`")]
    NotUp(PathBuf),
    /// Another process keeps this lab up already.
    #[error("the lab in {0} is up already in another process")]
    AlreadyUp(PathBuf),
    /// Another process is planting or mending a fault for too long.
    #[error("another process has been changing the faults of the lab in {0} for too long")]
    Busy(PathBuf),
    /// No fault has this name.
    #[error("there is no fault {name:?}; known are: {known}")]
    NoSuchFault {
        /// As asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// The process that keeps the lab up did not bring a change into force.
    #[error("the lab did not bring fault {fault} into force: {reason}")]
    NotInForce {
        /// The fault.
        fault: String,
        /// What it said, or that it said nothing in time.
        reason: String,
    },
}

impl LabError {
    /// For `map_err` on file operations.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// For `map_err` on database operations.
    pub(crate) fn db(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { doing, source }
    }
}
