//! Files that nobody has written to for days: chosen so that two looks on one day choose the same.

use super::{Content, Facts, Relative, Root, hash};
use crate::action::{ActionError, ActionTarget};
use chrono::{DateTime, Days, NaiveTime, Utc};
use domain::deployment::ComponentKind;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const DEPTH_MAX: usize = 8;
const FOLDERS_MAX: usize = 10_000;
const FILES_SEEN_MAX: usize = 1_000_000;

/// One old file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OldFile {
    pub file: Relative,
    pub content: Content,
    pub mode: u32,
    /// When it was last changed. It is old: that does not move.
    pub modified: DateTime<Utc>,
}

/// Which files are wanted.
pub(crate) struct Wanted<'a> {
    /// Last changed before this moment.
    pub before: DateTime<Utc>,
    /// At most so many, the oldest first.
    pub files_max: usize,
    /// Which of those, by their contents or names.
    pub which: &'a dyn Fn(&Root, &Relative, &Facts) -> Result<bool, ActionError>,
    /// Folders that hold records or evidence: nothing in them is touched.
    pub sacred: &'a [PathBuf],
}

/// The beginning of the day that lies so many days back.
pub(crate) fn days_back(now: DateTime<Utc>, days: u32) -> Result<DateTime<Utc>, ActionError> {
    let day = now.date_naive().checked_sub_days(Days::new(u64::from(days)));
    let day = day.ok_or_else(|| ActionError::configuration(format!("{days} days are too many")))?;
    Ok(day.and_time(NaiveTime::MIN).and_utc())
}

/// The folders of the deployment that hold records, their backups, audit logs and configurations.
pub(crate) fn sacred(target: &ActionTarget) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for component in target.components.values() {
        let folder = |key: &str| component.settings.get(key).filter(|path| !path.is_empty()).map(PathBuf::from);
        if component.kind == ComponentKind::DocumentStore {
            folders.extend(["path", "backup_path", "quarantine_path"].into_iter().filter_map(folder));
        }
        folders.extend(folder("audit_logs"));
        let files = ["config", "admin_config", "certificate_file", "certificate_key_file"];
        folders.extend(files.into_iter().filter_map(folder).filter_map(|file| file.parent().map(PathBuf::from)));
    }
    // What is not there can not be touched either; links are looked through.
    folders.iter().filter_map(|folder| std::fs::canonicalize(folder).ok()).collect()
}

/// The old files below a root.
pub(crate) fn old_files(root: &Root, wanted: &Wanted<'_>) -> Result<Vec<OldFile>, ActionError> {
    if wanted.sacred.iter().any(|folder| root.path().starts_with(folder)) {
        let path = root.path().display();
        return Err(ActionError::configuration(format!("{path} holds records, evidence or a configuration")));
    }
    let mut found: Vec<(Facts, Relative)> = Vec::new();
    let mut folders: Vec<Option<Relative>> = vec![None];
    let (mut next, mut seen) = (0, 0_usize);
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        for (name, facts) in root.list(folder.as_ref())? {
            seen += 1;
            let path = folder.as_ref().map_or_else(|| name.clone(), |folder| format!("{folder}/{name}"));
            // What can not be named, ours among it, is left alone.
            let Ok(path) = Relative::parse(&path) else { continue };
            let sacred = wanted.sacred.iter().any(|folder| root.path().join(path.as_str()).starts_with(folder));
            if facts.is_folder && !sacred && path.parents().len() < DEPTH_MAX {
                folders.push(Some(path));
            } else if is_old(&facts, wanted.before) && (wanted.which)(root, &path, &facts)? {
                found.push((facts, path));
            }
        }
        if folders.len() > FOLDERS_MAX || seen > FILES_SEEN_MAX {
            return Err(ActionError::precondition(format!("{} holds too much", root.path().display())));
        }
    }
    found.sort_by(|one, other| (one.0.modified, &one.1).cmp(&(other.0.modified, &other.1)));
    found.truncate(wanted.files_max);
    found.into_iter().map(|(facts, file)| look_at(root, file, &facts)).collect()
}

fn is_old(facts: &Facts, before: DateTime<Utc>) -> bool {
    facts.is_file && facts.links == 1 && facts.modified.0 < before.timestamp()
}

fn look_at(root: &Root, file: Relative, facts: &Facts) -> Result<OldFile, ActionError> {
    let modified = DateTime::from_timestamp(facts.modified.0, 0);
    let modified = modified.ok_or_else(|| ActionError::target(format!("{file} has no time of change")))?;
    Ok(OldFile { content: hash(root, &file)?, file, mode: facts.mode, modified })
}
