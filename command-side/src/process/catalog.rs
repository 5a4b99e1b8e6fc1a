//! What process managers need to know of the check packs.

use domain::CheckCode;
use domain::deployment::DeploymentState;
use domain::diagnostic_run::PlannedCheck;
use domain::finding::Hysteresis;

/// Why a run can not be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No pack has such a profile.
    #[error("there is no profile {0:?}")]
    UnknownProfile(String),
    /// No pack has such a check.
    #[error("there is no check {0}")]
    UnknownCheck(CheckCode),
    /// Another reason, in words.
    #[error("{0}")]
    Other(String),
}

/// The checks that there are.
pub trait CheckCatalog: Send + Sync + 'static {
    /// The checks of a profile that apply to a deployment, narrowed to `only` where it is not empty.
    fn plan(
        &self,
        deployment: &DeploymentState,
        profile: &str,
        only: &[CheckCode],
    ) -> Result<Vec<PlannedCheck>, PlanError>;

    /// How many observations open and resolve a finding of this check.
    fn hysteresis(&self, check: &CheckCode) -> Hysteresis;

    /// Whether a runbook remedies findings of this check.
    fn has_remedy(&self, _check: &CheckCode) -> bool {
        false
    }
}
