//! How full a disk is, as `df` says it: of what programs may use. What is kept back for root is in neither part.

use super::ProbeError;
use std::path::Path;

/// The file system that holds a folder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Disk {
    /// Its size.
    pub(super) total_bytes: u64,
    /// What programs may still write.
    pub(super) free_bytes: u64,
    /// The used part of what programs may use.
    pub(super) used_percent: f64,
    /// The used part of its inodes; none where it has no fixed number of them.
    pub(super) inode_used_percent: Option<f64>,
}

/// Asks the file system that holds this path.
pub(super) fn holding(path: &Path) -> Result<Disk, ProbeError> {
    let found = rustix::fs::statvfs(path).map_err(|error| ProbeError::io(path, &error.into()))?;
    let blocks = Blocks { total: found.f_blocks, free: found.f_bfree, available: found.f_bavail };
    let used_percent = blocks
        .used_percent()
        .ok_or_else(|| ProbeError::malformed(format!("{}: its file system states no size", path.display())))?;
    Ok(Disk {
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        used_percent,
        inode_used_percent: share(found.f_files.saturating_sub(found.f_ffree), found.f_files),
    })
}

/// A file system's counts, in its own units.
struct Blocks {
    total: u64,
    free: u64,
    available: u64,
}

impl Blocks {
    fn used_percent(&self) -> Option<f64> {
        let used = self.total.saturating_sub(self.free);
        share(used, used.saturating_add(self.available))
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_as_df_does() {
        for (total, free, available, expected) in [
            (100, 50, 50, Some(50.0)),
            // Root's own share is neither used nor free.
            (100, 60, 10, Some(80.0)),
            (100, 5, 0, Some(100.0)),
            (100, 100, 95, Some(0.0)),
            (0, 0, 0, None),
        ] {
            assert_eq!(Blocks { total, free, available }.used_percent(), expected, "{total} {free} {available}");
        }
        let temporary = holding(&std::env::temp_dir()).unwrap();
        assert!(temporary.total_bytes >= temporary.free_bytes && temporary.used_percent <= 100.0, "{temporary:?}");
    }
}
