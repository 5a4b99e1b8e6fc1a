//! What the run planner asks of whoever knows the checks.

use domain::CheckCode;
use domain::deployment::DeploymentState;
use domain::diagnostic_run::PlannedCheck;
use domain::finding::Hysteresis;

/// Knows which checks there are. Answers from memory.
pub trait CheckCatalog: Send + Sync + 'static {
    /// The checks of a profile that apply to a deployment; `only` narrows them (empty: all of the profile).
    fn plan(
        &self,
        deployment: &DeploymentState,
        profile: &str,
        only: &[CheckCode],
    ) -> Result<Vec<PlannedCheck>, PlanError>;

    /// How often in a row a check's problem must be seen, and gone, to count.
    fn hysteresis(&self, check: &CheckCode) -> Hysteresis;
}

/// Why a run can not be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No check has this profile.
    #[error("there is no profile {0:?}")]
    UnknownProfile(String),
    /// No pack has this check.
    #[error("there is no check {0}")]
    UnknownCheck(CheckCode),
}
