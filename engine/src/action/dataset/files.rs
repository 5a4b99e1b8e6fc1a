//! A store's files beside the rows that name them: read in a task that can be stopped, and hashed within bounds.

use crate::action::{ActionError, ActionErrorKind, ActionTarget};
use crate::probe::store::walk::{Walk, walk};
use crate::probe::{ProbeError, ProbeErrorKind};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The most files of a store that are held in memory.
const MAX_FILES: usize = 2_000_000;
/// How much is read between two looks at the cancellation.
const BLOCK: usize = 256 * 1024;

/// The store's number in the dataset.
pub(super) fn store_number(target: &ActionTarget) -> Result<i64, ActionError> {
    let number = target.setting("store_number")?;
    number.parse().map_err(|_| ActionError::configuration(format!("store_number is {number:?}, and that is no number")))
}

fn folder(target: &ActionTarget) -> Result<PathBuf, ActionError> {
    let (number, dbid) = (target.setting("store_number")?, target.setting("dbid")?);
    // What comes from settings must not lead out of the store's root.
    if [number, dbid].iter().any(|part| part.contains(['/', '\\']) || part.starts_with('.')) {
        return Err(ActionError::configuration("settings store_number and dbid must be names, not paths"));
    }
    Ok(PathBuf::from(target.setting("path")?).join(dbid).join(number))
}

/// Walks the store. A folder that can not be read is an error: its files would be taken for missing.
pub(super) async fn walked(target: &ActionTarget) -> Result<Walk, ActionError> {
    let root = folder(target)?;
    blocking(target, move |stop| walk(&root, MAX_FILES, stop).map_err(of_probe)).await
}

/// A task that looks at the cancellation itself; it is waited for only as long as the phase may last.
async fn blocking<T: Send + 'static>(
    target: &ActionTarget,
    work: impl FnOnce(&CancellationToken) -> Result<T, ActionError> + Send + 'static,
) -> Result<T, ActionError> {
    let stop = target.cancel.child_token();
    let _stopped_when_dropped = stop.clone().drop_guard();
    let task = tokio::task::spawn_blocking(move || work(&stop));
    match tokio::time::timeout(target.deadline, task).await {
        Ok(done) => done.map_err(|error| ActionError::internal(format!("reading the store broke off: {error}")))?,
        Err(_) => Err(ActionError::timed_out(target.deadline)),
    }
}

fn of_probe(error: ProbeError) -> ActionError {
    let kind = match error.kind {
        ProbeErrorKind::Configuration => ActionErrorKind::Configuration,
        ProbeErrorKind::TimedOut => ActionErrorKind::TimedOut,
        ProbeErrorKind::Cancelled => ActionErrorKind::Cancelled,
        ProbeErrorKind::Internal => ActionErrorKind::Internal,
        _ => ActionErrorKind::Target,
    };
    ActionError { kind, message: error.cause }
}

/// The files of a walk by the names that rows have for them: by path where a row names a path, by name where not.
pub(super) struct Found<'w> {
    walk: &'w Walk,
    by_name: HashMap<String, Vec<usize>>,
}

impl<'w> Found<'w> {
    pub(super) fn new(walk: &'w Walk) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::with_capacity(walk.files.len());
        for (index, file) in walk.files.iter().enumerate() {
            by_name.entry(file.name().to_lowercase()).or_default().push(index);
        }
        Self { walk, by_name }
    }

    /// The one file of a row, with its size; nothing where there is none, or more than one that it could be.
    pub(super) fn file(&self, resid: &str) -> Option<(PathBuf, u64)> {
        let wanted = resid.replace('\\', "/").to_lowercase();
        let name = wanted.rsplit('/').next().unwrap_or(&wanted);
        let fits = |index: &&usize| {
            let relative = self.walk.files[**index].relative.to_lowercase();
            !wanted.contains('/') || relative == wanted
        };
        let mut candidates = self.by_name.get(name)?.iter().filter(fits);
        let (first, second) = (candidates.next()?, candidates.next());
        let file = &self.walk.files[*first];
        second.is_none().then(|| (self.walk.root.join(&*file.relative), file.bytes))
    }

    /// Whether there is any file that the row could mean.
    pub(super) fn is_there(&self, resid: &str) -> bool {
        let wanted = resid.replace('\\', "/").to_lowercase();
        self.by_name.contains_key(wanted.rsplit('/').next().unwrap_or(&wanted))
    }
}

/// The SHA-256 of each file, in lower-case hex, with the number of bytes that were read.
pub(super) async fn hashes(target: &ActionTarget, paths: Vec<PathBuf>) -> Result<Vec<(String, u64)>, ActionError> {
    blocking(target, move |stop| paths.iter().map(|path| hash(path, stop)).collect()).await
}

fn hash(path: &Path, stop: &CancellationToken) -> Result<(String, u64), ActionError> {
    let fail = |error: std::io::Error| ActionError::target(format!("{}: {error}", path.display()));
    let mut file = std::fs::File::open(path).map_err(fail)?;
    let (mut hasher, mut buffer, mut bytes) = (Sha256::new(), vec![0; BLOCK], 0);
    loop {
        if stop.is_cancelled() {
            return Err(ActionError::cancelled());
        }
        match file.read(&mut buffer).map_err(fail)? {
            0 => return Ok((hex::encode(hasher.finalize()), bytes)),
            count => {
                hasher.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}
