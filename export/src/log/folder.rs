//! How a file comes to be: written under another name and hashed on the way, brought to the disk, then renamed.

use super::manifest::{MANIFEST, Manifest};
use super::partition::first_of;
use crate::error::ExportError;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const PARTIAL: &str = ".events.partial";
const LOCK: &str = ".export.lock";

/// The folder of an export, held against other exports for as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// A file that is whole, under its preliminary name.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    pub(crate) partial: PathBuf,
}

impl Folder {
    /// Makes the folder where there is none, and takes it.
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        fs::create_dir_all(path).map_err(|error| ExportError::file("create", path, error))?;
        let lock_path = path.join(LOCK);
        let lock = File::create(&lock_path).map_err(|error| ExportError::file("create", &lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(ExportError::Busy(path.to_path_buf())),
            Err(fs::TryLockError::Error(error)) => Err(ExportError::file("lock", &lock_path, error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what an export that was killed left behind: a file under way, and files that got their name but not
    /// their line in the manifest. Only files that are named as ours are.
    pub(crate) fn remove_unlisted(&self, manifest: &Manifest) -> Result<(), ExportError> {
        remove(&self.path.join(PARTIAL))?;
        let listed: HashSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
        for path in ours(&self.path)? {
            if !listed.contains(path.as_str()) {
                remove(&self.path.join(path))?;
            }
        }
        Ok(())
    }

    pub(crate) fn partial(&self) -> Result<HashedFile, ExportError> {
        HashedFile::create(self.path.join(PARTIAL))
    }

    /// Gives a whole file its name, for good.
    pub(crate) fn put_in_place(&self, partial: &Path, name: &str) -> Result<(), ExportError> {
        let target = self.path.join(name);
        let parent = target.parent().unwrap_or(&self.path);
        fs::create_dir_all(parent).map_err(|error| ExportError::file("create", parent, error))?;
        fs::rename(partial, &target).map_err(|error| ExportError::file("rename into place", &target, error))?;
        sync_folder(parent)?;
        sync_folder(&self.path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join(PARTIAL));
    }
}

/// The files of the folder that are named as an export names its own, relative to it.
pub(crate) fn ours(folder: &Path) -> Result<Vec<String>, ExportError> {
    let mut found = Vec::new();
    for name in names(folder)? {
        if name.starts_with("date=") && folder.join(&name).is_dir() {
            let inside = names(&folder.join(&name))?;
            found.extend(inside.iter().filter(|file| first_of(file).is_some()).map(|file| format!("{name}/{file}")));
        } else if first_of(&name).is_some() {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

fn names(folder: &Path) -> Result<Vec<String>, ExportError> {
    let failed = |error| ExportError::file("list", folder, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        // A name that is no text is none of ours.
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

fn remove(path: &Path) -> Result<(), ExportError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ExportError::file("remove", path, error)),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<(), ExportError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| ExportError::file("bring to the disk", path, error))
}

/// Replaces the manifest as a whole.
pub(crate) fn replace_manifest(folder: &Path, text: &str) -> Result<(), ExportError> {
    let (target, partial) = (folder.join(MANIFEST), folder.join(".manifest.partial"));
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| ExportError::file("write", &partial, error))?;
    fs::rename(&partial, &target).map_err(|error| ExportError::file("rename into place", &target, error))?;
    sync_folder(folder)
}

/// A file that knows the hash of what was written to it.
#[derive(Debug)]
pub struct HashedFile {
    path: PathBuf,
    file: BufWriter<File>,
    digest: Sha256,
    bytes: u64,
}

impl HashedFile {
    fn create(path: PathBuf) -> Result<Self, ExportError> {
        let file = File::create(&path).map_err(|error| ExportError::file("create", &path, error))?;
        Ok(Self { path, file: BufWriter::with_capacity(1 << 18, file), digest: Sha256::new(), bytes: 0 })
    }

    pub(crate) fn failed(&self, error: io::Error) -> ExportError {
        ExportError::file("write", &self.path, error)
    }

    /// Brings it to the disk.
    pub(crate) fn finish(mut self) -> Result<Written, ExportError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| self.failed(error))?;
        Ok(Written { sha256: hex::encode(self.digest.finalize()), bytes: self.bytes, partial: self.path })
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
