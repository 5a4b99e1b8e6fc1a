//! Runs a runbook's own cases.

use super::{Expected, ExpectedStep, Runbook, RunbookCase, Situation};
use crate::pack::{CaseFailure, Packs};
use domain::remediation::{Argument, Plan, PlannedStep};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Runs a runbook's own cases and tells which fail.
pub fn run_runbook_cases(runbook: &Runbook, packs: &Packs) -> Vec<CaseFailure> {
    let failed = |case: &RunbookCase, message: String| CaseFailure {
        file: runbook.file.clone(),
        line: case.line,
        case: case.name.clone(),
        message,
    };
    let run = |case: &RunbookCase| run_case(runbook, packs, case);
    runbook.cases.iter().flat_map(|case| run(case).into_iter().map(move |message| failed(case, message))).collect()
}

fn run_case(runbook: &Runbook, packs: &Packs, case: &RunbookCase) -> Vec<String> {
    let mut components = case.components.clone();
    let kind = runbook.component.or_else(|| packs.check(&case.check).map(|check| check.component));
    if let (Some(own), Some(kind)) = (components.get_mut(&case.component), kind) {
        own.kind = kind;
    }
    let situation = Situation {
        check: &case.check,
        component: &case.component,
        resource: &case.resource,
        severity: case.severity,
        row: case.row.as_ref(),
        components: &components,
    };
    match (runbook.plan(packs, &situation), &case.expected) {
        (Ok(plan), Expected::Steps(steps)) => differences(&plan, steps),
        (Err(refused), Expected::Refused(text)) if refused.0.contains(text.as_str()) => Vec::new(),
        (Err(refused), Expected::Refused(text)) => vec![format!("was refused because {refused}, and not {text:?}")],
        (Err(refused), Expected::Steps(_)) => vec![format!("was refused: {refused}")],
        (Ok(plan), Expected::Refused(_)) => {
            vec![format!("was not refused but planned: {}", names(&plan.steps).join(", "))]
        }
    }
}

fn names(steps: &[PlannedStep]) -> Vec<&str> {
    steps.iter().map(|step| step.name.as_str()).collect()
}

fn differences(plan: &Plan, expected: &[ExpectedStep]) -> Vec<String> {
    let wanted: Vec<&str> = expected.iter().map(|step| step.name.as_str()).collect();
    if names(&plan.steps) != wanted {
        return vec![format!("planned {:?} and not {wanted:?}", names(&plan.steps))];
    }
    plan.steps.iter().zip(expected).flat_map(|(step, wanted)| step_differences(step, wanted)).collect()
}

fn step_differences(step: &PlannedStep, wanted: &ExpectedStep) -> Vec<String> {
    let mut messages = Vec::new();
    let mut compare = |what: &str, is: Value, wanted: Option<Value>| {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
            messages.push(format!("step {}: {what} is {is} and not {wanted}", step.name));
        }
    };
    let after: BTreeSet<&str> = step.after.iter().map(domain::StepName::as_str).collect();
    compare("action", json!(step.action), wanted.action.as_ref().map(|text| json!(text)));
    compare("component", json!(step.component), wanted.component.as_ref().map(|text| json!(text)));
    compare("after", json!(after), wanted.after.as_ref().map(|names| json!(names)));
    let told: BTreeMap<&String, Value> = step.arguments.iter().map(|(name, one)| (name, as_written(one))).collect();
    compare("with", json!(told), wanted.with.as_ref().map(|with| json!(with)));
    messages
}

fn as_written(argument: &Argument) -> Value {
    match argument {
        Argument::Value(value) => value.clone(),
        Argument::OutputOf { step, output } => json!({"output_of": format!("{step}.{output}")}),
    }
}
