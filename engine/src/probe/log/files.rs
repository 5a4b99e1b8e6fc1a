//! Which files there are, which of them were read before, and their reading.

use super::line::{self, date_of_name};
use super::shape;
use super::state::{FileState, LogState, Window};
use crate::check::LogSpec;
use crate::probe::ProbeError;
use chrono::{DateTime, NaiveDate};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The most files of one folder that are looked at, and that are read.
const MAX_ENTRIES: usize = 20_000;
const MAX_FILES: usize = 500;
/// How much of a file that was never read is read, from its end; and how much of all files in one measurement.
const MAX_FIRST_BYTES: u64 = 32 << 20;
const MAX_RUN_BYTES: u64 = 128 << 20;
const CHUNK_BYTES: usize = 1 << 20;
/// A line longer than this is cut: what follows is no message.
const MAX_LINE_BYTES: usize = 64 << 10;
/// How much of a file's beginning tells it from others.
const HEAD_BYTES: u64 = 256;

/// A file of the folder.
#[derive(Debug)]
pub(super) struct LogFile {
    pub path: PathBuf,
    pub name: String,
    pub bytes: u64,
    modified_ms: i64,
    device: u64,
    inode: u64,
}

/// The files that the patterns name, the newest last.
pub(super) fn list(folder: &Path, patterns: &[String]) -> Result<Vec<LogFile>, ProbeError> {
    let entries = std::fs::read_dir(folder).map_err(|error| ProbeError::io(folder, &error))?;
    let mut files = Vec::new();
    for entry in entries.take(MAX_ENTRIES) {
        let entry = entry.map_err(|error| ProbeError::io(folder, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !patterns.iter().any(|pattern| fits(pattern.as_bytes(), name.as_bytes())) {
            continue;
        }
        // A file may be rotated away while we look: then it is not one of the folder's files any more.
        let Ok(found) = std::fs::metadata(entry.path()) else { continue };
        if found.is_file() {
            files.push(LogFile {
                path: entry.path(),
                name,
                bytes: found.len(),
                modified_ms: found.mtime() * 1_000 + found.mtime_nsec() / 1_000_000,
                device: found.dev(),
                inode: found.ino(),
            });
        }
    }
    files.sort_by_key(|file| file.modified_ms);
    Ok(files)
}

/// Whether a name fits a pattern with `*` and `?`; upper and lower case are alike, as they are for Windows.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                // The last star takes one character more.
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// What to read lines by.
pub(super) struct Reading<'a> {
    pub spec: &'a LogSpec,
    pub window: Window,
    /// How far the server's local time is ahead of UTC.
    pub offset_ms: i64,
    pub stop: &'a CancellationToken,
}

impl Reading<'_> {
    /// Reads on in all files and gives the new state. Files that have not changed within the window are left alone, but
    /// for the newest: when it was last written to is what silence is measured by.
    pub(super) fn read_on(&self, files: &[LogFile], before: LogState) -> Result<LogState, ProbeError> {
        let since = self.window.now_ms - self.window.length_ms;
        let newest = files.last().map(|file| &file.path);
        let wanted: Vec<&LogFile> =
            files.iter().filter(|file| file.modified_ms >= since || Some(&file.path) == newest).collect();
        let wanted = &wanted[wanted.len().saturating_sub(MAX_FILES)..];
        let (mut known, mut after) = (before.files, LogState::default());
        let mut opened = Vec::new();
        for file in wanted {
            let mut open = match File::open(&file.path) {
                Ok(open) => open,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(ProbeError::io(&file.path, &error)),
            };
            let state = take_known(&mut known, file, &mut open)?;
            opened.push((*file, open, state));
        }
        let mut budget = MAX_RUN_BYTES;
        for (file, mut open, state) in opened {
            let state = match state {
                Some(state) => state,
                None => take_copied(&mut known, file, &mut open)?,
            };
            after.files.push(self.read_file(file, &mut open, state, &mut budget)?);
        }
        // What a vanished file counted still counts, as long as the window reaches.
        for mut gone in known {
            gone.forget(self.window);
            if gone.counts_for_something() {
                after.files.push(gone);
            }
        }
        Ok(after)
    }

    fn read_file(
        &self,
        file: &LogFile,
        open: &mut File,
        mut state: FileState,
        budget: &mut u64,
    ) -> Result<FileState, ProbeError> {
        let fail = |error: std::io::Error| ProbeError::io(&file.path, &error);
        let size = open.metadata().map_err(fail)?.len();
        let (head, head_bytes) = head(open, HEAD_BYTES).map_err(fail)?;
        state.name.clone_from(&file.name);
        (state.device, state.inode) = (file.device, file.inode);
        (state.head, state.head_bytes) = (head, head_bytes);
        // Of a file that is new to us, or has grown by more than we can read, only the end counts: it is the newest.
        let unread = size.saturating_sub(state.offset);
        let limit = if state.offset == 0 { MAX_FIRST_BYTES } else { MAX_RUN_BYTES }.min(*budget);
        let skipped = unread > limit;
        if skipped {
            state.offset = size - limit;
        }
        *budget = budget.saturating_sub(unread.min(limit));
        open.seek(SeekFrom::Start(state.offset)).map_err(fail)?;
        let fallback = DateTime::from_timestamp_millis(file.modified_ms + self.offset_ms);
        let fallback = fallback.map_or(NaiveDate::MIN, |at| at.date_naive());
        let mut calendar = state.calendar(date_of_name(&file.name).unwrap_or(fallback));
        let mut first_is_partial = skipped;
        let mut take = |state: &mut FileState, bytes: &[u8]| {
            if std::mem::take(&mut first_is_partial) {
                return;
            }
            let text = String::from_utf8_lossy(bytes);
            if let Some(line) = line::read(&text, self.spec.grammar, &mut calendar) {
                self.take(state, &line);
            }
        };
        let read = read_lines(&mut open.take(unread), self.stop, |bytes| take(&mut state, bytes));
        state.offset +=
            read.map_err(|error| if self.stop.is_cancelled() { ProbeError::cancelled() } else { fail(error) })?;
        state.keep(calendar);
        state.forget(self.window);
        Ok(state)
    }

    fn take(&self, state: &mut FileState, line: &line::Line<'_>) {
        let at_ms = line.at.and_utc().timestamp_millis() - self.offset_ms;
        state.line(at_ms, self.window);
        let matches = self.spec.patterns.matches(line.message);
        if !matches.matched_any() {
            return;
        }
        let shape = shape::of(line.message);
        for index in matches {
            state.message(&self.spec.names[index], &shape, line.message, at_ms, self.window);
        }
    }
}

