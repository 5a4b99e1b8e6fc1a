//! Any aggregate's event: for readers of the whole log.

use crate::audit_keys::AuditKeysEvent;
use crate::deployment::DeploymentEvent;
use crate::diagnostic_run::RunEvent;
use crate::emergency_stop::EmergencyStopEvent;
use crate::finding::FindingEvent;
use crate::policy::PolicyEvent;
use crate::projection_control::ProjectionControlEvent;
use crate::remediation::RemediationEvent;
use crate::subject::SubjectEvent;

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
/// The aggregate type of the keys that sign the history, as stored.
pub const AUDIT_KEYS: &str = "AuditKeys";
/// The aggregate type of the decisions about projections, as stored.
pub const PROJECTION_CONTROL: &str = "ProjectionControl";
/// The aggregate type of subjects of personal data, as stored.
pub const SUBJECT: &str = "Subject";

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
    /// Of the keys that sign the history.
    AuditKeys(AuditKeysEvent),
    /// Of the decisions about a projection.
    ProjectionControl(ProjectionControlEvent),
    /// Of a subject of personal data.
    Subject(SubjectEvent),
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
    /// Whether [`Self::decode`] knows events of this aggregate type.
    pub fn is_known(aggregate_type: &str) -> bool {
        matches!(
            aggregate_type,
            DEPLOYMENT
                | DIAGNOSTIC_RUN
                | FINDING
                | REMEDIATION
                | POLICY
                | EMERGENCY_STOP
                | AUDIT_KEYS
                | PROJECTION_CONTROL
                | SUBJECT
        )
    }

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
            AUDIT_KEYS => serde_json::from_str(text).map(Self::AuditKeys),
            PROJECTION_CONTROL => serde_json::from_str(text).map(Self::ProjectionControl),
            SUBJECT => serde_json::from_str(text).map(Self::Subject),
            other => return Err(DecodeError::UnknownAggregate(other.to_owned())),
        };
        decoded.map_err(|source| DecodeError::Payload { aggregate_type: aggregate_type.to_owned(), source })
    }
}
