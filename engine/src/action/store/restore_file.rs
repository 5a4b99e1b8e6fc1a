//! `store.restore-file`: puts a file back from the store's backup, after the backup has been proven to be the original.
//!
//! What is recorded in the dataset is the measure, never what lies on the disk: a corrupt file is not accepted by
//! changing its recorded size. The file that is there now, if any, is set aside.

use super::dataset;
use super::place::Place;
use crate::action::file::{Content, Facts, Relative, Root, Stop, aside, blocking, copy, hash};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// What is left free on the store's volume at least.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// See the module.
pub struct RestoreFile;

/// What it is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The file: its path below the store's folder, or its name as the dataset has it.
    file: Relative,
    /// The size that was recorded when it was found: where the dataset says something else by now, nothing is done.
    #[serde(default)]
    recorded_bytes: Option<i64>,
    /// The hash that was recorded when it was found, likewise.
    #[serde(default)]
    recorded_hash: Option<String>,
}

/// What it reads before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The file's place below the store's folder.
    file: Relative,
    record_uri: i64,
    /// What the dataset records, and the backup holds.
    recorded: Content,
    /// The file as it is; none where there is none.
    present: Option<Present>,
    /// Its place below the backup's folder.
    backup: Relative,
    /// Folders of the store that have to be made for it.
    new_folders: Vec<Relative>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Present {
    content: Content,
    mode: u32,
}

impl Act for RestoreFile {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "store.restore-file",
        version: 1,
        title: "Restore a file of a document store from its backup",
        components: &[ComponentKind::DocumentStore],
        outputs: &[
            OutputSpec { name: "file", kind: OutputKind::Text },
            OutputSpec { name: "sha256", kind: OutputKind::Text },
        ],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(10),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let (place, backup) = (Place::of(target)?, target.setting("backup_path")?.to_owned());
        let recorded = dataset::recorded(target, &parameters.file).await?;
        must_be_as_found(parameters, &recorded)?;
        let file = parameters.file.clone();
        let named_by_path = recorded.resid.contains(['/', '\\']);
        blocking(target, move |stop| {
            let (root, backup) = (place.root(stop)?, backup_root(&backup, stop)?);
            let content = Content { bytes: recorded.bytes as u64, sha256: recorded.hash.clone().unwrap_or_default() };
            let from = find_in_backup(&backup, &place, &file, &content)?;
            // A name alone does not say where: then the backup's folders do.
            let here = file.as_str().contains('/') || named_by_path;
            let file = if here { file } else { from.clone() };
            let at = place.file(&file);
            let present = present(&root, &at)?;
            if present.as_ref().is_some_and(|present| present.content == content) {
                return Err(ActionError::precondition(format!(
                    "{file} is as it was recorded: nothing is to be restored"
                )));
            }
            if root.free_bytes()? < content.bytes + FREE_BYTES_MIN {
                return Err(ActionError::precondition("the store's volume has not room enough for it".to_owned()));
            }
            let new_folders = root.missing_parents(&at)?;
            let record_uri = recorded.record_uri;
            Ok(State { file, record_uri, recorded: content, present, backup: from, new_folders })
        })
        .await
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let (file, uri, bytes) = (&before.file, before.record_uri, before.recorded.bytes);
        let summary = match &before.present {
            None => format!("put {file} of record {uri} back from the backup ({bytes} bytes, as recorded)"),
            Some(present) => format!(
                "replace {file} of record {uri} ({} bytes, not as recorded) by the backup's file ({bytes} bytes, as \
                 recorded); the present one is set aside",
                present.content.bytes
            ),
        };
        vec![Change {
            summary,
            subject: file.to_string(),
            from: before.present.as_ref().map(|present| json!(present.content)),
            to: Some(json!(before.recorded)),
        }]
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { stores: 1, documents: 1, bytes: before.recorded.bytes, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let (place, backup) = (Place::of(target)?, target.setting("backup_path")?.to_owned());
        let (key, before) = (target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop| {
            let (root, backup) = (place.root(stop)?, backup_root(&backup, stop)?);
            restore(&root, &backup, &place, &key, &before)?;
            Ok(Outputs::from([
                ("file".to_owned(), json!(before.file)),
                ("sha256".to_owned(), json!(before.recorded.sha256)),
            ]))
        })
        .await
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let (place, before) = (Place::of(target)?, before.clone());
        blocking(target, move |stop| {
            let root = place.root(stop)?;
            Ok(match present(&root, &place.file(&before.file))? {
                Some(found) if found.content == before.recorded => Verified::Done,
                Some(_) => Verified::NotDone(format!("{} is not as recorded", before.file)),
                None => Verified::NotDone(format!("{} is not there", before.file)),
            })
        })
        .await
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let (place, backup) = (Place::of(target)?, target.setting("backup_path")?.to_owned());
        let (key, before) = (target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop| {
            let (root, backup) = (place.root(stop)?, backup_root(&backup, stop)?);
            take_back(&root, &backup, &place, &key, &before)
        })
        .await
    }
}

