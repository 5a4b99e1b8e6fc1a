//! Whether a store's folder can be used, and how full its disk is.
//!
//! Nothing is written into a records store to find out: the permissions are read. The platform may run as root, whom no
//! permission stops, so that the owner's own permissions count as well.

use crate::probe::rows::{Measured, row};
use crate::probe::{ProbeError, Row, disk};
use rustix::fs::Access;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// The most folders looked at one by one.
const MAX_FOLDERS: usize = 20_000;
/// The most folders with trouble that are told.
const MAX_ROWS: usize = 100;

/// One row for the store's folder, and one for each folder below it that can not be used.
pub(super) fn access(root: &Path, stop: &CancellationToken) -> Result<Measured, ProbeError> {
    let own = look_at(root);
    let readable = own.readable;
    let mut measured = Measured::one(own.into_row(root));
    let mut folders = 0_u64;
    // Of a folder that can not be read there is nothing more to say.
    for entry in fs::read_dir(root).into_iter().flatten().take(MAX_FOLDERS).filter(|_| readable) {
        if stop.is_cancelled() {
            return Err(ProbeError::cancelled());
        }
        let path = entry.map_err(|error| ProbeError::io(root, &error))?.path();
        if !path.is_dir() {
            continue;
        }
        folders += 1;
        let found = look_at(&path);
        if found.readable && found.writable {
            continue;
        }
        if measured.rows.len() > MAX_ROWS {
            measured.truncated = true;
            break;
        }
        measured.rows.push(found.into_row(&path));
    }
    measured.facts = row! { folders: folders };
    Ok(measured)
}

struct Found {
    readable: bool,
    writable: bool,
    error: Option<String>,
}

impl Found {
    fn into_row(self, path: &Path) -> Row {
        row! {
            path: path.to_string_lossy(), readable: self.readable, writable: self.writable, error: self.error,
        }
    }
}

fn look_at(path: &Path) -> Found {
    let mode = match fs::metadata(path) {
        Ok(found) if found.is_dir() => found.permissions().mode(),
        Ok(_) => return Found { readable: false, writable: false, error: Some("is not a folder".to_owned()) },
        Err(error) => return Found { readable: false, writable: false, error: Some(error.to_string()) },
    };
    let listed = fs::read_dir(path).map(drop);
    let may = |access| rustix::fs::access(path, access).is_ok();
    let readable = mode & 0o500 == 0o500 && listed.is_ok() && may(Access::READ_OK | Access::EXEC_OK);
    let writable = mode & 0o300 == 0o300 && may(Access::WRITE_OK);
    let error = match (readable, writable) {
        (true, true) => None,
        _ => Some(match listed {
            Err(error) => error.to_string(),
            Ok(()) => format!("its permissions are {:04o}", mode & 0o7777),
        }),
    };
    Found { readable, writable, error }
}

/// How full the disk is that holds the store.
pub(super) fn space(root: &Path) -> Result<Measured, ProbeError> {
    let disk = disk::holding(root)?;
    Ok(Measured::one(row! {
        path: root.to_string_lossy(),
        total_bytes: disk.total_bytes,
        free_bytes: disk.free_bytes,
        used_percent: disk.used_percent,
    }))
}
