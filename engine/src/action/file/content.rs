//! Reading, hashing and writing what is in files.

use super::{Facts, Relative, Root};
use crate::action::ActionError;
use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};

/// The largest file that an action reads or copies.
const FILE_BYTES_MAX: u64 = 16 << 30;
const CHUNK_BYTES: usize = 256 * 1024;
/// Quick, and small enough for texts.
const COMPRESSION: i32 = 6;

/// What is in a file: two files with the same are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

impl Content {
    /// Of bytes in memory.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: hex::encode(Sha256::digest(bytes)) }
    }
}

/// Hands over all chunks of a file and gives what is in it.
fn each_chunk(
    root: &Root,
    relative: &Relative,
    file: &mut impl Read,
    mut take: impl FnMut(&[u8]) -> Result<(), ActionError>,
) -> Result<Content, ActionError> {
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    let mut hasher = Sha256::new();
    let mut bytes = 0_u64;
    loop {
        root.stop().look()?;
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ActionError::target(format!("could not read {}: {error}", root.full(relative)))),
        };
        bytes += read as u64;
        if bytes > FILE_BYTES_MAX {
            return Err(ActionError::precondition(format!("{} is larger than 16 GiB", root.full(relative))));
        }
        hasher.update(&buffer[..read]);
        take(&buffer[..read])?;
    }
    Ok(Content { bytes, sha256: hex::encode(hasher.finalize()) })
}

/// What is in a file.
pub(crate) fn hash(root: &Root, relative: &Relative) -> Result<Content, ActionError> {
    let (mut file, _) = root.read(relative)?;
    each_chunk(root, relative, &mut file, |_| Ok(()))
}

/// A small file as a whole.
pub(crate) fn read_small(root: &Root, relative: &Relative, bytes_max: u64) -> Result<(Vec<u8>, Facts), ActionError> {
    let (file, facts) = root.read(relative)?;
    let mut bytes = Vec::new();
    let fail = |error: std::io::Error| ActionError::target(format!("could not read {}: {error}", root.full(relative)));
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > bytes_max {
        return Err(ActionError::precondition(format!("{} is larger than {bytes_max} bytes", root.full(relative))));
    }
    Ok((bytes, facts))
}

/// Copies a file to a place where there is none, with owner, permissions and time as in `like`, and has it written to
/// the disk. What was half done before is begun anew; whoever calls names a place of ours.
pub(crate) fn copy(from: (&Root, &Relative), to: (&Root, &Relative), like: &Facts) -> Result<Content, ActionError> {
    let (mut source, _) = from.0.read(from.1)?;
    to.0.remove_own(to.1)?;
    let mut made = to.0.create(to.1)?;
    let content = each_chunk(from.0, from.1, &mut source, |chunk| {
        made.write_all(chunk).map_err(|error| cannot_write(to.0, to.1, &error))
    })?;
    finish(to.0, to.1, &made, like)?;
    Ok(content)
}

/// Writes a file to a place where there is none; else as [`copy`].
pub(crate) fn write(root: &Root, relative: &Relative, bytes: &[u8], like: &Facts) -> Result<(), ActionError> {
    root.remove_own(relative)?;
    let mut made = root.create(relative)?;
    made.write_all(bytes).map_err(|error| cannot_write(root, relative, &error))?;
    finish(root, relative, &made, like)
}

fn cannot_write(root: &Root, relative: &Relative, error: &std::io::Error) -> ActionError {
    ActionError::target(format!("could not write {}: {error}", root.full(relative)))
}

fn finish(root: &Root, relative: &Relative, file: &File, like: &Facts) -> Result<(), ActionError> {
    let fail = |error: Errno| cannot_write(root, relative, &error.into());
    let (owner, group) = (Uid::from_raw(like.owner.0), Gid::from_raw(like.owner.1));
    match rustix::fs::fchown(file, Some(owner), Some(group)) {
        // Only root may give files away. Whoever is not, runs as the account that owns the folder.
        Ok(()) | Err(Errno::PERM) => {}
        Err(error) => return Err(fail(error)),
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(like.mode)).map_err(fail)?;
    let at = Timespec { tv_sec: like.modified.0, tv_nsec: like.modified.1 };
    rustix::fs::futimens(file, &Timestamps { last_access: at, last_modification: at }).map_err(fail)?;
    rustix::fs::fsync(file).map_err(fail)
}

/// Compresses a file to a place of ours; gives what was in the original.
pub(crate) fn compress(root: &Root, from: &Relative, to: &Relative, like: &Facts) -> Result<Content, ActionError> {
    let (mut source, _) = root.read(from)?;
    root.remove_own(to)?;
    let made = root.create(to)?;
    let fail = |error: std::io::Error| cannot_write(root, to, &error);
    let mut encoder = zstd::Encoder::new(&made, COMPRESSION).map_err(fail)?;
    encoder.include_checksum(true).map_err(fail)?;
    let content = each_chunk(root, from, &mut source, |chunk| encoder.write_all(chunk).map_err(fail))?;
    encoder.finish().map_err(fail)?;
    finish(root, to, &made, like)?;
    Ok(content)
}

/// What is in a compressed file, once it is decompressed.
pub(crate) fn decompressed_hash(root: &Root, relative: &Relative) -> Result<Content, ActionError> {
    let (file, _) = root.read(relative)?;
    let damaged = |error: std::io::Error| ActionError::target(format!("{}: {error}", root.full(relative)));
    let mut decoder = zstd::Decoder::new(file).map_err(damaged)?;
    each_chunk(root, relative, &mut decoder, |_| Ok(()))
}
