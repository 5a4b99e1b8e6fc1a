//! Files whose size or content is not what the dataset recorded.
//!
//! Sizes of all files are compared; contents of a sample, or of all. First come files that were changed after what
//! the dataset recorded: whatever damages a file touches its time as a rule. The rest is drawn by the run's seed, so
//! that the same run draws the same files and runs together get round to all of them.

use super::compare::Index;
use super::listing::{ExpectedFile, Listing, RecordedHash};
use super::walk::{FoundFile, Walk};
use crate::check::StoreSpec;
use crate::probe::rows::{Measured, row};
use crate::probe::{ProbeError, Row};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;

const CHUNK_BYTES: usize = 256 * 1024;
const MAX_THREADS: usize = 4;
/// File systems keep whole seconds at worst, and times travel through text: less than that is no change.
const TIME_SLACK_S: i64 = 2;

type Pair<'a> = (&'a ExpectedFile, &'a FoundFile);

pub(super) fn corrupt(
    walk: &Walk,
    listing: &Listing,
    spec: &StoreSpec,
    seed: u64,
    stop: &CancellationToken,
) -> Result<Measured, ProbeError> {
    let index = Index::of(walk, listing);
    let mut tally = Tally { max_rows: spec.max_rows, ..Tally::default() };
    let mut provable: Vec<Pair<'_>> = Vec::new();
    for file in &listing.files {
        // A file that is not there is for mode `missing` to report.
        let Some(found) = index.find(&file.resid) else { continue };
        if i64::try_from(found.bytes).ok() != Some(file.bytes) {
            tally.size(file, found);
            continue;
        }
        match file.hash {
            RecordedHash::Sha256(_) => provable.push((file, found)),
            RecordedHash::Blank => tally.blank += 1,
            RecordedHash::Other => tally.other_kind += 1,
        }
    }
    let of_all = provable.len();
    draw(&mut provable, spec.sample, seed);
    let verdicts = hash_all(walk, &provable, stop)?;
    for ((file, found), verdict) in provable.iter().zip(verdicts) {
        tally.content(file, found, verdict);
    }
    tally.measured.facts = row! {
        files_compared: listing.files.len(), provable: of_all, hashed: provable.len(), blank_hash: tally.blank,
        other_hash: tally.other_kind, vanished: tally.vanished, problems: tally.problems,
    };
    Ok(tally.measured)
}

/// Leaves the files to hash, at most `sample` of them where that is not 0.
fn draw(files: &mut Vec<Pair<'_>>, sample: usize, seed: u64) {
    if sample == 0 || files.len() <= sample {
        return;
    }
    let rank = |(file, found): &Pair<'_>| {
        let touched = file.modified_s.is_some_and(|at| found.modified_s > at + TIME_SLACK_S);
        (!touched, mix(seed, file.resid.as_bytes()))
    };
    files.select_nth_unstable_by_key(sample, rank);
    files.truncate(sample);
}

/// FNV-1a with a final mix: the same on every machine and in every version, unlike the standard library's hasher.
fn mix(seed: u64, text: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed;
    let mut hash = text.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// What hashing a file gave.
enum Verdict {
    Hash([u8; 32]),
    Unreadable(String),
    /// It went away meanwhile: whether it should have is for mode `missing` of the next run to say.
    Vanished,
}

fn hash_all(walk: &Walk, files: &[Pair<'_>], stop: &CancellationToken) -> Result<Vec<Verdict>, ProbeError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffer = vec![0_u8; CHUNK_BYTES];
        let mut done = Vec::new();
        while !stop.is_cancelled() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((_, found)) = files.get(index) else { break };
            done.push((index, hash_settled(&walk.root.join(&*found.relative), &mut buffer, stop)));
        }
        done
    };
    let mut all: Vec<(usize, Verdict)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    if stop.is_cancelled() {
        return Err(ProbeError::cancelled());
    }
    if all.len() != files.len() {
        return Err(ProbeError::internal("a thread that hashes files ended early"));
    }
    all.sort_unstable_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, verdict)| verdict).collect())
}

/// Hashes a file; one that changes while it is read is read once more.
fn hash_settled(path: &Path, buffer: &mut [u8], stop: &CancellationToken) -> Verdict {
    let mut last = hash_once(path, buffer, stop);
    if matches!(last, Ok((_, true))) {
        last = hash_once(path, buffer, stop);
    }
    match last {
        Ok((hash, _)) => Verdict::Hash(hash),
        Err(error) if error.kind() == ErrorKind::NotFound && !path.exists() => Verdict::Vanished,
        Err(error) => Verdict::Unreadable(error.to_string()),
    }
}

/// The hash, and whether the file changed meanwhile.
fn hash_once(path: &Path, buffer: &mut [u8], stop: &CancellationToken) -> io::Result<([u8; 32], bool)> {
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    let mut hasher = Sha256::new();
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if stop.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
    }
    let state = |found: &Metadata| (found.len(), found.modified().ok());
    Ok((hasher.finalize().into(), state(&before) != state(&file.metadata()?)))
}

#[derive(Default)]
struct Tally {
    measured: Measured,
    max_rows: usize,
    problems: u64,
    blank: u64,
    other_kind: u64,
    vanished: u64,
}

impl Tally {
    fn push(&mut self, row: Row) {
        self.problems += 1;
        if self.measured.rows.len() < self.max_rows {
            self.measured.rows.push(row);
        } else {
            self.measured.truncated = true;
        }
    }

    fn size(&mut self, file: &ExpectedFile, found: &FoundFile) {
        self.push(row! {
            resource: &*found.relative, record_uri: file.record_uri, reason: "size",
            recorded_bytes: file.bytes, actual_bytes: found.bytes,
            recorded_hash: recorded(file), actual_hash: None::<&str>, error: None::<&str>,
        });
    }

    fn content(&mut self, file: &ExpectedFile, found: &FoundFile, verdict: Verdict) {
        let (reason, actual, error) = match verdict {
            Verdict::Hash(hash) if file.hash == RecordedHash::Sha256(hash) => return,
            Verdict::Hash(hash) => ("hash", Some(hex::encode(hash)), None),
            Verdict::Unreadable(error) => ("unreadable", None, Some(error)),
            Verdict::Vanished => {
                self.vanished += 1;
                return;
            }
        };
        self.push(row! {
            resource: &*found.relative, record_uri: file.record_uri, reason: reason,
            recorded_bytes: file.bytes, actual_bytes: found.bytes,
            recorded_hash: recorded(file), actual_hash: actual, error: error,
        });
    }
}

fn recorded(file: &ExpectedFile) -> Option<String> {
    match file.hash {
        RecordedHash::Sha256(hash) => Some(hex::encode(hash)),
        RecordedHash::Blank | RecordedHash::Other => None,
    }
}
