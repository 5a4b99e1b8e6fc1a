//! `store.quarantine-orphans`: moves files that no row of the dataset names out of the store, and never deletes one.
//!
//! Whether a file is an orphan is asked again at the moment of the move: it must be older than a day, because the
//! product writes the file before its row, and the dataset must not know it then.

use super::dataset;
use super::place::Place;
use crate::action::file::{Content, Relative, Root, Stop, aside, blocking, hash, read_small, write};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use chrono::{DateTime, Utc};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const FILES_MAX: usize = 1_000;
const AGE_S_MIN: i64 = 24 * 3_600;
/// Only for the account that acts: what was quarantined is nobody's to read until it has been looked at.
const FOLDER_MODE: u32 = 0o700;
/// The list beside what was moved.
const LIST: &str = "moved.json";
const LIST_BYTES_MAX: u64 = 4 << 20;

/// See the module.
pub struct QuarantineOrphans;

/// What it is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The files, below the store's folder.
    #[schemars(length(min = 1, max = 1000))]
    files: Vec<Relative>,
}

/// What it reads before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    files: Vec<Orphan>,
}

/// One file that no row names. When it was changed is part of what it is: it does not move by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Orphan {
    file: Relative,
    content: Content,
    mode: u32,
    modified: DateTime<Utc>,
}

impl Act for QuarantineOrphans {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "store.quarantine-orphans",
        version: 1,
        title: "Move files that the dataset does not know out of a document store",
        components: &[ComponentKind::DocumentStore],
        outputs: &[OutputSpec { name: "quarantine", kind: OutputKind::Text }],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(10),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let files: BTreeSet<Relative> = parameters.files.iter().cloned().collect();
        if files.is_empty() || parameters.files.len() > FILES_MAX {
            return Err(ActionError::configuration(format!("1 to {FILES_MAX} files are moved at a time")));
        }
        let files: Vec<Relative> = files.into_iter().collect();
        must_be_unknown(target, &files).await?;
        let (place, quarantine, now) = (Place::of(target)?, Quarantine::of(target)?, target.now);
        blocking(target, move |stop| {
            let root = place.root(stop)?;
            if quarantine.root(stop)?.device() != root.device() {
                return Err(ActionError::precondition(
                    "quarantine_path lies on another volume than the store: a file would have to be copied and removed",
                ));
            }
            let files = files.iter().map(|file| look_at(&root, &place, file, now)).collect::<Result<_, _>>()?;
            Ok(State { files })
        })
        .await
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let change = |orphan: &Orphan| Change {
            summary: format!("move {} ({} bytes) out of the store", orphan.file, orphan.content.bytes),
            subject: orphan.file.to_string(),
            from: Some(json!({"in": "store", "sha256": orphan.content.sha256})),
            to: Some(json!({"in": "quarantine", "sha256": orphan.content.sha256})),
        };
        before.files.iter().map(change).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        let bytes = before.files.iter().map(|orphan| orphan.content.bytes).sum();
        BlastRadius { stores: 1, documents: before.files.len() as u64, bytes, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let files: Vec<Relative> = before.files.iter().map(|orphan| orphan.file.clone()).collect();
        must_be_unknown(target, &files).await?;
        let (place, quarantine) = (Place::of(target)?, Quarantine::of(target)?);
        let (now, before) = (target.now, before.clone());
        blocking(target, move |stop| {
            let (root, aside) = (place.root(stop)?, quarantine.root(stop)?);
            quarantine.write_list(&root, &aside, &place, &before)?;
            for orphan in &before.files {
                move_out(&root, &aside, &place, &quarantine, orphan, now)?;
            }
            let quarantine = aside.full(&Relative::parse(&quarantine.step).map_err(ActionError::internal)?);
            Ok(Outputs::from([("quarantine".to_owned(), json!(quarantine))]))
        })
        .await
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let (place, quarantine, before) = (Place::of(target)?, Quarantine::of(target)?, before.clone());
        blocking(target, move |stop| {
            let (root, aside) = (place.root(stop)?, quarantine.root(stop)?);
            for Orphan { file, content, .. } in &before.files {
                if root.look(&place.file(file))?.is_some() {
                    return Ok(Verified::NotDone(format!("{file} is in the store")));
                }
                let kept = quarantine.file(&place, file);
                if aside.file(&kept)?.is_none() || hash(&aside, &kept)? != *content {
                    return Ok(Verified::NotDone(format!("{file} is not in the quarantine as it was in the store")));
                }
            }
            Ok(Verified::Done)
        })
        .await
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let (place, quarantine, before) = (Place::of(target)?, Quarantine::of(target)?, before.clone());
        blocking(target, move |stop| {
            let (root, aside) = (place.root(stop)?, quarantine.root(stop)?);
            for Orphan { file, .. } in &before.files {
                let kept = quarantine.file(&place, file);
                if aside.file(&kept)?.is_some() {
                    aside.move_to(&kept, &root, &place.file(file))?;
                }
            }
            quarantine.tidy(&aside)
        })
        .await
    }
}

