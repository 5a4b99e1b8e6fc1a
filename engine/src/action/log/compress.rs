//! `log.compress`: compresses old log files where they lie, and moves the originals to an archive folder.
//!
//! A compressed file counts only once it has been decompressed again to the very same content. Audit logs are never
//! touched: they are evidence.

use crate::action::file::clearing::{self, Asked, Clearing, Place, State};
use crate::action::file::{Content, OldFile, Relative, Root, aside, compress, decompressed_hash, relocate};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct Compress;

static CLEARING: Clearing = Clearing {
    from: "logs",
    to: "archive_path",
    files: "log file",
    files_max: 1_000,
    done: "compressed and archived",
    // One that has a compressed file beside it was somebody else's to see to.
    is_wanted: |root, file| Ok(is_log(file.name()) && root.look(&packed(file)?)?.is_none()),
    take: pack,
    is_taken: is_packed,
    put_back: unpack,
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
    #[schemars(range(min = 1, max = 1000))]
    max_files: u32,
    /// Refuse where both folders lie on one volume: then no room is gained.
    #[serde(default)]
    other_volume: bool,
}

fn days() -> u32 {
    7
}

fn files() -> u32 {
    200
}

impl Act for Compress {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "log.compress",
        version: 1,
        title: "Compress old log files, and move the originals to an archive",
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
            summary: format!("compress {file} ({} bytes, of {}) and archive it", content.bytes, modified.date_naive()),
            subject: file.to_string(),
            from: Some(json!(content)),
            to: Some(json!(format!("{file}.zst"))),
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

/// `x.log`, `x.txt`, `x.out`, and those with a number behind. The product's audit logs are none: they are evidence.
fn is_log(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.rsplit_once('.').filter(|(_, end)| end.chars().all(|c| c.is_ascii_digit())).map(|(stem, _)| stem);
    let stem = stem.unwrap_or(&name);
    [".log", ".txt", ".out"].iter().any(|end| stem.ends_with(end)) && !name.starts_with("date_")
}

fn packed(file: &Relative) -> Result<Relative, ActionError> {
    Relative::parse(&format!("{file}.zst")).map_err(ActionError::precondition)
}

fn pack(place: &Place, old: &OldFile) -> Result<(), ActionError> {
    let Place { from: logs, to: archive, key } = place;
    let OldFile { file, content, .. } = old;
    let packed = packed(file)?;
    if logs.file(&packed)?.is_none() {
        let facts = logs.file(file)?;
        let facts = facts.ok_or_else(|| ActionError::precondition(format!("{file} is gone")))?;
        let making = aside::new(key, &packed);
        aside::make_room(logs, &making)?;
        if compress(logs, file, &making, &facts)? != *content {
            return Err(ActionError::precondition(format!("{file} has changed since it was looked at")));
        }
        must_hold(logs, &making, content)?;
        logs.move_to(&making, logs, &packed)?;
    } else {
        must_hold(logs, &packed, content)?;
    }
    relocate((logs, file), (archive, &place.of(file)), key, content)
}

fn is_packed(place: &Place, old: &OldFile) -> Result<bool, ActionError> {
    let Place { from: logs, to: archive, .. } = place;
    let OldFile { file, content, .. } = old;
    let packed = packed(file)?;
    let is_packed = logs.file(&packed)?.is_some() && decompressed_hash(logs, &packed)? == *content;
    Ok(is_packed && logs.look(file)?.is_none() && archive.file(&place.of(file))?.is_some())
}

fn must_hold(logs: &Root, packed: &Relative, content: &Content) -> Result<(), ActionError> {
    if decompressed_hash(logs, packed)? == *content {
        return Ok(());
    }
    Err(ActionError::target(format!("{} does not decompress to the original", logs.full(packed))))
}

fn unpack(place: &Place, old: &OldFile) -> Result<(), ActionError> {
    let Place { from: logs, to: archive, key } = place;
    let OldFile { file, content, .. } = old;
    let (packed, kept) = (packed(file)?, place.of(file));
    logs.remove_own(&aside::new(key, &packed))?;
    archive.remove_own(&aside::new(key, &kept))?;
    if archive.file(&kept)?.is_some() {
        relocate((archive, &kept), (logs, file), key, content)?;
    }
    if logs.file(&packed)?.is_some() {
        // Ours only if it holds the original; and only while that is in its place.
        must_hold(logs, &packed, content)?;
        if logs.file(file)?.is_none() {
            return Err(ActionError::target(format!("{file} is gone: its compressed file stays")));
        }
        logs.remove_own(&packed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::file::testing::{Proof, arguments, component, put_old, target};
    use crate::action::{Action as _, ActionErrorKind, Erased};
    use domain::deployment::{Component, ComponentKind};
    use serde_json::Value;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    const ACTION: &Erased<Compress> = &Erased::new();

    fn fixture() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["logs/ldap", "archive", "audit"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let text = "12:00:00:000 1 D1 1 1 Error: the same again\n".repeat(500);
        put_old(&dir.path().join("logs/TRIMWorkgroup_2026_11_01.log"), text.as_bytes(), 23);
        put_old(&dir.path().join("logs/ldap/log-file.txt.3"), b"short", 10);
        put_old(&dir.path().join("logs/TRIMWorkgroup_2026_11_24.log"), b"today", 0);
        put_old(&dir.path().join("logs/Date_2026-11-01.log"), b"audit", 23);
        put_old(&dir.path().join("logs/data.bin"), b"no log", 23);
        dir
    }

    fn server(dir: &Path, logs: &str) -> Component {
        let text = |part: &str| dir.join(part).display().to_string();
        let settings = [("logs", text(logs)), ("archive_path", text("archive")), ("audit_logs", text("audit"))];
        component("wgs-1", ComponentKind::WorkgroupServer, &settings)
    }

    fn proof<'a>(dir: &'a Path, logs: &str, json: Value) -> Proof<'a> {
        Proof { action: ACTION, arguments: arguments(json), target: target(&[server(dir, logs)]), folder: dir }
    }

    #[tokio::test]
    async fn old_logs_are_compressed_and_come_back_whole() {
        let dir = fixture();
        let proof = proof(dir.path(), "logs", json!({"older_than_days": 7}));
        let before = proof.holds().await;
        let chosen: Vec<&str> =
            before["files"].as_array().unwrap().iter().map(|file| file["file"].as_str().unwrap()).collect();
        assert_eq!(chosen, ["TRIMWorkgroup_2026_11_01.log", "ldap/log-file.txt.3"]);
        ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
        let packed = dir.path().join("logs/TRIMWorkgroup_2026_11_01.log.zst");
        assert!(packed.metadata().unwrap().len() < 1_000);
        assert!(dir.path().join("logs/TRIMWorkgroup_2026_11_24.log").exists());
        assert!(!dir.path().join("logs/.cmdiag").exists());
    }

    #[tokio::test]
    async fn evidence_and_others_files_are_left_alone() {
        let dir = fixture();
        put_old(&dir.path().join("logs/ldap/log-file.txt.3.zst"), b"theirs", 9);
        put_old(&dir.path().join("audit/old.log"), b"audit", 30);
        symlink(dir.path().join("audit"), dir.path().join("logs/link")).unwrap();
        symlink(dir.path().join("audit/old.log"), dir.path().join("logs/old.log")).unwrap();
        let state = proof(dir.path(), "logs", json!({})).capture().await.unwrap();
        assert_eq!(state["files"].as_array().unwrap().len(), 1, "{state:#}");
        for (logs, json, kind) in [
            ("audit", json!({}), ActionErrorKind::Configuration),
            ("logs", json!({"older_than_days": 0}), ActionErrorKind::Configuration),
            ("logs", json!({"max_files": 1001}), ActionErrorKind::Configuration),
            ("logs", json!({"older_than_days": 30}), ActionErrorKind::Precondition),
            ("logs", json!({"other_volume": true}), ActionErrorKind::Precondition),
            ("none", json!({}), ActionErrorKind::Configuration),
        ] {
            assert_eq!(proof(dir.path(), logs, json).is_refused().await.kind, kind, "{logs}");
        }
    }

    #[tokio::test]
    async fn a_log_that_was_written_to_meanwhile_stays() {
        let dir = fixture();
        let proof = proof(dir.path(), "logs", json!({"max_files": 1}));
        let before = proof.capture().await.unwrap();
        let log = dir.path().join("logs/TRIMWorkgroup_2026_11_01.log");
        std::fs::write(&log, "new").unwrap();
        assert!(ACTION.apply(&proof.arguments, &proof.target, &before).await.is_err());
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "new");
        ACTION.undo(&proof.arguments, &proof.target, &before).await.unwrap();
        assert!(!dir.path().join("logs/.cmdiag").exists());
    }

    #[test]
    fn knows_a_log_by_its_name() {
        let logs = ["a.log", "A.LOG", "log-file.txt", "log-file.txt.12", "x.out"];
        assert!(logs.iter().all(|name| is_log(name)));
        let others = ["a.log.zst", "Date_2026-11-01.log", "a.pdf", "log", "a.log.old", ".log.x"];
        assert!(others.iter().all(|name| !is_log(name)));
    }
}
