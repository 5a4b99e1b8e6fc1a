//! The machine that the probe runs on: disk, memory and load.
//!
//! Its clock can not be measured from itself: `clock_skew_s` is null, and the skew is what the HTTP and SQL probes see.

use super::rows::{Measured, row};
use super::{ProbeError, Run, disk};
use std::path::{Path, PathBuf};
use sysinfo::{MemoryRefreshKind, System};

/// The folder whose disk is looked at where none is set.
const DEFAULT_PATH: &str = "/";

pub(super) async fn measure(run: &Run<'_>) -> Result<Measured, ProbeError> {
    let path = PathBuf::from(run.target.optional("path").unwrap_or(DEFAULT_PATH));
    run.blocking(move |_| look(&path)).await
}

fn look(path: &Path) -> Result<Measured, ProbeError> {
    let disk = disk::holding(path)?;
    let fail = |error: sysinfo::Error| ProbeError::malformed(format!("the machine does not tell: {error}"));
    let mut system = System::new().map_err(fail)?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let (memory, available) = (system.total_memory(), system.available_memory());
    if memory == 0 {
        return Err(ProbeError::malformed("the machine states no size of its memory"));
    }
    let load = System::load_average().map_err(fail)?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Measured::one(row! {
        disk_path: path.to_string_lossy(),
        disk_total_bytes: disk.total_bytes,
        disk_free_bytes: disk.free_bytes,
        disk_used_percent: disk.used_percent,
        inode_used_percent: disk.inode_used_percent,
        memory_total_bytes: memory,
        memory_available_bytes: available,
        memory_used_percent: percent(memory.saturating_sub(available), memory),
        load1: load.one,
        load5: load.five,
        load15: load.fifteen,
        cpus: cpus,
        load_per_cpu: load.five / cpus as f64,
        uptime_s: System::uptime().map_err(fail)?,
        clock_skew_s: None::<f64>,
    }))
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}
