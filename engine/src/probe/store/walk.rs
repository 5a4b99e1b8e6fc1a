//! One walk of a store's folder.

use crate::probe::ProbeError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

/// How many entries are read between two looks at the cancellation.
const LOOK_EVERY: usize = 512;
/// The deepest that a store is looked into: its folders are one level deep.
const MAX_DEPTH: usize = 16;

/// What is in a store's folder.
#[derive(Debug)]
pub(crate) struct Walk {
    pub root: PathBuf,
    pub files: Vec<FoundFile>,
    /// How many files each folder holds, by its path below the root.
    pub folders: BTreeMap<String, u64>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct FoundFile {
    /// Its path below the root, with `/`.
    pub relative: Box<str>,
    pub bytes: u64,
    /// When it was last changed, in seconds since 1970.
    pub modified_s: i64,
}

impl FoundFile {
    /// Its name alone.
    pub(crate) fn name(&self) -> &str {
        self.relative.rsplit('/').next().unwrap_or(&self.relative)
    }
}

/// Walks the folder. A folder in it that can not be read is an error: its files would be taken for missing.
pub(crate) fn walk(root: &Path, max_files: usize, stop: &CancellationToken) -> Result<Walk, ProbeError> {
    match std::fs::metadata(root) {
        Err(error) => return Err(ProbeError::io(root, &error)),
        Ok(found) if !found.is_dir() => {
            return Err(ProbeError::configuration(format!("{} is not a folder", root.display())));
        }
        Ok(_) => {}
    }
    let mut walk = Walk { root: root.to_path_buf(), files: Vec::new(), folders: BTreeMap::new() };
    for (index, entry) in WalkDir::new(root).follow_links(false).max_depth(MAX_DEPTH).into_iter().enumerate() {
        if index % LOOK_EVERY == 0 && stop.is_cancelled() {
            return Err(ProbeError::cancelled());
        }
        match entry {
            Ok(entry) => take(&mut walk, &entry, max_files)?,
            // A file may go while we walk, as files do; what it was is for the dataset to say.
            Err(error) if error.io_error().is_some_and(is_gone) => {}
            Err(error) => {
                let path = error.path().unwrap_or(root).to_path_buf();
                let io = error.into_io_error().unwrap_or_else(|| std::io::Error::other("a loop of links"));
                return Err(ProbeError::io(&path, &io));
            }
        }
    }
    Ok(walk)
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}

fn take(walk: &mut Walk, entry: &walkdir::DirEntry, max_files: usize) -> Result<(), ProbeError> {
    let relative = entry.path().strip_prefix(&walk.root).unwrap_or(entry.path());
    let relative = relative.to_string_lossy().replace('\\', "/");
    if entry.file_type().is_dir() {
        if entry.depth() > 0 {
            walk.folders.entry(relative).or_insert(0);
        }
        return Ok(());
    }
    if !entry.file_type().is_file() {
        return Ok(());
    }
    let found = match entry.metadata() {
        Ok(found) => found,
        Err(error) if error.io_error().is_some_and(is_gone) => return Ok(()),
        Err(error) => return Err(ProbeError::malformed(format!("{}: {error}", entry.path().display()))),
    };
    if walk.files.len() == max_files {
        return Err(ProbeError::malformed(format!("the store holds more than {max_files} files")));
    }
    if let Some((folder, _)) = relative.rsplit_once('/') {
        *walk.folders.entry(folder.to_owned()).or_insert(0) += 1;
    }
    let modified = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    walk.files.push(FoundFile {
        relative: relative.into_boxed_str(),
        bytes: found.len(),
        modified_s: modified.map_or(0, |since| since.as_secs() as i64),
    });
    Ok(())
}
