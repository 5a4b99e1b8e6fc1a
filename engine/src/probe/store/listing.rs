//! What the dataset says of a store, read set by set.

use crate::check::SqlText;
use crate::probe::sql::{self, SqlTargets};
use crate::probe::{ProbeError, Run};
use chrono::{DateTime, Utc};
use domain::deployment::Component;

const LISTING: &str = include_str!("listing.sql");
const COUNTERS: &str = include_str!("counters.sql");

/// All files that the dataset expects in a store.
#[derive(Debug)]
pub(super) struct Listing {
    pub files: Vec<ExpectedFile>,
}

/// One file that the dataset expects.
#[derive(Debug)]
pub(super) struct ExpectedFile {
    pub record_uri: i64,
    /// The file's name, or its path below the store's folder.
    pub resid: Box<str>,
    pub bytes: i64,
    pub hash: RecordedHash,
    pub modified_s: Option<i64>,
}

/// A recorded hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecordedHash {
    /// None: the integrity can not be proven (a check of its own reports that).
    Blank,
    Sha256([u8; 32]),
    /// Of a kind that is not computed here.
    Other,
}

impl RecordedHash {
    fn read(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default().trim();
        if text.is_empty() {
            return Self::Blank;
        }
        let mut bytes = [0_u8; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Self::Sha256(bytes),
            Err(_) => Self::Other,
        }
    }
}

/// The dataset of the store: the component that `on`, or else the setting `dataset`, names.
fn dataset<'a>(run: &'a Run<'_>) -> Result<&'a Component, ProbeError> {
    run.target.named_by(run.on.unwrap_or("dataset"))
}

/// Reads the list of expected files.
pub(super) async fn read(targets: &SqlTargets, run: &Run<'_>, max_files: usize) -> Result<Listing, ProbeError> {
    let sql = SqlText::parse(LISTING).map_err(ProbeError::internal)?;
    let mut files = Vec::new();
    let too_many = sql::each_row(targets, dataset(run)?, &sql, run, &mut |row| {
        if files.len() == max_files {
            return Ok(false);
        }
        let resid: String = sql::column(row, "resid")?;
        let hash: Option<String> = sql::column(row, "hash")?;
        let modified: Option<DateTime<Utc>> = sql::column(row, "modified_at")?;
        files.push(ExpectedFile {
            record_uri: sql::column(row, "record_uri")?,
            resid: resid.replace('\\', "/").into_boxed_str(),
            bytes: sql::column(row, "bytes")?,
            hash: RecordedHash::read(hash.as_deref()),
            modified_s: modified.map(|at| at.timestamp()),
        });
        Ok(true)
    })
    .await?;
    if too_many {
        return Err(ProbeError::malformed(format!("the dataset lists more than {max_files} files in the store")));
    }
    Ok(Listing { files })
}

/// What the dataset counts in a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counters {
    pub items: i64,
    pub bytes: i64,
}

/// Reads the store's counters.
pub(super) async fn counters(targets: &SqlTargets, run: &Run<'_>) -> Result<Counters, ProbeError> {
    let sql = SqlText::parse(COUNTERS).map_err(ProbeError::internal)?;
    let mut found = None;
    sql::each_row(targets, dataset(run)?, &sql, run, &mut |row| {
        found = Some(Counters { items: sql::column(row, "items")?, bytes: sql::column(row, "bytes")? });
        Ok(true)
    })
    .await?;
    let number = run.target.setting("store_number")?;
    found.ok_or_else(|| ProbeError::malformed(format!("the dataset knows no store with the number {number}")))
}
