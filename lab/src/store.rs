//! The document stores: real files in the documented layout, with sizes and hashes to record.

use crate::error::LabError;
use crate::layout::{Folders, STORES};
use crate::options::Volume;
use chrono::{DateTime, Duration, Utc};
use sha2::{Digest, Sha256};
use std::fs::FileTimes;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Below the 1,000 at which the product starts another folder.
const FILES_PER_FOLDER: i64 = 900;
const BYTES_MIN: u64 = 100;
const BYTES_SPAN: u64 = 8_092;
/// Files are read-only, as the product makes them.
pub const FILE_MODE: u32 = 0o444;
const EXTENSIONS: [&str; 6] = ["PDF", "DOCX", "MSG", "TIF", "XLSX", "TXT"];
const WRITERS: usize = 4;

/// What a file in a store is to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredKind {
    /// Its document.
    Document,
    /// An older revision of it.
    Revision,
    /// A rendition of it.
    Rendition,
}

/// One file in a store, as the dataset records it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// What it is.
    pub kind: StoredKind,
    /// Its number among its kind, from 1.
    pub uri: i64,
    /// The number of the document it belongs to, from 1.
    pub document: i64,
    /// The store's number.
    pub store: i64,
    /// Its id in the store: its file's name.
    pub resid: String,
    /// Where it is below the store's folder.
    pub relative: PathBuf,
    /// Its size.
    pub bytes: i64,
    /// The SHA-256 of its content.
    pub hash: String,
    /// How long before the lab's birth it was last changed.
    pub age_s: i64,
}

impl Stored {
    /// The name its user gave it.
    pub fn file_name(&self) -> String {
        let extension = self.resid.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        format!("double-{}.{extension}", self.document)
    }

    /// How many versions its document has.
    pub fn versions(&self, volume: Volume) -> i32 {
        let revised = self.kind == StoredKind::Document && self.document <= volume.revisions();
        1 + i32::from(revised)
    }
}

/// Which files there are; their sizes follow from the seed, their hashes are filled in when they are written.
pub fn plan(volume: Volume, seed: u64) -> Vec<Stored> {
    let documents = volume.documents();
    let mut in_store = [0_i64; STORES.len()];
    (0..volume.files)
        .map(|index| {
            let (kind, uri) = if index < documents {
                (StoredKind::Document, index + 1)
            } else if index < documents + volume.revisions() {
                (StoredKind::Revision, index - documents + 1)
            } else {
                (StoredKind::Rendition, index - documents - volume.revisions() + 1)
            };
            // Three of five in the first store.
            let store = usize::from(index % 5 >= 3);
            let folder = in_store[store] / FILES_PER_FOLDER;
            in_store[store] += 1;
            let random = mix(seed, index as u64);
            let extension = EXTENSIONS[(random % 6) as usize];
            let resid = format!("{index:08}.{extension}");
            Stored {
                kind,
                uri,
                document: (uri - 1) % documents + 1,
                store: STORES[store].0,
                relative: PathBuf::from(format!("{folder:03}")).join(&resid),
                resid,
                bytes: (BYTES_MIN + (random >> 8) % BYTES_SPAN) as i64,
                hash: String::new(),
                age_s: 3 * 86_400 + ((random >> 24) % (4 * 365 * 86_400)) as i64,
            }
        })
        .collect()
}

/// Which of two trees is written: they hold the same.
#[derive(Debug, Clone, Copy)]
pub enum Tree {
    /// The stores.
    Stores,
    /// Their backup.
    Backup,
}

impl Tree {
    fn folder(self, folders: &Folders, number: i64) -> PathBuf {
        match self {
            Self::Stores => folders.store(number),
            Self::Backup => folders.backup(number),
        }
    }
}

