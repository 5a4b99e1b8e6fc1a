//! `store.mend-permissions`: gives the owner of a store's folders the rights back that a store needs.
//!
//! It adds the owner's own rights, or sets the modes that the component names; it never opens a folder to everybody,
//! and never makes a stored file writable: the product keeps them read-only.

use super::place::Place;
use crate::action::file::{Facts, Relative, Root, blocking};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// The most folders whose modes are mended at once.
const ENTRIES_MAX: usize = 20_000;
const FOLDER_NEEDS: u32 = 0o700;
const FILE_NEEDS: u32 = 0o400;

/// See the module.
pub struct MendPermissions;

/// What it is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// One folder or file below the store's folder; the store's own folders where absent.
    #[serde(default)]
    path: Option<Relative>,
}

/// What it reads before: only what it would change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Below the store's root; none: the root itself.
    path: Option<Relative>,
    mode: u32,
    wanted: u32,
}

impl Act for MendPermissions {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "store.mend-permissions",
        version: 1,
        title: "Give the folders of a document store the permissions that it needs",
        components: &[ComponentKind::DocumentStore],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(2),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let (place, path) = (Place::of(target)?, parameters.path.clone());
        let wanted = Wanted { folder: mode_setting(target, "folder_mode", FOLDER_NEEDS)? };
        blocking(target, move |stop| {
            let root = place.root(stop)?;
            let entries = match &path {
                Some(path) => one(&root, &place.file(path), wanted)?,
                None => folders(&root, &place, wanted)?,
            };
            if entries.is_empty() {
                return Err(ActionError::precondition(
                    "the permissions are as they should be: the account, its groups or the share are the cause",
                ));
            }
            Ok(State { entries })
        })
        .await
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let change = |entry: &Entry| {
            let subject = entry.path.as_ref().map_or_else(|| "(the store's root)".to_owned(), ToString::to_string);
            let (from, to) = (octal(entry.mode), octal(entry.wanted));
            Change {
                summary: format!("set the permissions of {subject} from {from} to {to}"),
                subject,
                from: Some(json!(from)),
                to: Some(json!(to)),
            }
        };
        before.entries.iter().map(change).collect()
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { stores: 1, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        set_all(target, before, |entry| (entry.wanted, entry.mode), false).await.map(|()| Outputs::new())
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let (place, before) = (Place::of(target)?, before.clone());
        blocking(target, move |stop| {
            let root = place.root(stop)?;
            for entry in &before.entries {
                let found = look(&root, entry.path.as_ref())?;
                if found.mode != entry.wanted {
                    let path = entry.path.as_ref().map_or("the store's root", Relative::as_str);
                    return Ok(Verified::NotDone(format!("the permissions of {path} are {}", octal(found.mode))));
                }
            }
            Ok(Verified::Done)
        })
        .await
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        // The deepest first: afterwards nothing below could be changed any more.
        set_all(target, before, |entry| (entry.mode, entry.wanted), true).await
    }
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// What folders must have, exactly; or none, and then they get what they lack.
    folder: Option<u32>,
}

impl Wanted {
    fn of(self, facts: &Facts) -> u32 {
        match self.folder {
            _ if facts.is_file => facts.mode | FILE_NEEDS,
            None => facts.mode | FOLDER_NEEDS,
            Some(mode) => mode,
        }
    }
}

/// A mode from a setting, in octal; refused where it lacks what is needed or lets everybody write.
fn mode_setting(target: &ActionTarget, key: &str, needs: u32) -> Result<Option<u32>, ActionError> {
    let Some(text) = target.optional(key) else { return Ok(None) };
    let mode = u32::from_str_radix(text.trim(), 8).ok().filter(|mode| *mode <= 0o7777);
    match mode {
        Some(mode) if mode & needs == needs && mode & 0o002 == 0 => Ok(Some(mode)),
        _ => Err(ActionError::configuration(format!(
            "setting {key} is {text:?}: it must be octal, give the owner {needs:04o} and not let everybody write"
        ))),
    }
}

/// From the root down to the store's folder, and the folders in it.
fn folders(root: &Root, place: &Place, wanted: Wanted) -> Result<Vec<Entry>, ActionError> {
    let inner = Relative::parse(&place.inner).map_err(ActionError::configuration)?;
    let own = root.look_at_itself()?;
    let mut entries = Vec::new();
    let mut take = |path: Option<Relative>, facts: &Facts| {
        let wanted = wanted.of(facts);
        if wanted != facts.mode {
            entries.push(Entry { path, mode: facts.mode, wanted });
        }
    };
    take(None, &own);
    for folder in inner.parents().into_iter().chain([inner.clone()]) {
        take(Some(folder.clone()), &look(root, Some(&folder))?);
    }
    for (name, facts) in root.list(Some(&inner))? {
        if let (true, Ok(name)) = (facts.is_folder, Relative::parse(&name)) {
            take(Some(name.below(&place.inner)), &facts);
        }
    }
    if entries.len() > ENTRIES_MAX {
        return Err(ActionError::precondition(format!("more than {ENTRIES_MAX} folders are concerned")));
    }
    Ok(entries)
}

