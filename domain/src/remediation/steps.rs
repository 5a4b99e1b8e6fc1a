//! What a remediation's steps allow next.

use super::{Plan, PlannedStep, RemediationRefusal, RemediationState, StepPhase, StepState};
use crate::ids::StepName;
use std::collections::BTreeSet;

impl Plan {
    /// The steps that this one comes after, directly or not.
    pub(super) fn before(&self, step: &StepName) -> BTreeSet<StepName> {
        let mut found = BTreeSet::new();
        let mut open = vec![step];
        while let Some(planned) = open.pop().and_then(|name| self.step(name)) {
            for name in &planned.after {
                if found.insert(name.clone()) {
                    open.push(name);
                }
            }
        }
        found
    }
}

impl RemediationState {
    /// A step as planned and as far as it has come.
    pub(super) fn require_step(&self, name: &StepName) -> Result<(&PlannedStep, &StepState), RemediationRefusal> {
        let planned = self.require_plan()?.step(name);
        let unknown = || RemediationRefusal::StepUnknown { step: name.clone() };
        let step = self.steps.get(name).ok_or_else(unknown)?;
        Ok((planned.ok_or_else(unknown)?, step))
    }

    /// Whether all that a step comes after has succeeded.
    pub(super) fn is_ready(&self, planned: &PlannedStep) -> bool {
        let has_succeeded = |name| self.steps.get(name).is_some_and(|step| step.phase == StepPhase::Succeeded);
        planned.after.iter().all(has_succeeded)
    }

    /// Whether a step may be changing something.
    pub(super) fn any_under_way(&self) -> bool {
        self.steps.values().any(|step| step.phase == StepPhase::Captured)
    }

    /// Whether every step has succeeded.
    pub(super) fn all_succeeded(&self) -> bool {
        self.steps.values().all(|step| step.phase == StepPhase::Succeeded)
    }

    /// Whether something may have been changed.
    pub(super) fn any_captured(&self) -> bool {
        self.steps.values().any(|step| step.image.is_some())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{remediation_plan, step_name};
    use std::collections::BTreeSet;

    #[test]
    fn a_step_comes_after_all_that_those_before_it_come_after() {
        let mut plan = remediation_plan();
        plan.steps[2].after = BTreeSet::from([step_name("restore-file")]);
        assert_eq!(plan.before(&plan.steps[0].name), BTreeSet::new());
        assert_eq!(
            plan.before(&plan.steps[2].name),
            BTreeSet::from([step_name("find-copy"), step_name("restore-file")])
        );
    }
}
