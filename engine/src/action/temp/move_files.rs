//! `temp.move-files`: moves old temporary files to another folder.
//!
//! Moved, not deleted: a program that still needs one can have it back. Folders that hold records, audit logs or
//! configurations are never taken for temporary, whatever the settings say.

use crate::action::file::{
    Facts, OldFile, Relative, Root, Stop, Wanted, aside, blocking, days_back, hash, old_files, relocate, sacred,
};
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

const FILES_MAX: u32 = 10_000;
const DAYS_MAX: u32 = 3_650;

/// See the module.
pub struct MoveFiles;

/// What it is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Files that were last written to before so many whole days.
    #[serde(default = "days")]
    #[schemars(range(min = 1, max = 3650))]
    older_than_days: u32,
    /// At most so many files, the oldest first.
    #[serde(default = "files")]
    #[schemars(range(min = 1, max = 10000))]
    max_files: u32,
    /// Refuse where both folders lie on one volume: then no room is gained.
    #[serde(default)]
    other_volume: bool,
}

fn days() -> u32 {
    7
}

fn files() -> u32 {
    1_000
}

/// What it reads before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    files: Vec<OldFile>,
}

impl Act for MoveFiles {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "temp.move-files",
        version: 1,
        title: "Move old temporary files to another folder",
        components: &[
            ComponentKind::WorkgroupServer,
            ComponentKind::EventProcessor,
            ComponentKind::WebTier,
            ComponentKind::Host,
        ],
        outputs: &[
            OutputSpec { name: "files", kind: OutputKind::Integer },
            OutputSpec { name: "archive", kind: OutputKind::Text },
        ],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(20),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let Parameters { older_than_days, max_files, other_volume } = *parameters;
        if !(1..=DAYS_MAX).contains(&older_than_days) || !(1..=FILES_MAX).contains(&max_files) {
            return Err(ActionError::configuration("older_than_days is 1 to 3650, max_files 1 to 10000"));
        }
        let (folders, sacred) = (Folders::of(target)?, sacred(target));
        let before = days_back(target.now, older_than_days)?;
        blocking(target, move |stop| {
            let (temp, archive) = folders.open(stop)?;
            if archive.path().starts_with(temp.path()) {
                return Err(ActionError::configuration("temp_archive_path lies in temp_path"));
            }
            if other_volume && archive.device() == temp.device() {
                return Err(ActionError::precondition(
                    "temp_archive_path lies on the same volume: no room would be gained",
                ));
            }
            let is_wanted = |_: &Root, _: &Relative, _: &Facts| Ok(true);
            let files_max = max_files as usize;
            let wanted = Wanted { before, files_max, which: &is_wanted, sacred: &sacred };
            let files = old_files(&temp, &wanted)?;
            if files.is_empty() {
                return Err(ActionError::precondition(format!(
                    "there is no temporary file that was last written to before {before}: nothing is to be gained here"
                )));
            }
            Ok(State { files })
        })
        .await
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let change = |OldFile { file, content, modified, .. }: &OldFile| Change {
            summary: format!("move {file} ({} bytes, of {}) to the other folder", content.bytes, modified.date_naive()),
            subject: file.to_string(),
            from: Some(json!({"in": "temp_path", "content": content})),
            to: Some(json!({"in": "temp_archive_path", "content": content})),
        };
        before.files.iter().map(change).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        let bytes = before.files.iter().map(|file| file.content.bytes).sum();
        BlastRadius { deployments: 1, bytes, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let (folders, key, before) = (Folders::of(target)?, target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop| {
            let (temp, archive) = folders.open(stop)?;
            for OldFile { file, content, .. } in &before.files {
                relocate((&temp, file), (&archive, &moved(&key, file)), &key, content)?;
            }
            Ok(Outputs::from([
                ("files".to_owned(), json!(before.files.len())),
                ("archive".to_owned(), json!(archive.full(&place(&key)?))),
            ]))
        })
        .await
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let (folders, key, before) = (Folders::of(target)?, target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop| {
            let (temp, archive) = folders.open(stop)?;
            for OldFile { file, content, .. } in &before.files {
                let there = moved(&key, file);
                let is_there = archive.file(&there)?.is_some() && hash(&archive, &there)? == *content;
                if !is_there || temp.look(file)?.is_some() {
                    return Ok(Verified::NotDone(format!("{file} is not moved")));
                }
            }
            Ok(Verified::Done)
        })
        .await
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let (folders, key, before) = (Folders::of(target)?, target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop| {
            let (temp, archive) = folders.open(stop)?;
            for OldFile { file, content, .. } in &before.files {
                let there = moved(&key, file);
                archive.remove_own(&aside::new(&key, &there))?;
                if archive.file(&there)?.is_some() {
                    relocate((&archive, &there), (&temp, file), &key, content)?;
                }
            }
            aside::tidy(&archive, &key)?;
            aside::remove_empty_folders(&archive, &place(&key)?)
        })
        .await
    }
}

