//! What every dry run must be, and what it comes to.

use super::size::{fits, value_without_nul, without_nul};
use super::{BlastRadius, Plan, RemediationRefusal, StepPreview};
use crate::ids::{ComponentName, ContentHash};
use crate::text::{REASON_CHARS_MAX, bounded};
use std::collections::BTreeMap;

/// The most changes that one preview lists; the rest is counted.
pub const CHANGES_MAX: usize = 100;
/// The largest dry run, in bytes of JSON.
pub const DRY_RUN_BYTES_MAX: usize = 512 * 1_024;
const CHANGE_CHARS_MAX: usize = 4_000;

/// Refuses previews that are not one for each step, are out of bounds, or leave open what the target is like.
pub(super) fn check_previews(plan: &Plan, previews: &[StepPreview]) -> Result<(), RemediationRefusal> {
    if !plan.steps.iter().map(|step| &step.name).eq(previews.iter().map(|preview| &preview.step)) {
        return Err(RemediationRefusal::PreviewsMismatch);
    }
    if !fits(&previews, DRY_RUN_BYTES_MAX) {
        return Err(RemediationRefusal::DryRunTooLarge { max: DRY_RUN_BYTES_MAX });
    }
    for (step, preview) in plan.steps.iter().zip(previews) {
        if preview.changes.len() > CHANGES_MAX {
            return Err(RemediationRefusal::TooManyChanges { step: step.name.clone(), max: CHANGES_MAX });
        }
        for change in &preview.changes {
            bounded("a change's summary", &change.summary, CHANGE_CHARS_MAX)?;
            bounded("a change's subject", &change.subject, CHANGE_CHARS_MAX)?;
        }
        let undetermined = preview.undetermined.as_deref().unwrap_or_default();
        bounded("why a change is not known yet", undetermined, REASON_CHARS_MAX)?;
        // Only what an earlier step gives can be unknown before that step; and it must be said why.
        if preview.state.is_none() && (step.after.is_empty() || undetermined.trim().is_empty()) {
            return Err(RemediationRefusal::StateMissing { step: step.name.clone() });
        }
    }
    Ok(())
}

/// Replaces NUL characters, which a target's values may hold and the views can not.
pub(super) fn make_storable(previews: &mut [StepPreview]) {
    for preview in previews {
        if let Some(reason) = &mut preview.undetermined {
            without_nul(reason);
        }
        for change in &mut preview.changes {
            without_nul(&mut change.summary);
            without_nul(&mut change.subject);
            [&mut change.from, &mut change.to].into_iter().flatten().for_each(value_without_nul);
        }
    }
}

/// How much the whole plan touches. Its steps work on one deployment, and several of them may work on the same stores:
/// these are counted once for each component.
pub(super) fn blast(plan: &Plan, previews: &[StepPreview]) -> BlastRadius {
    let mut stores: BTreeMap<&ComponentName, u64> = BTreeMap::new();
    let mut sum = BlastRadius::default();
    for (step, preview) in plan.steps.iter().zip(previews) {
        sum = sum.plus(preview.blast);
        let of_component = stores.entry(&step.component).or_default();
        *of_component = preview.blast.stores.max(*of_component);
    }
    let stores = stores.into_values().fold(0, u64::saturating_add);
    BlastRadius { deployments: sum.deployments.min(1), stores, ..sum }
}

/// The hash of all that an approval is bound to.
pub(super) fn binding(
    plan_hash: &ContentHash,
    previews: &[StepPreview],
    check_version: &str,
) -> Result<ContentHash, RemediationRefusal> {
    let states: Vec<Option<&ContentHash>> = previews.iter().map(|preview| preview.state.as_ref()).collect();
    ContentHash::of(&(plan_hash, states, check_version)).map_err(|_| RemediationRefusal::Unhashable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::RefusalCode;
    use crate::testing::{content_hash, remediation_plan, remediation_previews};
    use serde_json::json;

    fn changed(change: impl FnOnce(&mut Vec<StepPreview>)) -> Vec<StepPreview> {
        let mut previews = remediation_previews();
        change(&mut previews);
        previews
    }

    #[test]
    fn previews_are_judged() {
        let undetermined = |step: usize, why: &str| {
            changed(|previews| {
                previews[step].state = None;
                previews[step].undetermined = Some(why.to_owned());
            })
        };
        let long = |previews: &mut Vec<StepPreview>| previews[0].changes[0].summary = "x".repeat(4_001);
        let crowd = |previews: &mut Vec<StepPreview>| {
            previews[0].changes = vec![previews[0].changes[0].clone(); CHANGES_MAX + 1];
        };
        let huge = |previews: &mut Vec<StepPreview>| {
            previews[0].changes[0].to = Some(json!("x".repeat(DRY_RUN_BYTES_MAX)));
        };
        let rows: [(&str, Vec<StepPreview>, Option<RefusalCode>); 11] = [
            ("as it is", remediation_previews(), None),
            ("not known yet", undetermined(1, "it depends on the copy"), None),
            ("not said why", undetermined(1, " "), Some("state_missing")),
            ("not read", undetermined(0, "no route to host"), Some("state_missing")),
            ("none", vec![], Some("previews_mismatch")),
            ("one missing", changed(|previews| drop(previews.pop())), Some("previews_mismatch")),
            ("one more", changed(|previews| previews.push(previews[0].clone())), Some("previews_mismatch")),
            ("another order", changed(|previews| previews.reverse()), Some("previews_mismatch")),
            ("a long text", changed(long), Some("text_too_long")),
            ("many changes", changed(crowd), Some("too_many_changes")),
            ("too large", changed(huge), Some("dry_run_too_large")),
        ];
        for (what, previews, code) in rows {
            let refusal = check_previews(&remediation_plan(), &previews).err();
            assert_eq!(refusal.map(|refusal| refusal.code()), code, "{what}");
        }
    }

    #[test]
    fn a_deployment_and_a_store_are_counted_once() {
        let mut plan = remediation_plan();
        let sum = blast(&plan, &remediation_previews());
        assert_eq!(sum, BlastRadius { deployments: 1, stores: 1, documents: 3, users: 0, bytes: 36 });
        plan.steps[2].component = "store-2".parse().unwrap();
        assert_eq!(blast(&plan, &remediation_previews()), BlastRadius { stores: 2, ..sum });
        let idle = changed(|previews| previews.iter_mut().for_each(|preview| preview.blast = BlastRadius::default()));
        assert_eq!(blast(&plan, &idle), BlastRadius::default());
        let endless = changed(|previews| previews.iter_mut().for_each(|preview| preview.blast.bytes = u64::MAX));
        assert_eq!(blast(&plan, &endless).bytes, u64::MAX);
    }

    #[test]
    fn an_approval_is_bound_to_plan_states_and_check() {
        let hash = content_hash("plan");
        let bound = binding(&hash, &remediation_previews(), "1").unwrap();
        assert_eq!(bound, binding(&hash, &remediation_previews(), "1").unwrap());
        let drifted = changed(|previews| previews[2].state = Some(content_hash("drifted")));
        let unknown = changed(|previews| previews[1].state = None);
        for (what, other) in [
            ("plan", binding(&content_hash("another plan"), &remediation_previews(), "1")),
            ("state", binding(&hash, &drifted, "1")),
            ("unknown state", binding(&hash, &unknown, "1")),
            ("check", binding(&hash, &remediation_previews(), "2")),
        ] {
            assert_ne!(bound, other.unwrap(), "{what}");
        }
    }
}
