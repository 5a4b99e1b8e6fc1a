//! `lab.json`: what the lab was made with and where its parts answer.

use crate::description::LabDescription;
use crate::error::LabError;
use crate::layout::{Folders, read_json, write_json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `lab.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Always true.
    pub double: bool,
    /// The data follow from it.
    pub seed: u64,
    /// Rows of `tsrecord`.
    pub records: i64,
    /// Files in the stores.
    pub files: i64,
    /// When the data were made.
    pub born: DateTime<Utc>,
    /// The dataset's database.
    pub database: String,
    /// The ports of the parts, kept from start to start where possible.
    pub ports: BTreeMap<String, u16>,
    /// The deployment to register.
    pub description: LabDescription,
}

impl Manifest {
    /// Nothing where no lab has been made (completely) in the folder.
    pub fn read(folders: &Folders) -> Result<Option<Self>, LabError> {
        read_json(&folders.state())
    }

    pub fn write(&self, folders: &Folders) -> Result<(), LabError> {
        write_json(&folders.state(), self)
    }
}
