//! What every plan must be.

use super::size::fits;
use super::{Argument, Plan, PlannedStep, PostCheck, Problem, RemediationRefusal, STEPS_MAX, Undoing};
use crate::ids::StepName;
use crate::text::{REASON_CHARS_MAX, bounded, required};
use std::collections::BTreeSet;

/// The most arguments of one step.
pub const ARGUMENTS_MAX: usize = 64;
/// The longest deadline of one phase of a step: a day.
pub const DEADLINE_MS_MAX: u32 = 24 * 3_600 * 1_000;
/// The most post-checks.
pub const POST_CHECKS_MAX: usize = 16;
/// The longest time that an effect may take to show: an hour.
pub const POST_CHECK_MS_MAX: u32 = 3_600 * 1_000;
/// The largest plan, in bytes of JSON.
pub const PLAN_BYTES_MAX: usize = 256 * 1_024;
const TITLE_CHARS_MAX: usize = 1_000;
const NAME_CHARS_MAX: usize = 128;
pub(super) const VERSION_CHARS_MAX: usize = 64;

/// Refuses a plan that contradicts itself, is out of bounds, or would not be checked by what raised the finding.
pub(super) fn check_plan(plan: &Plan, problem: &Problem) -> Result<(), RemediationRefusal> {
    required("the plan's version", &plan.version, VERSION_CHARS_MAX)?;
    required("the plan's title", &plan.title, TITLE_CHARS_MAX)?;
    if !(1..=STEPS_MAX).contains(&plan.steps.len()) {
        return Err(RemediationRefusal::StepCountOutOfBounds { max: STEPS_MAX });
    }
    if !fits(plan, PLAN_BYTES_MAX) {
        return Err(RemediationRefusal::PlanTooLarge { max: PLAN_BYTES_MAX });
    }
    let all: BTreeSet<&StepName> = plan.steps.iter().map(|step| &step.name).collect();
    let mut seen = BTreeSet::new();
    for step in &plan.steps {
        check_order(step, &all, &seen)?;
        if !seen.insert(&step.name) {
            return Err(RemediationRefusal::StepRepeated { step: step.name.clone() });
        }
        check_step(step)?;
        check_outputs(plan, step)?;
    }
    check_post_check(&plan.post_check, problem)
}

/// Each step stands after those that it comes after: so there is no circle.
fn check_order(
    step: &PlannedStep,
    all: &BTreeSet<&StepName>,
    seen: &BTreeSet<&StepName>,
) -> Result<(), RemediationRefusal> {
    for after in &step.after {
        if !all.contains(after) {
            return Err(RemediationRefusal::StepUnknown { step: after.clone() });
        }
        if !seen.contains(after) {
            return Err(RemediationRefusal::StepOutOfOrder { step: step.name.clone(), after: after.clone() });
        }
    }
    Ok(())
}

fn check_step(step: &PlannedStep) -> Result<(), RemediationRefusal> {
    required("a step's title", &step.title, TITLE_CHARS_MAX)?;
    if !(1..=DEADLINE_MS_MAX).contains(&step.deadline_ms) {
        return Err(RemediationRefusal::DeadlineOutOfBounds { step: step.name.clone(), max_ms: DEADLINE_MS_MAX });
    }
    if step.arguments.len() > ARGUMENTS_MAX {
        return Err(RemediationRefusal::TooManyArguments { step: step.name.clone(), max: ARGUMENTS_MAX });
    }
    for argument in step.arguments.keys() {
        required("an argument's name", argument, NAME_CHARS_MAX)?;
    }
    match &step.undo {
        Undoing::FromBeforeImage => {}
        Undoing::Nothing { reason } | Undoing::Impossible { reason } => {
            required("the reason why a step is not taken back", reason, REASON_CHARS_MAX)?;
        }
    }
    Ok(())
}

/// A step is told outputs only of steps that have surely succeeded before it starts.
fn check_outputs(plan: &Plan, step: &PlannedStep) -> Result<(), RemediationRefusal> {
    let mut before = None;
    for argument in step.arguments.values() {
        let Argument::OutputOf { step: of, output } = argument else { continue };
        bounded("an output's name", output, NAME_CHARS_MAX)?;
        if !before.get_or_insert_with(|| plan.before(&step.name)).contains(of) {
            return Err(RemediationRefusal::OutputUnreachable { step: step.name.clone(), of: of.clone() });
        }
    }
    Ok(())
}

fn check_post_check(post_check: &PostCheck, problem: &Problem) -> Result<(), RemediationRefusal> {
    let checks = &post_check.checks;
    if checks.first().is_none_or(|first| first.check != problem.check || first.component != problem.component) {
        return Err(RemediationRefusal::PostCheckMissesFinding);
    }
    let out_of_bounds = |reason| Err(RemediationRefusal::PostCheckOutOfBounds { reason });
    if checks.len() > POST_CHECKS_MAX {
        return out_of_bounds("there are too many");
    }
    if checks.iter().collect::<BTreeSet<_>>().len() != checks.len() {
        return out_of_bounds("one comes twice");
    }
    if post_check.within_ms > POST_CHECK_MS_MAX {
        return out_of_bounds("the effect may take too long to show");
    }
    Ok(())
}