fn must_be_as_found(parameters: &Parameters, recorded: &dataset::Recorded) -> Result<(), ActionError> {
    let other_bytes = parameters.recorded_bytes.is_some_and(|bytes| bytes != recorded.bytes);
    let found_hash = parameters.recorded_hash.as_deref().map(str::trim).filter(|hash| !hash.is_empty());
    let other_hash = found_hash.is_some_and(|hash| Some(hash.to_ascii_lowercase()) != recorded.hash);
    if other_bytes || other_hash {
        let file = &parameters.file;
        return Err(ActionError::precondition(format!(
            "what the dataset records of {file} has changed since it was found"
        )));
    }
    Ok(())
}

fn backup_root(path: &str, stop: &Stop) -> Result<Root, ActionError> {
    Root::open("setting backup_path", Path::new(path), stop)
}

fn present(root: &Root, at: &Relative) -> Result<Option<Present>, ActionError> {
    match root.file(at)? {
        None => Ok(None),
        Some(facts) => Ok(Some(Present { content: hash(root, at)?, mode: facts.mode })),
    }
}

/// The file in the backup whose size and hash are those recorded: at the same path, else by its name in any folder.
fn find_in_backup(backup: &Root, place: &Place, file: &Relative, wanted: &Content) -> Result<Relative, ActionError> {
    let is_it = |facts: &Facts, at: &Relative| -> Result<bool, ActionError> {
        Ok(facts.is_file && facts.bytes == wanted.bytes && hash(backup, &place.file(at))? == *wanted)
    };
    let mut seen = 0_u32;
    if let Some(facts) = backup.file(&place.file(file))? {
        seen += 1;
        if is_it(&facts, file)? {
            return Ok(file.clone());
        }
    }
    let inner = Relative::parse(&place.inner).map_err(ActionError::configuration)?;
    if !backup.look(&inner)?.is_some_and(|found| found.is_folder) {
        return Err(ActionError::precondition(format!("the backup has no folder {}", backup.full(&inner))));
    }
    for (folder, _) in backup.list(Some(&inner))?.into_iter().filter(|(_, found)| found.is_folder) {
        let Ok(below) = Relative::parse(&format!("{}/{folder}", place.inner)) else { continue };
        for (name, facts) in backup.list(Some(&below))? {
            if !name.eq_ignore_ascii_case(file.name()) {
                continue;
            }
            seen += 1;
            let Ok(at) = Relative::parse(&format!("{folder}/{name}")) else { continue };
            if is_it(&facts, &at)? {
                return Ok(at);
            }
        }
    }
    Err(ActionError::precondition(match seen {
        0 => format!("the backup does not have {}", file.name()),
        _ => format!("the backup has {}, but not with the recorded size and hash", file.name()),
    }))
}

fn restore(root: &Root, backup: &Root, place: &Place, key: &str, before: &State) -> Result<(), ActionError> {
    let at = place.file(&before.file);
    let now = present(root, &at)?;
    if now.as_ref().is_some_and(|now| now.content == before.recorded) {
        return Ok(());
    }
    let from = place.file(&before.backup);
    let source = backup.file(&from)?;
    let source = source.ok_or_else(|| ActionError::precondition(format!("{} has gone", backup.full(&from))))?;
    // Made and proven before the present file is touched.
    let making = aside::new(key, &at);
    aside::make_room(root, &making)?;
    let like = Facts { mode: before.present.as_ref().map_or(source.mode, |present| present.mode), ..source };
    if copy((backup, &from), (root, &making), &like)? != before.recorded || hash(root, &making)? != before.recorded {
        root.remove_own(&making)?;
        return Err(ActionError::precondition(format!("{} is not what was recorded", backup.full(&from))));
    }
    match (now, root.file(&aside::was(key, &at))?) {
        // Set aside before it was cut off.
        (None, Some(_)) => {}
        (now, None) if now == before.present => {
            if now.is_some() {
                aside::set(root, &at, key)?;
            }
        }
        _ => return Err(changed_meanwhile(&before.file)),
    }
    let folder_mode = root.look_at_itself()?.mode;
    root.make_parents(&at, folder_mode)?;
    root.move_to(&making, root, &at)?;
    aside::tidy(root, key)
}

fn changed_meanwhile(file: &Relative) -> ActionError {
    ActionError::precondition(format!("{file} is neither as it was nor as it was to be: somebody else changed it"))
}

fn take_back(root: &Root, backup: &Root, place: &Place, key: &str, before: &State) -> Result<(), ActionError> {
    let at = place.file(&before.file);
    root.remove_own(&aside::new(key, &at))?;
    let now = present(root, &at)?;
    if now == before.present {
        return aside::tidy(root, key).and_then(|()| remove_new_folders(root, before));
    }
    if let Some(now) = now {
        if now.content != before.recorded {
            return Err(changed_meanwhile(&before.file));
        }
        // The copy goes only while the backup still holds the same: no last copy is ever removed.
        let from = place.file(&before.backup);
        if backup.file(&from)?.is_none() || hash(backup, &from)? != before.recorded {
            return Err(ActionError::precondition(format!(
                "the backup no longer holds {}: the restored file may be the last good copy and stays",
                before.backup
            )));
        }
        root.remove_own(&at)?;
    }
    if before.present.is_some() {
        root.move_to(&aside::was(key, &at), root, &at)?;
    }
    aside::tidy(root, key)?;
    remove_new_folders(root, before)
}

fn remove_new_folders(root: &Root, before: &State) -> Result<(), ActionError> {
    before.new_folders.iter().rev().try_for_each(|folder| root.remove_if_empty(folder))
}

#[cfg(test)]
mod tests;
