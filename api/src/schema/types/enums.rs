//! The schema's enums: the domain's and the views' own, under their own names.

use async_graphql::Enum;

/// What a check says of what it measured. What could not be measured is UNKNOWN, never OK.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "domain::Outcome")]
pub enum Outcome {
    /// Measured, and within bounds.
    Ok,
    /// Measured, and to be looked at.
    Warning,
    /// Measured, and to be acted upon now.
    Critical,
    /// Could not be measured.
    Unknown,
}

/// Where a run is in its life.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "query_side::RunStatus")]
pub enum RunStatus {
    /// Asked for.
    Requested,
    /// Its checks are fixed.
    Planned,
    /// Under way.
    Running,
    /// All its checks have ended.
    Completed,
    /// Stopped.
    Cancelled,
    /// Its deadline passed with checks still open.
    TimedOut,
    /// It could not be planned or carried on.
    Failed,
}

/// Where a finding is in its life.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "query_side::FindingStatus")]
pub enum FindingStatus {
    /// Seen bad, not often enough in a row to be called a problem.
    Suspected,
    /// A problem that nobody has taken on.
    Open,
    /// A problem that somebody has taken on.
    Acknowledged,
    /// Gone.
    Resolved,
    /// Said to be no problem.
    FalsePositive,
}

/// How soon a run's work is taken up, other things equal. Waiting work ages: none starves.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "domain::diagnostic_run::Priority")]
pub enum Priority {
    /// Background work.
    Low,
    /// Scheduled runs.
    Normal,
    /// A person waits.
    High,
}

/// What kind of part a component is. Decides which checks apply to it.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "domain::deployment::ComponentKind")]
pub enum ComponentKind {
    /// The dataset's SQL database.
    DatasetDatabase,
    /// A workgroup server: its port, its configuration file and its logs.
    WorkgroupServer,
    /// A document store: a folder of files and its rows in the dataset.
    DocumentStore,
    /// The content index (Elasticsearch).
    ContentIndex,
    /// ServiceAPI, Web Client or WebDrawer.
    WebTier,
    /// Event processors, by their logs and counters.
    EventProcessor,
    /// A machine.
    Host,
    /// A Redis server.
    Cache,
}

/// Where a secret is kept. The API never carries a secret.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In an environment variable of the process that probes.
    Env,
    /// In a file readable by the process that probes.
    File,
}

/// Whose events a stream holds.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
pub enum StreamType {
    /// A deployment's.
    Deployment,
    /// A diagnostic run's.
    DiagnosticRun,
    /// A finding's.
    Finding,
    /// A remediation's.
    Remediation,
    /// A policy's.
    Policy,
    /// An emergency stop's.
    EmergencyStop,
    /// The one of the keys that sign the history.
    AuditKeys,
    /// A subject's of personal data.
    Subject,
}

impl StreamType {
    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => domain::any_event::DEPLOYMENT,
            Self::DiagnosticRun => domain::any_event::DIAGNOSTIC_RUN,
            Self::Finding => domain::any_event::FINDING,
            Self::Remediation => domain::any_event::REMEDIATION,
            Self::Policy => domain::any_event::POLICY,
            Self::EmergencyStop => domain::any_event::EMERGENCY_STOP,
            Self::Subject => domain::any_event::SUBJECT,
            Self::AuditKeys => domain::any_event::AUDIT_KEYS,
        }
    }
}

/// How a part of the platform is.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "crate::health::HealthStatus")]
pub enum HealthStatus {
    /// It works.
    Pass,
    /// It works, and somebody should look.
    Warn,
    /// It does not work.
    Fail,
}

/// Whether the platform can undo a remedy.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
pub enum Reversible {
    /// It can.
    Yes,
    /// It can not.
    No,
    /// What is wrong undoes itself.
    #[graphql(name = "SELF")]
    Itself,
    /// There is no remedy: the check only reports.
    None,
}

impl Reversible {
    /// From a pack's word; what is not known counts as not reversible.
    pub fn of(word: &str) -> Self {
        match word {
            "yes" => Self::Yes,
            "self" => Self::Itself,
            "none" => Self::None,
            _ => Self::No,
        }
    }
}
