//! Where things lie in the lab's folder, and how its small state files are read and written.

use crate::error::LabError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The dataset's two-character id.
pub const DBID: &str = "D1";
/// Workgroup servers.
pub const WORKGROUP_SERVERS: [&str; 2] = ["wgs-1", "wgs-2"];
/// The stores: number, component, name in the dataset.
pub const STORES: [(i64, &str, &str); 2] = [(1, "store-1", "Main (double)"), (2, "store-2", "Archive (double)")];
/// What a state file may have at most.
const STATE_BYTES_MAX: u64 = 256 << 20;

/// How often, and after what pause, to ask for the lock of a state file.
const LOCK_TRIES: u32 = 1_000;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The lab's folder.
#[derive(Debug, Clone)]
pub struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Names only: nothing is made.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Says that this is a double; its presence also allows the lab to make its folders anew.
    pub fn marker(&self) -> PathBuf {
        self.root.join("THIS-IS-A-DOUBLE.txt")
    }

    pub fn state(&self) -> PathBuf {
        self.root.join("lab.json")
    }

    pub fn control(&self) -> PathBuf {
        self.root.join("control.json")
    }

    pub fn control_ack(&self) -> PathBuf {
        self.root.join("control.ack.json")
    }

    pub fn control_lock(&self) -> PathBuf {
        self.root.join("control.lock")
    }

    /// What the double of the content index holds.
    pub fn content_index(&self) -> PathBuf {
        self.root.join("content-index/state.json")
    }

    /// Where the double of the service manager is asked, and answers.
    pub fn services(&self) -> PathBuf {
        self.root.join("services")
    }

    pub fn action_password(&self) -> PathBuf {
        self.root.join("secrets/action.password")
    }

    pub fn up_lock(&self) -> PathBuf {
        self.root.join("up.lock")
    }

    pub fn faults_lock(&self) -> PathBuf {
        self.root.join("faults.lock")
    }

    pub fn planted(&self) -> PathBuf {
        self.root.join("faults.json")
    }

    /// What one planted fault has changed, and the files it has put aside.
    pub fn fault(&self, name: &str) -> PathBuf {
        self.root.join("faults").join(name)
    }

    pub fn postgres(&self) -> PathBuf {
        self.root.join("postgres")
    }

    pub fn admin_url(&self) -> PathBuf {
        self.root.join("secrets/admin.url")
    }

    pub fn monitor_password(&self) -> PathBuf {
        self.root.join("secrets/monitor.password")
    }

    pub fn owner_password(&self) -> PathBuf {
        self.root.join("secrets/owner.password")
    }

    pub fn operator_password(&self) -> PathBuf {
        self.root.join("secrets/operator.password")
    }

    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    pub fn stores(&self) -> PathBuf {
        self.root.join("stores")
    }

    /// A store's root: what an administrator would enter as its path.
    pub fn store_root(&self, component: &str) -> PathBuf {
        self.stores().join(component)
    }

    /// The root of a store's backup: the same layout as the store's.
    pub fn backup_root(&self, component: &str) -> PathBuf {
        self.root.join("backup").join(component)
    }

    /// Where what does not belong into a store is moved.
    pub fn quarantine(&self, component: &str) -> PathBuf {
        self.root.join("quarantine").join(component)
    }

    /// Where old logs are moved.
    pub fn log_archive(&self) -> PathBuf {
        self.root.join("archive/logs")
    }

    /// Where programs leave what they need for a while.
    pub fn temp(&self) -> PathBuf {
        self.root.join("temp")
    }

    /// Where old temporary files are moved.
    pub fn temp_archive(&self) -> PathBuf {
        self.root.join("archive/temp")
    }

    /// Where a store's numbered folders are: `<root>/<DBID>/<store number>`.
    pub fn store(&self, number: i64) -> PathBuf {
        self.store_root(component_of(number)).join(DBID).join(number.to_string())
    }

    /// The same in its backup.
    pub fn backup(&self, number: i64) -> PathBuf {
        self.backup_root(component_of(number)).join(DBID).join(number.to_string())
    }

    pub fn config(&self, wgs: &str) -> PathBuf {
        self.root.join("config").join(wgs).join("TRIMConfig.tcfg")
    }

    /// What administrators have saved, deployed or not.
    pub fn admin_config(&self) -> PathBuf {
        self.root.join("config/admin/TRIMConfig.tcfg")
    }

    pub fn logs(&self, of: &str) -> PathBuf {
        self.root.join("logs").join(of)
    }

    pub fn audit_logs(&self) -> PathBuf {
        self.root.join("audit").join(DBID).join("AuditLogs")
    }
}

fn component_of(number: i64) -> &'static str {
    STORES.iter().find(|store| store.0 == number).map_or("store-1", |store| store.1)
}

/// Writes a file whole or not at all: readers in other processes never see half of it.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), LabError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(LabError::io("create", folder))?;
    }
    let making = path.with_extension(format!("making-{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(&making)
        .map_err(LabError::io("create", &making))?;
    file.write_all(bytes).map_err(LabError::io("write", &making))?;
    drop(file);
    std::fs::rename(&making, path).map_err(LabError::io("rename", path))
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), LabError> {
    let bytes =
        serde_json::to_vec_pretty(value).map_err(|source| LabError::Damaged { path: path.to_owned(), source })?;
    write_atomically(path, &bytes, 0o644)
}

/// Nothing where the file is absent; an error where it is there and can not be understood.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LabError> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() > STATE_BYTES_MAX => {
            return Err(LabError::Options(format!("{} is too large for a state file", path.display())));
        }
        _ => {}
    }
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| LabError::Damaged { path: path.to_owned(), source }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LabError::io("read", path)(error)),
    }
}

/// An exclusive lock on a file, or nothing where another process (or handle) has it. The kernel frees it when its
/// holder ends, however that happens.
pub(crate) fn try_lock(path: &Path) -> Result<Option<File>, LabError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(LabError::io("create", folder))?;
    }
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(path).map_err(LabError::io("open", path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(LabError::io("lock", path)(error.into())),
    }
}

/// The lock of a state file that is read, changed and written at once. Whoever has it gives it back within
/// milliseconds.
pub(crate) fn lock_briefly(path: &Path) -> Result<File, LabError> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = try_lock(path)? {
            return Ok(lock);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(LabError::Busy(path.to_owned()))
}

/// Whether somebody holds the lock. Asking takes it shared for a moment, so that askers do not see each other.
pub(crate) fn is_locked(path: &Path) -> Result<bool, LabError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(LabError::io("open", path)(error)),
    };
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(LabError::io("ask for the lock of", path)(error.into())),
    }
}