/// Hands over each whole line; gives how many bytes they were. A line that has no end yet is left for the next time.
fn read_lines(from: &mut impl Read, stop: &CancellationToken, mut take: impl FnMut(&[u8])) -> std::io::Result<u64> {
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    let mut pending: Vec<u8> = Vec::new();
    let mut done = 0_u64;
    let mut cutting = false;
    loop {
        if stop.is_cancelled() {
            return Err(std::io::Error::other("cancelled"));
        }
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(done),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut rest = &chunk[..read];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            pending.extend_from_slice(&rest[..end]);
            done += pending.len() as u64 + 1;
            if !std::mem::take(&mut cutting) {
                take(pending.strip_suffix(b"\r").unwrap_or(&pending));
            }
            pending.clear();
            rest = &rest[end + 1..];
        }
        pending.extend_from_slice(rest);
        if pending.len() > MAX_LINE_BYTES {
            if !std::mem::replace(&mut cutting, true) {
                take(&pending[..MAX_LINE_BYTES]);
            }
            done += pending.len() as u64;
            pending.clear();
        }
    }
}

/// The hash of a file's beginning, and how many bytes it covers.
fn head(open: &mut File, bytes: u64) -> std::io::Result<(String, u64)> {
    let mut head = Vec::new();
    open.seek(SeekFrom::Start(0))?;
    open.take(bytes).read_to_end(&mut head)?;
    Ok((hex::encode(&Sha256::digest(&head)[..16]), head.len() as u64))
}

fn begins_alike(open: &mut File, state: &FileState) -> std::io::Result<bool> {
    Ok(head(open, state.head_bytes)? == (state.head.clone(), state.head_bytes))
}

