//! What an export says of itself: `manifest.json`.

use super::folder::replace_manifest;
use super::partition::Partition;
use super::{LogExport, parquet_file};
use crate::error::ExportError;
use crate::{TOOL, TOOL_VERSION};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::path::Path;

/// The manifest's name in the folder.
pub const MANIFEST: &str = "manifest.json";
/// The form of the manifest itself; another one is refused.
const FORM: &str = "cmdiag-export/1";
/// A manifest larger than this is none of ours: it would list a million files.
const BYTES_MAX: u64 = 512 << 20;

/// The form of an export's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// CloudEvents 1.0, one JSON document a line.
    CloudEvents,
    /// The same, compressed by Zstandard.
    CloudEventsZstd,
    /// Parquet, columns compressed by Zstandard.
    Parquet,
}

impl Format {
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::CloudEvents => "jsonl",
            Self::CloudEventsZstd => "jsonl.zst",
            Self::Parquet => "parquet",
        }
    }

    /// What a line or row holds, for whoever reads the folder without this program.
    fn schema(self) -> Value {
        match self {
            Self::CloudEvents | Self::CloudEventsZstd => {
                json!({ "specversion": "1.0", "mode": "structured", "extensions": super::cloud_events::EXTENSIONS })
            }
            Self::Parquet => json!({ "message": parquet_file::SCHEMA }),
        }
    }
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Where, relative to the folder.
    pub path: String,
    /// The SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// How many bytes.
    pub bytes: u64,
    /// How many events.
    pub events: u64,
    /// Its first event.
    pub first_position: i64,
    /// Its last event: all between are in it.
    pub last_position: i64,
    /// The earliest time at which one of them was recorded.
    pub first_recorded_at: DateTime<Utc>,
    /// The latest.
    pub last_recorded_at: DateTime<Utc>,
}

/// What an export says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this manifest.
    pub form: String,
    /// What wrote the export last.
    pub tool: Tool,
    /// The form of its files.
    pub format: Format,
    /// Where its files end.
    pub partition: Partition,
    /// What a line or row holds.
    pub schema: Value,
    /// It begins after this position.
    pub after: i64,
    /// The position of its first event; none while it has no whole file.
    pub first_position: Option<i64>,
    /// The position of its last event; `after` while it has no whole file.
    pub last_position: i64,
    /// How many events, all files together.
    pub events: u64,
    /// When it was begun.
    pub begun_at: DateTime<Utc>,
    /// When it was last gone on with.
    pub continued_at: DateTime<Utc>,
    /// Its files, in the order of positions.
    pub files: Vec<ListedFile>,
    /// What proves it: the signed checkpoint of the log that covers it. Left out where the log is not sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<super::proof::Proof>,
}

/// A program and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Tool {
    /// This one.
    pub fn this() -> Self {
        Self { name: TOOL.to_owned(), version: TOOL_VERSION.to_owned() }
    }
}

impl Manifest {
    pub(crate) fn begin(wish: &LogExport, now: DateTime<Utc>) -> Self {
        Self {
            form: FORM.to_owned(),
            tool: Tool::this(),
            format: wish.format,
            partition: wish.partition,
            schema: wish.format.schema(),
            after: wish.after,
            first_position: None,
            last_position: wish.after,
            events: 0,
            begun_at: now,
            continued_at: now,
            files: Vec::new(),
            proof: None,
        }
    }

    /// The manifest of a folder; `None` where it has none.
    pub fn read(folder: &Path) -> Result<Option<Self>, ExportError> {
        let path = folder.join(MANIFEST);
        let bytes = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ExportError::file("read", &path, error)),
            Ok(about) if about.len() > BYTES_MAX => return Err(ExportError::unreadable(&path, "it is too large")),
            Ok(_) => std::fs::read(&path).map_err(|error| ExportError::file("read", &path, error))?,
        };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| ExportError::unreadable(&path, &error))?;
        if manifest.form != FORM {
            return Err(ExportError::unreadable(&path, &format!("its form is {:?}, not {FORM:?}", manifest.form)));
        }
        Ok(Some(manifest))
    }

    /// The same export, to be gone on with, if it is what is wished for.
    pub(crate) fn goes_on(self, folder: &Path, wish: &LogExport, now: DateTime<Utc>) -> Result<Self, ExportError> {
        let other = |reason: &str| ExportError::OtherExport { folder: folder.to_path_buf(), reason: reason.to_owned() };
        if self.format != wish.format {
            return Err(other("its files have another form"));
        }
        if self.partition != wish.partition {
            return Err(other("its files end elsewhere"));
        }
        if self.after != wish.after {
            return Err(other(&format!("it begins after position {}", self.after)));
        }
        // The proof is of what was there: it is asked for anew when the export has grown.
        Ok(Self { tool: Tool::this(), continued_at: now, proof: None, ..self })
    }

    pub(crate) fn list(&mut self, file: ListedFile) {
        self.first_position.get_or_insert(file.first_position);
        self.last_position = file.last_position;
        self.events += file.events;
        self.files.push(file);
    }

    /// Replaces the folder's manifest by this one.
    pub fn write(&self, folder: &Path) -> Result<(), ExportError> {
        replace_manifest(folder, &format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}
