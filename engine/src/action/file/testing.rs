//! A proof for actions on files: whatever is repeated, left out or cut off, the end is as if nothing had been.

use super::stop::LOOKS;
use crate::action::{Action, ActionError, ActionErrorKind, ActionTarget, Arguments, Verified};
use domain::deployment::{Component, ComponentKind};
use domain::{ComponentName, ContentHash, DeploymentId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// More looks than any action on a few files has.
const LOOKS_MAX: i64 = 2_000;

/// A component with these settings.
pub(crate) fn component(name: &str, kind: ComponentKind, settings: &[(&str, String)]) -> Component {
    Component {
        name: name.parse().unwrap(),
        kind,
        settings: settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        secrets: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

/// A target: the first of the components.
pub(crate) fn target(components: &[Component]) -> ActionTarget {
    let all: BTreeMap<ComponentName, Component> =
        components.iter().map(|component| (component.name.clone(), component.clone())).collect();
    ActionTarget {
        deployment: DeploymentId(uuid::Uuid::nil()),
        component: components[0].clone(),
        components: Arc::new(all),
        idempotency_key: "remediation-1:step/1".to_owned(),
        now: "2026-11-24T12:00:00Z".parse().unwrap(),
        deadline: Duration::from_secs(30),
        cancel: CancellationToken::new(),
    }
}

/// Arguments from a JSON object.
pub(crate) fn arguments(json: Value) -> Arguments {
    serde_json::from_value(json).unwrap()
}

/// All that is below a folder: path, permissions, content. What is set aside counts as well.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).min_depth(1) {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        let content = match entry.file_type() {
            kind if kind.is_file() => std::fs::read(entry.path()).unwrap(),
            kind if kind.is_symlink() => {
                std::fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes()
            }
            _ => Vec::new(),
        };
        let relative = entry.path().strip_prefix(folder).unwrap().display().to_string();
        found.insert(relative, (mode, content));
    }
    found
}

/// What is proven: an action, what it is told, and where; and the folder in which everything lies that it may touch.
pub(crate) struct Proof<'a> {
    pub action: &'a dyn Action,
    pub arguments: Arguments,
    pub target: ActionTarget,
    pub folder: &'a Path,
}

impl Proof<'_> {
    pub(crate) async fn capture(&self) -> Result<Value, ActionError> {
        self.action.capture(&self.arguments, &self.target).await
    }

    async fn apply(&self, before: &Value) -> Result<(), ActionError> {
        self.action.apply(&self.arguments, &self.target, before).await.map(drop)
    }

    async fn undo(&self, before: &Value) -> Result<(), ActionError> {
        self.action.undo(&self.arguments, &self.target, before).await
    }

    async fn is_done(&self, before: &Value) -> bool {
        self.action.verify(&self.arguments, &self.target, before).await.unwrap() == Verified::Done
    }

    async fn must_be_as_before(&self, before: &Value, tree_before: &BTreeMap<String, (u32, Vec<u8>)>, what: &str) {
        let now = self.capture().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(ContentHash::of(&now).unwrap(), ContentHash::of(before).unwrap(), "{what}: {now:#}\n{before:#}");
        let after = tree(self.folder);
        let different: Vec<&String> =
            tree_before.keys().chain(after.keys()).filter(|path| tree_before.get(*path) != after.get(*path)).collect();
        assert!(different.is_empty(), "{what}: {different:?}");
    }

    /// Undo without apply; apply twice; undo twice; and each of them cut off at every look, then gone on with or taken
    /// back. Gives the state of before.
    pub(crate) async fn holds(&self) -> Value {
        let before = self.capture().await.unwrap();
        let start = tree(self.folder);
        let (changes, _) = self.action.preview(&self.arguments, &before).unwrap();
        assert!(!changes.is_empty());
        self.undo(&before).await.unwrap();
        self.must_be_as_before(&before, &start, "undo without apply").await;
        assert!(!self.is_done(&before).await);
        for round in 0..2 {
            self.apply(&before).await.unwrap();
            assert!(self.is_done(&before).await, "round {round}");
            self.apply(&before).await.unwrap();
            assert!(self.is_done(&before).await, "applied twice");
            self.undo(&before).await.unwrap();
            self.must_be_as_before(&before, &start, "undone").await;
            self.undo(&before).await.unwrap();
            self.must_be_as_before(&before, &start, "undone twice").await;
        }
        self.cut_off(&before, &start).await;
        self.cancelled(&before, &start).await;
        before
    }

    async fn cut_off(&self, before: &Value, start: &BTreeMap<String, (u32, Vec<u8>)>) {
        for looks in 0..LOOKS_MAX {
            let whole = LOOKS.scope(looks, self.apply(before)).await.is_ok();
            self.undo(before).await.unwrap_or_else(|error| panic!("undo after {looks} looks of apply: {error}"));
            self.must_be_as_before(before, start, &format!("apply cut off after {looks} looks, then undone")).await;
            let _ = LOOKS.scope(looks, self.apply(before)).await;
            self.apply(before).await.unwrap_or_else(|error| panic!("apply after {looks} looks of apply: {error}"));
            assert!(self.is_done(before).await, "apply cut off after {looks} looks, then applied");
            let undone = LOOKS.scope(looks, self.undo(before)).await.is_ok();
            self.undo(before).await.unwrap_or_else(|error| panic!("undo after {looks} looks of undo: {error}"));
            self.must_be_as_before(before, start, &format!("undo cut off after {looks} looks, then undone")).await;
            if whole && undone {
                assert!(looks > 2, "it never looks whether it is to end");
                return;
            }
        }
        panic!("it looks more than {LOOKS_MAX} times");
    }

    async fn cancelled(&self, before: &Value, start: &BTreeMap<String, (u32, Vec<u8>)>) {
        let stopped = ActionTarget { cancel: CancellationToken::new(), ..self.target.clone() };
        stopped.cancel.cancel();
        let ended = [
            self.action.capture(&self.arguments, &stopped).await.map(drop),
            self.action.apply(&self.arguments, &stopped, before).await.map(drop),
            self.action.verify(&self.arguments, &stopped, before).await.map(drop),
            self.action.undo(&self.arguments, &stopped, before).await,
        ];
        for end in ended {
            assert_eq!(end.unwrap_err().kind, ActionErrorKind::Cancelled);
        }
        self.must_be_as_before(before, start, "cancelled").await;
    }

    /// Nothing is captured, and nothing changes: the error.
    pub(crate) async fn is_refused(&self) -> ActionError {
        let start = tree(self.folder);
        let error = self.capture().await.expect_err("it goes on");
        assert_eq!(tree(self.folder), start);
        error
    }
}

/// A file that was last changed so many days before the target's now.
pub(crate) fn put_old(path: &Path, bytes: &[u8], days: u64) {
    std::fs::write(path, bytes).unwrap();
    let now = std::time::SystemTime::from(target(&[component("x", ComponentKind::Host, &[])]).now);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(now - Duration::from_hours(24 * days)).unwrap();
}