/// The state of a file that was read before. One that was truncated, or written anew in place, is read from its start;
/// what it counted stays.
fn take_known(known: &mut Vec<FileState>, file: &LogFile, open: &mut File) -> Result<Option<FileState>, ProbeError> {
    let same = |state: &FileState| state.inode == file.inode && state.device == file.device;
    let Some(index) = known.iter().position(same) else { return Ok(None) };
    let alike = begins_alike(open, &known[index]).map_err(|error| ProbeError::io(&file.path, &error))?;
    if alike && file.bytes >= known[index].offset {
        return Ok(Some(known.swap_remove(index)));
    }
    // Its old content may live on in a copy that the rotation made; that file then takes the place over.
    let old = &mut known[index];
    let fresh = FileState { name: file.name.clone(), ..FileState::default() };
    (old.device, old.inode) = (0, 0);
    Ok(Some(fresh))
}

/// The state of a file under a new inode that begins as one that is gone: a copy that the rotation made. A shorter
/// file of the same name is that file as somebody has cut it: what it lacks is gone, and it is read anew. Otherwise a
/// new file.
fn take_copied(known: &mut Vec<FileState>, file: &LogFile, open: &mut File) -> Result<FileState, ProbeError> {
    let fresh = FileState { name: file.name.clone(), ..FileState::default() };
    for index in 0..known.len() {
        let shorter = file.bytes < known[index].offset;
        // A beginning of a few bytes says nothing.
        let usable = known[index].head_bytes >= HEAD_BYTES.min(64) && (!shorter || known[index].name == file.name);
        if usable && begins_alike(open, &known[index]).map_err(|error| ProbeError::io(&file.path, &error))? {
            let old = known.swap_remove(index);
            return Ok(if shorter { fresh } else { old });
        }
    }
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        let table = [
            ("TRIMWorkgroup_*.log", "TRIMWorkgroup_2026_11_24.log", true),
            ("TRIMWorkgroup_*.log", "trimworkgroup_2026_11_24_1.LOG", true),
            ("TRIMWorkgroup_*.log", "TRIMEvent_D1_2026_11_24.log", false),
            ("log-file.txt*", "log-file.txt", true),
            ("log-file.txt*", "log-file.txt.2026-11-23", true),
            ("*a*b", "xaabb", true),
            ("?.log", "ab.log", false),
            ("*", "", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_left_and_a_huge_one_is_cut() {
        let stop = CancellationToken::new();
        let mut seen = Vec::new();
        let text = b"one\r\ntwo\nthr";
        let done = read_lines(&mut &text[..], &stop, |line| seen.push(line.to_vec())).unwrap();
        assert_eq!((done, seen), (9, vec![b"one".to_vec(), b"two".to_vec()]));

        let huge = [vec![b'x'; CHUNK_BYTES * 2], b"\nend\n".to_vec()].concat();
        let mut lengths = Vec::new();
        let done = read_lines(&mut &huge[..], &stop, |line| lengths.push(line.len())).unwrap();
        assert_eq!((done, lengths), (huge.len() as u64, vec![MAX_LINE_BYTES, 3]));
    }

    #[test]
    fn a_copy_goes_on_where_its_file_ended_and_a_cut_one_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: usize| {
            std::fs::write(folder.path().join(name), "10:00:00:000 1 D1 0 0 all is well\n".repeat(lines)).unwrap();
            let file = list(folder.path(), &[name.to_owned()]).unwrap().remove(0);
            let open = File::open(&file.path).unwrap();
            (file, open)
        };
        let (old, mut opened) = write("a.log", 20);
        let (head, head_bytes) = head(&mut opened, HEAD_BYTES).unwrap();
        let known = FileState { name: old.name, head, head_bytes, offset: old.bytes, ..FileState::default() };
        // (name, lines, where the reading goes on, how many known ones are left)
        let table = [("b.log", 20, old.bytes, 0), ("a.log", 12, 0, 0), ("b.log", 12, 0, 1)];
        for (name, lines, offset, left) in table {
            let mut all = vec![known.clone()];
            let (file, mut open) = write(name, lines);
            let state = take_copied(&mut all, &file, &mut open).unwrap();
            assert_eq!((state.offset, all.len()), (offset, left), "{name} {lines}");
        }
    }
}
