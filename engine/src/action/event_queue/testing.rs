//! A small lab with its connector.

use crate::action::testing::{Trial, components, target};
use lab::{Lab, LabOptions, break_fault};
use private_servers::testing::test_folder;
use serde_json::Value;

/// The lab.
pub(crate) struct Site {
    lab: Lab,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let folder = test_folder();
        let lab = Lab::up(LabOptions::small(folder.path())).await.unwrap();
        Self { lab, _folder: folder }
    }

    pub(crate) async fn breaks(&self, fault: &str) {
        break_fault(self.lab.handle(), fault).await.unwrap();
    }

    pub(crate) fn on(&self, component: &str, action: &'static str, arguments: &Value) -> Trial {
        Trial::new(action, arguments, target(&components(self.lab.description()), component))
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests write the arguments in place")]
    pub(crate) fn trial(&self, action: &'static str, arguments: Value) -> Trial {
        self.on("events", action, &arguments)
    }

    /// Of the component with the address.
    pub(crate) async fn refuses_without_user(&self, action: &'static str, arguments: Value) {
        let mut all = components(self.lab.description());
        let web = all.get_mut(&"web".parse::<domain::ComponentName>().unwrap()).unwrap();
        web.settings.remove("action_user");
        let error = Trial::new(action, &arguments, target(&all, "events")).capture().await.unwrap_err();
        assert!(error.message.contains("action_user"), "{error}");
    }
}
