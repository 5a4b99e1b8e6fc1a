//! Two servers and the administrators' file, for the tests of the actions on configurations.

use crate::action::ActionTarget;
use crate::action::file::testing::{component, target};
use domain::deployment::{Component, ComponentKind};
use std::path::Path;

pub(super) struct Fixture(tempfile::TempDir);

/// A configuration in the shape of the product's.
pub(super) fn text(version: i64, admin_version: i64, extra: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<TRIMConfig version=\"{version}\" guid=\"g-{version}\" adminVersion=\"{admin_version}\">\n  \
         <!-- by hand -->\n  <WorkgroupServer name=\"wgs-1\"/><WorkgroupServer name='wgs-2'/>\n  \
         <Dataset id=\"D1\" name=\"A &amp; B\"/>\n  <Processor type=\"AuditLog\" status=\"Processing\" runOn=\"wgs-1\"/>\n  \
         <Processor type=\"AuditLog\" status=\"Processing\" runOn=\"wgs-2\"/>{extra}\n</TRIMConfig>\n"
    )
}

impl Fixture {
    /// Both servers and the administrators have version 42.
    pub(super) fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        for of in ["wgs-1", "wgs-2", "admin"] {
            std::fs::create_dir(fixture.folder().join(of)).unwrap();
            fixture.put(of, &text(42, 42, ""));
        }
        fixture
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn put(&self, of: &str, text: &str) {
        std::fs::write(self.folder().join(of).join("TRIMConfig.tcfg"), text).unwrap();
    }

    pub(super) fn read(&self, of: &str) -> String {
        std::fs::read_to_string(self.folder().join(of).join("TRIMConfig.tcfg")).unwrap()
    }

    /// With one of the components as the target: `wgs-1`, `wgs-2` or `events`.
    pub(super) fn target(&self, of: &str) -> ActionTarget {
        let path = |of: &str| self.folder().join(of).join("TRIMConfig.tcfg").display().to_string();
        let server = |name: &str| {
            let settings = [("config", path(name)), ("admin_config", path("admin"))];
            component(name, ComponentKind::WorkgroupServer, &settings)
        };
        let events = component("events", ComponentKind::EventProcessor, &[]);
        let mut all: Vec<Component> = vec![server("wgs-1"), server("wgs-2"), events];
        all.sort_by_key(|component| component.name.as_str() != of);
        target(&all)
    }
}
