//! Plans of any shape.

use domain::remediation::{Plan, Undoing};
use domain::testing::{remediation_plan, step_name};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// How a step of a made-up plan is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Restorable,
    Nothing,
    Impossible,
}

/// A step that comes after those before it of which the bit is set.
fn plan_of(shape: &[(Kind, u16)]) -> Plan {
    let mut plan = remediation_plan();
    let sample = plan.steps.remove(2);
    plan.steps = shape
        .iter()
        .enumerate()
        .map(|(place, (kind, after))| {
            let mut step = sample.clone();
            step.name = step_name(&format!("step-{place}"));
            let before = (0..place).filter(|earlier| after >> earlier & 1 == 1);
            step.after = before.map(|earlier| step_name(&format!("step-{earlier}"))).collect::<BTreeSet<_>>();
            step.undo = match kind {
                Kind::Restorable => Undoing::FromBeforeImage,
                Kind::Nothing => Undoing::Nothing { reason: "it is no state".to_owned() },
                Kind::Impossible => Undoing::Impossible { reason: "it is gone".to_owned() },
            };
            step
        })
        .collect();
    plan
}

pub fn any_plan() -> impl Strategy<Value = Plan> {
    let kind = prop_oneof![
        8 => Just(Kind::Restorable),
        2 => Just(Kind::Nothing),
        1 => Just(Kind::Impossible),
    ];
    prop::collection::vec((kind, any::<u16>()), 1..8).prop_map(|shape| plan_of(&shape))
}
