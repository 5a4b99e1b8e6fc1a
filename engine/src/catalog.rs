//! The packs as the run planner sees them.

use crate::check::PROFILES;
use crate::pack::Packs;
use command_side::{CheckCatalog, PlanError};
use domain::CheckCode;
use domain::deployment::DeploymentState;
use domain::diagnostic_run::{CheckKey, PlannedCheck};
use domain::finding::Hysteresis;
use std::time::Duration;

/// How much longer than its probe a check may take: to be judged, and to say itself that its probe took too long.
const BEYOND_PROBE: Duration = Duration::from_secs(2);

impl CheckCatalog for Packs {
    fn plan(
        &self,
        deployment: &DeploymentState,
        profile: &str,
        only: &[CheckCode],
    ) -> Result<Vec<PlannedCheck>, PlanError> {
        if !PROFILES.contains(&profile) {
            return Err(PlanError::UnknownProfile(profile.to_owned()));
        }
        if let Some(unknown) = only.iter().find(|code| self.check(code).is_none()) {
            return Err(PlanError::UnknownCheck(unknown.clone()));
        }
        let wanted = |code: &CheckCode| only.is_empty() || only.contains(code);
        let mut planned = Vec::new();
        for check in self.checks().filter(|check| check.in_profile(profile) && wanted(&check.code)) {
            for component in deployment.components.values() {
                if self.applies(check, component.kind, &deployment.product_version) {
                    planned.push(PlannedCheck {
                        key: CheckKey { check: check.code.clone(), component: component.name.clone() },
                        version: check.version.clone(),
                        timeout_ms: (check.probe.timeout + BEYOND_PROBE).as_millis() as u32,
                    });
                }
            }
        }
        Ok(planned)
    }

    fn hysteresis(&self, check: &CheckCode) -> Hysteresis {
        self.check(check).map_or_else(Hysteresis::default, |check| check.hysteresis)
    }

    fn has_remedy(&self, check: &CheckCode) -> bool {
        !self.runbooks_for(check).is_empty()
    }
}
