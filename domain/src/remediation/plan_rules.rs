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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::RefusalCode;
    use crate::testing::{check_key, problem, remediation_plan, step_name};
    use serde_json::json;

    fn changed(change: impl FnOnce(&mut Plan)) -> Plan {
        let mut plan = remediation_plan();
        change(&mut plan);
        plan
    }

    fn output_of(step: &str, output: &str) -> Argument {
        Argument::OutputOf { step: step_name(step), output: output.to_owned() }
    }

    fn judge(rows: impl IntoIterator<Item = (&'static str, Plan, Option<RefusalCode>)>) {
        for (what, plan, code) in rows {
            assert_eq!(check_plan(&plan, &problem()).err().map(|refusal| refusal.code()), code, "{what}");
        }
    }

    #[test]
    fn the_order_of_steps_is_judged() {
        let after = |plan: &mut Plan, step: usize, name: &str| {
            plan.steps[step].after.insert(step_name(name));
        };
        let many = |count: usize| {
            changed(|plan| {
                plan.steps.truncate(1);
                for number in 1..count {
                    let mut step = plan.steps[0].clone();
                    step.name = step_name(&format!("step-{number}"));
                    plan.steps.push(step);
                }
            })
        };
        judge([
            ("as it is", remediation_plan(), None),
            ("a chain", changed(|plan| after(plan, 2, "restore-file")), None),
            ("as many as may be", many(STEPS_MAX), None),
            ("no step", changed(|plan| plan.steps.clear()), Some("step_count_out_of_bounds")),
            ("too many", many(STEPS_MAX + 1), Some("step_count_out_of_bounds")),
            ("twice", changed(|plan| plan.steps[2].name = step_name("find-copy")), Some("step_repeated")),
            ("after nothing known", changed(|plan| after(plan, 2, "elsewhere")), Some("step_unknown")),
            ("after itself", changed(|plan| after(plan, 0, "find-copy")), Some("step_out_of_order")),
            ("a circle", changed(|plan| after(plan, 0, "restore-file")), Some("step_out_of_order")),
            ("before what it comes after", changed(|plan| plan.steps.reverse()), Some("step_out_of_order")),
        ]);
    }

    #[test]
    fn what_steps_are_told_is_judged() {
        let tell = |step: usize, argument: Argument| {
            changed(|plan| {
                plan.steps[step].arguments.insert("told".to_owned(), argument);
            })
        };
        let far = changed(|plan| {
            plan.steps[2].after.insert(step_name("restore-file"));
            plan.steps[2].arguments.insert("told".to_owned(), output_of("find-copy", "copy"));
        });
        let crowded = changed(|plan| {
            let many = (0..=ARGUMENTS_MAX).map(|number| (format!("a{number}"), Argument::Value(json!(number))));
            plan.steps[0].arguments = many.collect();
        });
        let nameless = changed(|plan| {
            plan.steps[0].arguments.insert(" ".to_owned(), Argument::Value(json!(1)));
        });
        judge([
            ("of one before the one before", far, None),
            ("beside it", tell(2, output_of("find-copy", "copy")), Some("output_unreachable")),
            ("its own", tell(1, output_of("restore-file", "x")), Some("output_unreachable")),
            ("of nobody", tell(1, output_of("elsewhere", "x")), Some("output_unreachable")),
            ("of a later one", tell(0, output_of("recount", "x")), Some("output_unreachable")),
            ("a long name", tell(1, output_of("find-copy", &"x".repeat(129))), Some("text_too_long")),
            ("too much", crowded, Some("too_many_arguments")),
            ("without a name", nameless, Some("text_empty")),
            ("a book", tell(0, Argument::Value(json!("x".repeat(PLAN_BYTES_MAX)))), Some("plan_too_large")),
        ]);
    }

    #[test]
    fn the_rest_of_a_plan_is_judged() {
        let nothing = |reason: &str| Undoing::Nothing { reason: reason.to_owned() };
        let other = changed(|plan| plan.post_check.checks[0] = check_key(1));
        let elsewhere =
            changed(|plan| plan.post_check.checks[0].component = check_key(1).check.as_str().parse().unwrap());
        let many = changed(|plan| plan.post_check.checks.extend((0..16).map(check_key)));
        let twice = changed(|plan| plan.post_check.checks.extend([check_key(1), check_key(1)]));
        judge([
            ("no version", changed(|plan| plan.version.clear()), Some("text_empty")),
            ("no title", changed(|plan| plan.title.clear()), Some("text_empty")),
            ("a step without a title", changed(|plan| plan.steps[1].title.clear()), Some("text_empty")),
            ("no time", changed(|plan| plan.steps[1].deadline_ms = 0), Some("deadline_out_of_bounds")),
            ("for ever", changed(|plan| plan.steps[1].deadline_ms = u32::MAX), Some("deadline_out_of_bounds")),
            ("not said why", changed(|plan| plan.steps[0].undo = nothing(" ")), Some("text_empty")),
            ("no post-check", changed(|plan| plan.post_check.checks.clear()), Some("post_check_misses_finding")),
            ("another post-check", other, Some("post_check_misses_finding")),
            ("of another component", elsewhere, Some("post_check_misses_finding")),
            ("many post-checks", many, Some("post_check_out_of_bounds")),
            ("one of them twice", twice, Some("post_check_out_of_bounds")),
            ("a long wait", changed(|plan| plan.post_check.within_ms = u32::MAX), Some("post_check_out_of_bounds")),
            ("others too", changed(|plan| plan.post_check.checks.extend((0..15).map(check_key))), None),
        ]);
    }
}
