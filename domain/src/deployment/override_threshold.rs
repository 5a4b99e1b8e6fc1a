//! Uses another Nagios range for one threshold of one check. Nothing to do where the same ranges are in force.

use super::{DeploymentEvent, DeploymentRefusal, DeploymentState};
use crate::decider::Context;
use crate::ids::CheckCode;
use crate::nagios_range::NagiosRange;
use crate::text::{REASON_CHARS_MAX, required};

const OVERRIDES_MAX: usize = 1_000;
const THRESHOLD_CHARS_MAX: usize = 64;

pub(super) fn decide(
    state: &DeploymentState,
    (check, threshold): (CheckCode, String),
    (warning, critical): (Option<String>, Option<String>),
    reason: String,
    context: &Context,
) -> Result<Vec<DeploymentEvent>, DeploymentRefusal> {
    state.require_active()?;
    required("the threshold's name", &threshold, THRESHOLD_CHARS_MAX)?;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    if warning.is_none() && critical.is_none() {
        return Err(DeploymentRefusal::OverrideEmpty);
    }
    for range in [&warning, &critical].into_iter().flatten() {
        range.parse::<NagiosRange>()?;
    }
    match state.threshold_override(&check, &threshold) {
        Some(current) if current.warning == warning && current.critical == critical => return Ok(Vec::new()),
        None if state.overrides.values().map(std::collections::BTreeMap::len).sum::<usize>() >= OVERRIDES_MAX => {
            return Err(DeploymentRefusal::TooManyOverrides { max: OVERRIDES_MAX });
        }
        Some(_) | None => {}
    }
    let at = context.now;
    Ok(vec![DeploymentEvent::ThresholdOverridden { check, threshold, warning, critical, reason, at }])
}

#[cfg(test)]
mod tests {
    use crate::deployment::{Deployment, DeploymentCommand, DeploymentEvent};
    use crate::testing::{DEPLOYMENT, check, deployment, given, refuses, registered, start};

    fn with(threshold: &str, warning: Option<&str>, critical: Option<&str>, reason: &str) -> DeploymentCommand {
        DeploymentCommand::OverrideThreshold {
            check: check("CM-STORE-NEAR-CAPACITY"),
            threshold: threshold.to_owned(),
            warning: warning.map(str::to_owned),
            critical: critical.map(str::to_owned),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn it_is_overridden() {
        let command = with("used_percent", Some("70"), None, "small disk");
        let state =
            given::<Deployment>(DEPLOYMENT.0, deployment()).when(command.clone()).then_types(&["ThresholdOverridden"]);
        let ranges = state.threshold_override(&check("CM-STORE-NEAR-CAPACITY"), "used_percent").unwrap();
        assert_eq!((ranges.warning.as_deref(), ranges.critical.as_deref()), (Some("70"), None));
        given::<Deployment>(DEPLOYMENT.0, deployment()).and(command.clone()).when(command).then_nothing();
    }

    #[test]
    fn refusals() {
        let retired = DeploymentEvent::DeploymentRetired { reason: "moved".to_owned(), at: start() };
        let full = (0..1_000).map(|number| DeploymentEvent::ThresholdOverridden {
            check: check("CM-OTHER"),
            threshold: format!("t{number}"),
            warning: Some("1".to_owned()),
            critical: None,
            reason: "small".to_owned(),
            at: start(),
        });
        let good = || with("used_percent", Some("70"), Some("80"), "small disk");
        refuses::<Deployment>(
            DEPLOYMENT.0,
            [
                ("unknown", vec![], good(), "deployment_unknown"),
                ("retired", vec![registered(), retired], good(), "deployment_retired"),
                ("no threshold", deployment(), with("", Some("70"), None, "small disk"), "text_empty"),
                ("no reason", deployment(), with("used_percent", Some("70"), None, " "), "text_empty"),
                ("no range", deployment(), with("used_percent", None, None, "small disk"), "override_empty"),
                ("not a range", deployment(), with("used_percent", Some("lots"), None, "x"), "range_malformed"),
                ("reversed", deployment(), with("used_percent", None, Some("9:1"), "x"), "range_malformed"),
                ("full", deployment().into_iter().chain(full).collect(), good(), "too_many_overrides"),
            ],
        );
    }
}
