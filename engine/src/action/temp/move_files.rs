//! `temp.move-files`: moves old temporary files to another folder.
//!
//! Moved, not deleted: a program that still needs one can have it back. Folders that hold records, audit logs or
//! configurations are never taken for temporary, whatever the settings say.

use crate::action::file::clearing::{self, Asked, Clearing, Place, State};
use crate::action::file::{OldFile, aside, hash, relocate};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct MoveFiles;

static CLEARING: Clearing = Clearing {
    from: "temp_path",
    to: "temp_archive_path",
    files: "temporary file",
    files_max: 10_000,
    done: "moved",
    is_wanted: |_, _| Ok(true),
    take,
    is_taken,
    put_back,
};

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

impl Act for MoveFiles {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "temp.move-files",
        version: 1,
        title: "Move old temporary files to another folder",
        components: clearing::COMPONENTS,
        outputs: clearing::OUTPUTS,
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(20),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let Parameters { older_than_days, max_files, other_volume } = *parameters;
        CLEARING.capture(Asked { older_than_days, max_files, other_volume }, target).await
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
        before.blast()
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        CLEARING.apply(target, before).await
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        CLEARING.verify(target, before).await
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        CLEARING.undo(target, before).await
    }
}

fn take(place: &Place, old: &OldFile) -> Result<(), ActionError> {
    let there = place.of(&old.file);
    relocate((&place.from, &old.file), (&place.to, &there), &place.key, &old.content)
}

fn is_taken(place: &Place, old: &OldFile) -> Result<bool, ActionError> {
    let there = place.of(&old.file);
    let is_there = place.to.file(&there)?.is_some() && hash(&place.to, &there)? == old.content;
    Ok(is_there && place.from.look(&old.file)?.is_none())
}

fn put_back(place: &Place, old: &OldFile) -> Result<(), ActionError> {
    let there = place.of(&old.file);
    place.to.remove_own(&aside::new(&place.key, &there))?;
    if place.to.file(&there)?.is_some() {
        relocate((&place.to, &there), (&place.from, &old.file), &place.key, &old.content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::file::testing::{Proof, arguments, component, put_old, target};
    use crate::action::{Action as _, ActionErrorKind, Erased};
    use domain::deployment::ComponentKind;
    use serde_json::Value;
    use std::os::unix::fs::symlink;
    use std::path::Path;

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
