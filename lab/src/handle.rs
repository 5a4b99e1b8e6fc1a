//! A lab as any process can get hold of it.

use crate::database;
use crate::description::LabDescription;
use crate::error::LabError;
use crate::layout::{Folders, try_lock};
use crate::manifest::Manifest;
use crate::options::Clock;
use chrono::Utc;
use sqlx::PgPool;
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How long another process may be changing faults.
const LOCK_BOUND: Duration = Duration::from_mins(2);

/// A lab that has been made, whether or not this process keeps it up.
#[derive(Debug)]
pub struct LabHandle {
    folders: Folders,
    manifest: Manifest,
    clock: Clock,
    pool: OnceCell<PgPool>,
}

impl LabHandle {
    /// The lab in this folder.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, LabError> {
        let dir = dir.as_ref();
        let root = std::fs::canonicalize(dir).map_err(|_| LabError::NoLab(dir.to_owned()))?;
        let folders = Folders::new(root);
        let manifest = Manifest::read(&folders)?.ok_or_else(|| LabError::NoLab(dir.to_owned()))?;
        Ok(Self::new(folders, manifest, Utc::now))
    }

    pub(crate) fn new(folders: Folders, manifest: Manifest, clock: Clock) -> Self {
        Self { folders, manifest, clock, pool: OnceCell::new() }
    }

    /// The deployment to register.
    pub fn description(&self) -> &LabDescription {
        &self.manifest.description
    }

    /// Where its parts are.
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Whether a process keeps it up.
    pub fn is_up(&self) -> Result<bool, LabError> {
        crate::control::is_up(&self.folders)
    }

    /// The port of one part: `wgs-1`, `wgs-2`, `web`, `postgres`.
    pub fn port(&self, of: &str) -> Option<u16> {
        self.manifest.ports.get(of).copied()
    }

    /// The dataset, with all rights: for planting faults and for tests, not for diagnoses.
    pub async fn dataset(&self) -> Result<&PgPool, LabError> {
        self.pool
            .get_or_try_init(|| async {
                let file = self.folders.admin_url();
                let url = std::fs::read_to_string(&file).map_err(LabError::io("read", &file))?;
                // One connection: see `database::vacuum`.
                database::pool(database::connect_options(url.trim(), &self.manifest.database)?, 1).await
            })
            .await
    }

    pub(crate) fn seed(&self) -> u64 {
        self.manifest.seed
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn try_lock_faults(&self) -> Result<Option<File>, LabError> {
        try_lock(&self.folders.faults_lock())
    }

    pub(crate) async fn lock_faults(&self) -> Result<File, LabError> {
        let deadline = Instant::now() + LOCK_BOUND;
        loop {
            if let Some(lock) = self.try_lock_faults()? {
                return Ok(lock);
            }
            if Instant::now() > deadline {
                return Err(LabError::Busy(self.folders.root().to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