/// Writes all files, several at a time, and fills in their hashes.
pub async fn write_all(
    folders: &Folders,
    tree: Tree,
    mut planned: Vec<Stored>,
    seed: u64,
    born: DateTime<Utc>,
) -> Result<Vec<Stored>, LabError> {
    for (number, _, _) in STORES {
        let last = planned.iter().filter(|one| one.store == number).filter_map(|one| one.relative.parent()).max();
        let last: i64 = last.and_then(|folder| folder.to_str()?.parse().ok()).unwrap_or(0);
        for folder in 0..=last {
            let path = tree.folder(folders, number).join(format!("{folder:03}"));
            std::fs::create_dir_all(&path).map_err(LabError::io("create", &path))?;
        }
    }
    let share = planned.len().div_ceil(WRITERS).max(1);
    let mut writers = tokio::task::JoinSet::new();
    let mut part = 0_usize;
    while !planned.is_empty() {
        let rest = planned.split_off(share.min(planned.len()));
        let (folders, mine) = (folders.clone(), planned);
        writers.spawn_blocking(move || write_some(&folders, tree, mine, seed, born).map(|done| (part, done)));
        part += 1;
        planned = rest;
    }
    let mut parts = Vec::new();
    while let Some(joined) = writers.join_next().await {
        parts.push(joined.map_err(|error| LabError::Options(format!("a writer of files ended: {error}")))??);
    }
    parts.sort_by_key(|(part, _)| *part);
    Ok(parts.into_iter().flat_map(|(_, done)| done).collect())
}

fn write_some(
    folders: &Folders,
    tree: Tree,
    mut mine: Vec<Stored>,
    seed: u64,
    born: DateTime<Utc>,
) -> Result<Vec<Stored>, LabError> {
    let mut buffer = Vec::with_capacity(BYTES_SPAN as usize + 200);
    for one in &mut mine {
        content(&mut buffer, seed, &one.resid, one.bytes as usize);
        one.hash = sha256(&buffer);
        let path = tree.folder(folders, one.store).join(&one.relative);
        write_file(&path, &buffer, FILE_MODE, (born - Duration::seconds(one.age_s)).into())?;
    }
    Ok(mine)
}

/// Cheap content that differs from file to file, and says in its first words what it is.
pub fn content(buffer: &mut Vec<u8>, seed: u64, resid: &str, bytes: usize) {
    buffer.clear();
    buffer.extend_from_slice(format!("DOUBLE document {resid}: not a real record.\n").as_bytes());
    let mut state = resid.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |state, byte| mix(state, u64::from(byte)));
    while buffer.len() < bytes {
        state = mix(state, 1);
        // Hexadecimal keeps it text: eight bytes a step.
        let word = (state & 0x0f0f_0f0f_0f0f_0f0f) + 0x6161_6161_6161_6161;
        buffer.extend_from_slice(&word.to_le_bytes());
    }
    buffer.truncate(bytes);
}

/// Lower-case hexadecimal, as the dataset records it.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Makes one file with its mode and time of change.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32, changed: SystemTime) -> Result<(), LabError> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create_new(true).write(true).mode(mode).open(path).map_err(LabError::io("create", path))?;
    file.write_all(bytes).map_err(LabError::io("write", path))?;
    file.set_times(FileTimes::new().set_modified(changed)).map_err(LabError::io("set the time of", path))
}

/// One step of splitmix64: quick also in a debug build.
fn mix(state: u64, step: u64) -> u64 {
    let mut z = state.wrapping_add(step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_plan_has_unique_files_no_full_folder_and_follows_its_seed() {
        let volume = Volume { records: 50_000, files: 10_000 };
        let planned = plan(volume, 7);
        let ids: BTreeSet<_> = planned.iter().map(|one| (one.store, &one.resid)).collect();
        assert_eq!(ids.len(), 10_000);
        let folders: BTreeSet<_> = planned.iter().map(|one| (one.store, one.relative.parent())).collect();
        assert_eq!(folders.len(), 7 + 5);
        let sizes = |seed| plan(volume, seed).iter().map(|one| one.bytes).collect::<Vec<_>>();
        assert_eq!(sizes(7), sizes(7));
        assert_ne!(sizes(7), sizes(8));
    }

    #[test]
    fn content_has_its_size_and_says_that_it_is_a_double() {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        content(&mut one, 1, "00000001.PDF", 8_191);
        content(&mut two, 1, "00000002.PDF", 8_191);
        assert_eq!((one.len(), two.len()), (8_191, 8_191));
        assert!(one.starts_with(b"DOUBLE") && one != two);
        assert!(one.is_ascii(), "text only");
    }
}