async fn must_be_unknown(target: &ActionTarget, files: &[Relative]) -> Result<(), ActionError> {
    match dataset::known(target, files).await?.iter().min() {
        Some(file) => Err(ActionError::precondition(format!("the dataset knows {file}: it is no orphan (any more)"))),
        None => Ok(()),
    }
}

fn look_at(root: &Root, place: &Place, file: &Relative, now: DateTime<Utc>) -> Result<Orphan, ActionError> {
    let at = place.file(file);
    let facts = root.file(&at)?;
    let facts = facts.ok_or_else(|| ActionError::precondition(format!("{file} is not in the store (any more)")))?;
    let modified = DateTime::from_timestamp(facts.modified.0, 0).unwrap_or(now);
    if now.timestamp() - modified.timestamp() < AGE_S_MIN {
        return Err(ActionError::precondition(format!("{file} is younger than a day: its row may still be written")));
    }
    Ok(Orphan { file: file.clone(), content: hash(root, &at)?, mode: facts.mode, modified })
}

fn move_out(
    root: &Root,
    aside: &Root,
    place: &Place,
    quarantine: &Quarantine,
    orphan: &Orphan,
    now: DateTime<Utc>,
) -> Result<(), ActionError> {
    let (at, kept) = (place.file(&orphan.file), quarantine.file(place, &orphan.file));
    match (root.file(&at)?, aside.file(&kept)?) {
        (None, Some(_)) => Ok(()),
        (Some(_), None) if look_at(root, place, &orphan.file, now)? == *orphan => {
            aside.make_parents(&kept, FOLDER_MODE)?;
            root.move_to(&at, aside, &kept)
        }
        _ => Err(ActionError::precondition(format!("{} is not as it was when it was looked at", orphan.file))),
    }
}

/// Where one step's files go: `<quarantine_path>/<step>/<dbid>/<store_number>/…`, with a list beside them.
struct Quarantine {
    path: String,
    step: String,
}

impl Quarantine {
    fn of(target: &ActionTarget) -> Result<Self, ActionError> {
        let path = target.setting("quarantine_path")?.to_owned();
        Ok(Self { path, step: aside::name_of(&target.idempotency_key) })
    }

    fn root(&self, stop: &Stop) -> Result<Root, ActionError> {
        Root::open("setting quarantine_path", Path::new(&self.path), stop)
    }

    fn file(&self, place: &Place, file: &Relative) -> Relative {
        place.file(file).below(&self.step)
    }

    fn list(&self) -> Result<Relative, ActionError> {
        Relative::parse(&format!("{}/{LIST}", self.step)).map_err(ActionError::internal)
    }

    /// Says what is moved before anything is.
    fn write_list(&self, root: &Root, aside: &Root, place: &Place, before: &State) -> Result<(), ActionError> {
        let files = before.files.iter().map(|orphan| {
            let Orphan { file, content, modified, .. } = orphan;
            json!({"file": file, "bytes": content.bytes, "sha256": content.sha256, "modified": modified})
        });
        let files = files.collect::<Vec<_>>();
        let from = root.full(&Relative::parse(&place.inner).map_err(ActionError::configuration)?);
        let text = serde_json::to_vec_pretty(&json!({"from": from, "files": files}));
        let text = text.map_err(|error| ActionError::internal(format!("the list can not be written: {error}")))?;
        let list = self.list()?;
        aside.make_parents(&list, FOLDER_MODE)?;
        if aside.file(&list)?.is_some() && read_small(aside, &list, LIST_BYTES_MAX)?.0 == text {
            return Ok(());
        }
        let like = crate::action::file::Facts { mode: 0o600, ..aside.look_at_itself()? };
        write(aside, &list, &text, &like)
    }

    fn tidy(&self, aside: &Root) -> Result<(), ActionError> {
        let step = Relative::parse(&self.step).map_err(ActionError::internal)?;
        if !aside.look(&step)?.is_some_and(|found| found.is_folder) {
            return Ok(());
        }
        aside.remove_own(&self.list()?)?;
        aside::remove_empty_folders(aside, &step)
    }
}

#[cfg(test)]
mod tests;
