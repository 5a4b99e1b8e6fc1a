//! `faults.json`: which faults are planted, and what is needed to mend them exactly.
//!
//! Each step is noted BEFORE it is done, with its before-image. So a `break` that was cut off can be mended like a
//! finished one; undoing a step that was never done changes nothing.

use crate::error::LabError;
use crate::index::IndexEdit;
use crate::layout::{Folders, read_json, write_json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How to take one step back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum Undo {
    /// Put these columns of these rows back; the rows are in a file.
    Columns { table: String, key: String, columns: Vec<String>, rows: PathBuf },
    /// Insert these whole rows again.
    Deleted { table: String, key: String, rows: PathBuf },
    /// Delete the rows with these keys.
    Inserted { table: String, key: String, from: i64, to: i64 },
    /// Run this statement.
    Sql { statement: String },
    /// Count a store's items and bytes again from the dataset's own rows.
    Recount { store: i64 },
    /// Vacuum this table at the end.
    Vacuum { table: String },
    /// Move a file that was put aside back to its place.
    Stashed { path: PathBuf, stash: PathBuf },
    /// Remove a file.
    Created { path: PathBuf },
    /// Give a folder its mode again.
    Mode { path: PathBuf, mode: u32 },
    /// Take the fault's switches back.
    Switches,
    /// Take the fault's edits of the configuration back.
    Config,
    /// Set a Redis setting again.
    Redis { name: String, value: String },
    /// Change the double of the content index.
    Index { edit: IndexEdit },
}

/// One planted fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planted {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Whether all of it is in force; not so where `break` was cut off.
    pub complete: bool,
    /// The steps, in the order they were done; undone in reverse.
    pub undo: Vec<Undo>,
}

/// All planted faults by name.
pub type Journal = BTreeMap<String, Planted>;

/// Reads it.
pub fn read(folders: &Folders) -> Result<Journal, LabError> {
    Ok(read_json(&folders.planted())?.unwrap_or_default())
}

/// Changes one fault's entry; nothing removes it. Only while holding the faults' lock.
pub fn write(folders: &Folders, name: &str, planted: Option<&Planted>) -> Result<(), LabError> {
    let mut journal = read(folders)?;
    match planted {
        Some(planted) => journal.insert(name.to_owned(), planted.clone()),
        None => journal.remove(name),
    };
    write_json(&folders.planted(), &journal)
}
