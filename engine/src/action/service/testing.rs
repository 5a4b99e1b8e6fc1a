//! A service that is a file, behind a script that keeps the command contract.

use crate::action::testing::{Trial, target};
use domain::deployment::{Component, ComponentKind};
use private_servers::testing::test_folder;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// `state` and `since` are files; each verb that changes something leaves a line in `told`.
const SCRIPT: &str = r#"#!/bin/sh
set -eu
cd "$1"
[ "$2" = status ] || echo "$2" >> told
[ ! -e "fails-$2" ] || { echo "it fails" >&2; exit 3; }
if [ -e "hangs-$2" ]; then sleep 600 & echo $! > child; wait; fi
case "$2" in
start | restart) echo running > state; echo "2026-01-02T00:00:0$(grep -c . told)Z" > since ;;
stop) echo stopped > state ;;
esac
printf '{"state":"%s","since":"%s"}\n' "$(cat state)" "$(cat since)"
"#;

/// The service.
pub(super) struct Script {
    folder: tempfile::TempDir,
    guard: RefCell<String>,
}

impl Script {
    pub(super) fn new(state: &str) -> Self {
        let folder = test_folder();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("script", SCRIPT);
        write("state", state);
        write("since", "2026-01-01T00:00:00Z");
        write("told", "");
        Self { folder, guard: RefCell::new("1".to_owned()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn guard(&self, seconds: &str) {
        seconds.clone_into(&mut self.guard.borrow_mut());
    }

    pub(super) fn fails(&self, verb: &str) {
        std::fs::write(self.path(&format!("fails-{verb}")), "").unwrap();
    }

    pub(super) fn hangs(&self, verb: &str) {
        std::fs::write(self.path(&format!("hangs-{verb}")), "").unwrap();
    }

    pub(super) fn told(&self, verb: &str) -> usize {
        std::fs::read_to_string(self.path("told")).unwrap().lines().filter(|line| *line == verb).count()
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests write the arguments in place")]
    pub(super) fn trial(&self, action: &'static str, arguments: Value) -> Trial {
        let command = json!(["/bin/sh", self.path("script"), self.folder.path()]).to_string();
        let settings = [
            ("service_command", command.clone()),
            ("service_command_render", command),
            ("service_guard_s", self.guard.borrow().clone()),
        ];
        let component = Component {
            name: "web".parse().unwrap(),
            kind: ComponentKind::WebTier,
            settings: settings.map(|(key, value)| (key.to_owned(), value)).into(),
            secrets: BTreeMap::new(),
            labels: BTreeMap::new(),
        };
        Trial::new(action, &arguments, target(&BTreeMap::from([(component.name.clone(), component)]), "web"))
    }

    pub(super) async fn until_told(&self, verb: &str) {
        let begin = Instant::now();
        while self.told(verb) == 0 || !self.path("child").exists() {
            assert!(begin.elapsed() < Duration::from_secs(30), "{verb} was never told");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The process that the script had started in the background.
    pub(super) async fn until_child_is_gone(&self) {
        let pid = std::fs::read_to_string(self.path("child")).unwrap();
        let proc = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
        let begin = Instant::now();
        // A zombie that nobody has waited for is gone as well.
        while std::fs::read_to_string(&proc).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(begin.elapsed() < Duration::from_secs(30), "the script's child lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
