//! What lies beside the stores: their backup, the quarantines, the archives, and what programs have left in `temp`.

use crate::error::LabError;
use crate::layout::{Folders, STORES};
use crate::options::Volume;
use crate::store::{self, Tree};
use chrono::{DateTime, Duration, Utc};

/// Files that nobody has needed for a month.
const TEMP_FILES: i64 = 3;
const TEMP_DAYS: i64 = 30;

/// Makes what is not there yet, for labs of before as well. The backup is that of the lab's birth: what faults do to
/// the stores later is not in it.
pub async fn ensure(folders: &Folders, volume: Volume, seed: u64, born: DateTime<Utc>) -> Result<(), LabError> {
    let quarantines = STORES.map(|(_, component, _)| folders.quarantine(component));
    for folder in quarantines.iter().chain(&[folders.log_archive(), folders.temp_archive()]) {
        std::fs::create_dir_all(folder).map_err(LabError::io("create", folder))?;
    }
    ensure_temp(folders, born)?;
    // A half-written backup has no such file.
    let whole = folders.root().join("backup/COMPLETE.txt");
    if whole.exists() {
        return Ok(());
    }
    let top = folders.root().join("backup");
    if top.exists() {
        std::fs::remove_dir_all(&top).map_err(LabError::io("remove", &top))?;
    }
    store::write_all(folders, Tree::Backup, store::plan(volume, seed), seed, born).await?;
    store::write_file(&whole, b"DOUBLE: a backup of the stores, as they were made.\n", 0o444, born.into())
}

fn ensure_temp(folders: &Folders, born: DateTime<Utc>) -> Result<(), LabError> {
    let folder = folders.temp();
    if folder.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder).map_err(LabError::io("create", &folder))?;
    (1..=TEMP_FILES).try_for_each(|n| {
        let text = format!("DOUBLE: temporary file {n} of a program that has ended.\n");
        let path = folder.join(format!("extract-{n}.tmp"));
        store::write_file(&path, text.as_bytes(), 0o644, (born - Duration::days(TEMP_DAYS)).into())
    })
}