fn one(root: &Root, path: &Relative, wanted: Wanted) -> Result<Vec<Entry>, ActionError> {
    let facts = look(root, Some(path))?;
    if !facts.is_folder && (!facts.is_file || facts.links != 1) {
        return Err(ActionError::precondition(format!("{path} is neither a folder nor a file with one name")));
    }
    let wanted = wanted.of(&facts);
    let entry = Entry { path: Some(path.clone()), mode: facts.mode, wanted };
    Ok(Some(entry).filter(|entry| entry.mode != entry.wanted).into_iter().collect())
}

fn look(root: &Root, path: Option<&Relative>) -> Result<Facts, ActionError> {
    let Some(path) = path else { return root.look_at_itself() };
    root.look(path)?.ok_or_else(|| ActionError::precondition(format!("{} is not there", root.full(path))))
}

/// Sets each entry to what `wanted` gives first; what is neither that nor the second was changed by somebody else.
async fn set_all(
    target: &ActionTarget,
    before: &State,
    wanted: fn(&Entry) -> (u32, u32),
    reverse: bool,
) -> Result<(), ActionError> {
    let (place, mut entries) = (Place::of(target)?, before.entries.clone());
    if reverse {
        entries.reverse();
    }
    blocking(target, move |stop| {
        let root = place.root(stop)?;
        for entry in &entries {
            let (to, from) = wanted(entry);
            let found = look(&root, entry.path.as_ref())?.mode;
            if found == to {
                continue;
            }
            if found != from {
                let path = entry.path.as_ref().map_or("the store's root", Relative::as_str);
                return Err(ActionError::precondition(format!(
                    "the permissions of {path} are {}: somebody else changed them",
                    octal(found)
                )));
            }
            root.set_mode(entry.path.as_ref(), to)?;
        }
        Ok(())
    })
    .await
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::file::testing::{Proof, arguments, component, target};
    use crate::action::{ActionErrorKind, Erased};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn store() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["000", "001"] {
            std::fs::create_dir_all(dir.path().join("D1/1").join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("D1/1/000/a.pdf"), "a").unwrap();
        dir
    }

    fn proof<'a>(dir: &'a Path, path: Option<&str>, mode: Option<&str>) -> Proof<'a> {
        let mut settings =
            vec![("path", dir.display().to_string()), ("dbid", "D1".to_owned()), ("store_number", "1".to_owned())];
        settings.extend(mode.map(|mode| ("folder_mode", mode.to_owned())));
        let store = component("store-1", ComponentKind::DocumentStore, &settings);
        Proof {
            action: const { &Erased::<MendPermissions>::new() },
            arguments: arguments(path.map_or_else(|| json!({}), |path| json!({"path": path}))),
            target: target(&[store]),
            folder: dir,
        }
    }

    #[tokio::test]
    async fn the_owners_rights_come_back_and_go_again() {
        let dir = store();
        for path in ["D1/1/001", "D1/1", "D1", ""] {
            set(&dir.path().join(path), 0o555);
        }
        let before = proof(dir.path(), None, None).holds().await;
        assert_eq!(before["entries"].as_array().unwrap().len(), 4);
        assert_eq!(before["entries"][0], json!({"path": null, "mode": 0o555, "wanted": 0o755}));
    }

    #[tokio::test]
    async fn the_mode_that_is_named_is_set_and_a_dangerous_one_is_not() {
        let dir = store();
        let before = proof(dir.path(), None, Some("2770")).holds().await;
        assert!(before["entries"].as_array().unwrap().iter().all(|entry| entry["wanted"] == 0o2770));
        for wrong in ["0777", "0500", "rwx", "77777"] {
            let error = proof(dir.path(), None, Some(wrong)).is_refused().await;
            assert_eq!(error.kind, ActionErrorKind::Configuration, "{wrong}: {error}");
        }
    }

    #[tokio::test]
    async fn a_file_becomes_readable_and_never_writable() {
        let dir = store();
        set(&dir.path().join("D1/1/000/a.pdf"), 0o000);
        let before = proof(dir.path(), Some("000/a.pdf"), None).holds().await;
        assert_eq!(before["entries"][0]["wanted"], 0o400);
    }

    #[tokio::test]
    async fn what_is_well_or_reached_by_a_link_is_left_alone() {
        let (dir, outside) = (store(), tempfile::tempdir().unwrap());
        symlink(outside.path(), dir.path().join("D1/1/link")).unwrap();
        let refused = proof(dir.path(), None, None).is_refused().await;
        assert!(refused.message.contains("as they should be"), "{refused}");
        for path in ["link", "link/x", "000/none"] {
            assert_eq!(proof(dir.path(), Some(path), None).is_refused().await.kind, ActionErrorKind::Precondition);
        }
        let hostile = proof(dir.path(), Some("../../etc"), None);
        assert_eq!(hostile.is_refused().await.kind, ActionErrorKind::Configuration);
    }
}