struct Folders {
    temp: String,
    archive: String,
}

impl Folders {
    fn of(target: &ActionTarget) -> Result<Self, ActionError> {
        let text = |key| target.setting(key).map(str::to_owned);
        Ok(Self { temp: text("temp_path")?, archive: text("temp_archive_path")? })
    }

    fn open(&self, stop: &Stop) -> Result<(Root, Root), ActionError> {
        let temp = Root::open("setting temp_path", Path::new(&self.temp), stop)?;
        Ok((temp, Root::open("setting temp_archive_path", Path::new(&self.archive), stop)?))
    }
}

fn place(key: &str) -> Result<Relative, ActionError> {
    Relative::parse(&aside::name_of(key)).map_err(ActionError::internal)
}

fn moved(key: &str, file: &Relative) -> Relative {
    file.below(&aside::name_of(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::file::testing::{Proof, arguments, component, put_old, target};
    use crate::action::{Action as _, ActionErrorKind, Erased};
    use serde_json::Value;
    use std::os::unix::fs::symlink;

    const ACTION: &Erased<MoveFiles> = &Erased::new();

    fn fixture() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["temp/a/b", "moved", "store"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        put_old(&dir.path().join("temp/old.tmp"), b"old", 10);
        put_old(&dir.path().join("temp/a/b/older.tmp"), b"older", 20);
        put_old(&dir.path().join("temp/new.tmp"), b"new", 1);
        put_old(&dir.path().join("store/record"), b"record", 99);
        symlink(dir.path().join("store"), dir.path().join("temp/link")).unwrap();
        dir
    }

    fn proof<'a>(dir: &'a Path, temp: &str, archive: &str, json: Value) -> Proof<'a> {
        let text = |part: &str| dir.join(part).display().to_string();
        let host = [("temp_path", text(temp)), ("temp_archive_path", text(archive))];
        let store = component("store-1", ComponentKind::DocumentStore, &[("path", text("store"))]);
        let target = target(&[component("host", ComponentKind::Host, &host), store]);
        Proof { action: ACTION, arguments: arguments(json), target, folder: dir }
    }

    #[tokio::test]
    async fn old_files_move_and_come_back() {
        let dir = fixture();
        let proof = proof(dir.path(), "temp", "moved", json!({}));
        let before = proof.holds().await;
        assert_eq!(before["files"].as_array().unwrap().len(), 2, "nothing that a link leads to: {before:#}");
        let outputs = ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
        let moved = Path::new(outputs["archive"].as_str().unwrap()).join("a/b/older.tmp");
        assert_eq!(std::fs::read(moved).unwrap(), b"older");
    }

    #[tokio::test]
    async fn records_are_never_temporary() {
        let dir = fixture();
        for (temp, archive, json, kind) in [
            ("store", "moved", json!({}), ActionErrorKind::Configuration),
            ("temp/link", "moved", json!({}), ActionErrorKind::Configuration),
            ("temp", "temp/a", json!({}), ActionErrorKind::Configuration),
            ("temp", "moved", json!({"older_than_days": 0}), ActionErrorKind::Configuration),
            ("temp", "moved", json!({"older_than_days": 30}), ActionErrorKind::Precondition),
            ("temp", "moved", json!({"other_volume": true}), ActionErrorKind::Precondition),
            ("../..", "moved", json!({"path": "/etc"}), ActionErrorKind::Configuration),
        ] {
            assert_eq!(proof(dir.path(), temp, archive, json).is_refused().await.kind, kind, "{temp} {archive}");
        }
    }
}
