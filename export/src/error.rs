//! Why an export is not there.

use std::path::{Path, PathBuf};

/// Why an export is not there.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file or folder could not be read or written.
    #[error("{doing} {}", path.display())]
    File {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Whoever read the output has gone (`| head`): no fault of anybody.
    #[error("whoever read the output has gone")]
    ReaderGone,
    /// The views gave no answer.
    #[error(transparent)]
    Query(#[from] query_side::QueryError),
    /// The event log gave no answer.
    #[error(transparent)]
    Log(#[from] event_store::LogError),
    /// The database gave no answer.
    #[error("the database can not be read")]
    Database(#[from] sqlx::Error),
    /// An event is missing where one must be.
    #[error("event {0} is not in the log's table: it was archived, or the log is damaged")]
    Missing(i64),
    /// The folder holds an export of another kind.
    #[error("{} holds an export of another kind: {reason}", folder.display())]
    OtherExport {
        /// The folder.
        folder: PathBuf,
        /// What differs.
        reason: String,
    },
    /// Another process exports into the same folder.
    #[error("{} is being written by another export", .0.display())]
    Busy(PathBuf),
    /// A manifest, or a file that it lists, is not what this version understands.
    #[error("{} is not readable: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A Parquet file could not be written.
    #[error("the Parquet file can not be written")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Something could not be written as JSON.
    #[error("a value can not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// There is no such run, or not for this tenant.
    #[error("there is no run {0}")]
    NoSuchRun(domain::RunId),
    /// The run has not ended.
    #[error("run {0} has not ended: it can be reported once it has")]
    NotEnded(domain::RunId),
    /// Two runs of different deployments can not be compared.
    #[error("run {base} is of another deployment than run {run}: they can not be compared")]
    OtherDeployment {
        /// The run that is reported.
        run: domain::RunId,
        /// The run that it was to be compared with.
        base: domain::RunId,
    },
    /// The export was asked to stop; what is whole stays, and the next one goes on from there.
    #[error("the export was stopped; the next one goes on where it stopped")]
    Stopped,
    /// A part of the export ended by a fault of the program.
    #[error("a part of the export ended unexpectedly")]
    Ended(#[from] tokio::task::JoinError),
}

impl ExportError {
    pub(crate) fn file(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::File { doing, path: path.to_path_buf(), source }
    }

    pub(crate) fn unreadable(path: &Path, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Unreadable { path: path.to_path_buf(), reason: reason.to_string() }
    }
}
