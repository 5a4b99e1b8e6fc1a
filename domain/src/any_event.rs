//! Any aggregate's event: for readers of the whole log.

use crate::deployment::DeploymentEvent;
use crate::diagnostic_run::RunEvent;
use crate::emergency_stop::EmergencyStopEvent;
use crate::finding::FindingEvent;
use crate::policy::PolicyEvent;
use crate::remediation::RemediationEvent;

/// The aggregate type of deployments, as stored.
pub const DEPLOYMENT: &str = "Deployment";
/// The aggregate type of diagnostic runs, as stored.
pub const DIAGNOSTIC_RUN: &str = "DiagnosticRun";
/// The aggregate type of findings, as stored.
pub const FINDING: &str = "Finding";
/// The aggregate type of remediations, as stored.
pub const REMEDIATION: &str = "Remediation";
/// The aggregate type of policies, as stored.
pub const POLICY: &str = "Policy";
/// The aggregate type of emergency stops, as stored.
pub const EMERGENCY_STOP: &str = "EmergencyStop";

/// An event of whichever aggregate.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyEvent {
    /// Of a deployment.
    Deployment(DeploymentEvent),
    /// Of a run.
    Run(RunEvent),
    /// Of a finding.
    Finding(FindingEvent),
    /// Of a remediation.
    Remediation(RemediationEvent),
    /// Of a policy.
    Policy(PolicyEvent),
    /// Of an emergency stop.
    EmergencyStop(EmergencyStopEvent),
}

/// Why a stored event could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No aggregate of ours has this type.
    #[error("unknown aggregate type {0:?}")]
    UnknownAggregate(String),
    /// The payload is not what this version of the platform understands.
    #[error("payload of {aggregate_type} does not decode")]
    Payload {
        /// The aggregate's type.
        aggregate_type: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

impl AnyEvent {
    /// Decodes a (current-version) payload by its aggregate type.
    pub fn decode(aggregate_type: &str, payload: &serde_json::value::RawValue) -> Result<Self, DecodeError> {
        let text = payload.get();
        let decoded = match aggregate_type {
            DEPLOYMENT => serde_json::from_str(text).map(Self::Deployment),
            DIAGNOSTIC_RUN => serde_json::from_str(text).map(Self::Run),
            FINDING => serde_json::from_str(text).map(Self::Finding),
            REMEDIATION => serde_json::from_str(text).map(Self::Remediation),
            POLICY => serde_json::from_str(text).map(Self::Policy),
            EMERGENCY_STOP => serde_json::from_str(text).map(Self::EmergencyStop),
            other => return Err(DecodeError::UnknownAggregate(other.to_owned())),
        };
        decoded.map_err(|source| DecodeError::Payload { aggregate_type: aggregate_type.to_owned(), source })
    }
}
