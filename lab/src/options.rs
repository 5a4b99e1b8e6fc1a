//! How to set up a lab.

use crate::error::LabError;
use chrono::{DateTime, Utc};
use std::path::PathBuf;

/// Records at scale 1.
const RECORDS: u64 = 50_000;
/// Files at scale 1.
const FILES: u64 = 10_000;
/// More than this fills disks by mistake.
const SCALE_MAX: u32 = 200;

/// Where the lab's time comes from.
pub type Clock = fn() -> DateTime<Utc>;

/// How to set up a lab.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Where all of the lab lives.
    pub dir: PathBuf,
    /// A PostgreSQL server (superuser) to put the dataset on; the lab runs its own where there is none.
    pub postgres_url: Option<String>,
    /// The dataset's database. Roles are cluster-wide: another name than the default gives roles named after it.
    pub database: String,
    /// A Redis server to show as the deployment's cache.
    pub redis_url: Option<String>,
    /// Multiplies the volume.
    pub scale: u32,
    /// Same seed, same data.
    pub seed: u64,
    /// Instead of the scale's number of records.
    pub records: Option<u64>,
    /// Instead of the scale's number of files.
    pub files: Option<u64>,
    /// The time.
    pub clock: Clock,
    /// Runs the lab's own PostgreSQL without fsync: for tests.
    pub without_fsync: bool,
}

impl LabOptions {
    /// The default lab in a folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            postgres_url: None,
            database: "cm_dataset_double".to_owned(),
            redis_url: None,
            scale: 1,
            seed: 1,
            records: None,
            files: None,
            clock: Utc::now,
            without_fsync: false,
        }
    }

    /// A small one, for tests.
    pub fn small(dir: impl Into<PathBuf>) -> Self {
        Self { records: Some(500), files: Some(100), without_fsync: true, ..Self::new(dir) }
    }

    /// The volume asked for.
    pub fn volume(&self) -> Result<Volume, LabError> {
        if self.scale == 0 || self.scale > SCALE_MAX {
            return Err(LabError::Options(format!("the scale must be from 1 to {SCALE_MAX}, not {}", self.scale)));
        }
        let records = self.records.unwrap_or(RECORDS * u64::from(self.scale));
        let files = self.files.unwrap_or(FILES * u64::from(self.scale));
        if files < 100 || records < files {
            return Err(LabError::Options(format!(
                "a lab needs at least 100 files and as many records as files, not {files} files and {records} records"
            )));
        }
        Ok(Volume { records: records as i64, files: files as i64 })
    }

    pub(crate) fn check(&self) -> Result<(), LabError> {
        let name = &self.database;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > 50 || !name.chars().all(plain) {
            return Err(LabError::Options(format!(
                "the database's name must be 1 to 50 of a-z, 0-9 and _, not {name:?}"
            )));
        }
        Ok(())
    }
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Rows of `tsrecord`.
    pub records: i64,
    /// Files in the stores, of current documents, revisions and renditions together.
    pub files: i64,
}

impl Volume {
    /// Records that have a document.
    pub fn documents(self) -> i64 {
        self.files * 8 / 10
    }

    /// Older revisions of documents.
    pub fn revisions(self) -> i64 {
        self.files * 15 / 100
    }

    /// The record of the k-th document (from 1): spread evenly over all records.
    pub fn record_of_document(self, k: i64) -> i64 {
        (k * self.records + self.documents() - 1) / self.documents()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_spread_over_the_records_without_doubles() {
        let volume = Volume { records: 500, files: 100 };
        let uris: Vec<i64> = (1..=volume.documents()).map(|k| volume.record_of_document(k)).collect();
        assert!(uris.windows(2).all(|pair| pair[0] < pair[1]), "{uris:?}");
        assert_eq!((uris[0] > 0, uris[uris.len() - 1]), (true, 500));
    }

    #[test]
    fn too_little_or_too_much_is_refused() {
        for (scale, records, files) in
            [(0, None, None), (201, None, None), (1, Some(50), Some(100)), (1, None, Some(1))]
        {
            let options = LabOptions { scale, records, files, ..LabOptions::new("x") };
            assert!(options.volume().is_err(), "{scale} {records:?} {files:?}");
        }
    }
}
