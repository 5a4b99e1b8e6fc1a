//! What a cached row or answer rests on, and what an event changes: the same words for both.

use uuid::Uuid;

/// What a cached row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A deployment.
    Deployment,
    /// A run.
    Run,
    /// A finding.
    Finding,
}

impl Kind {
    /// As in the keys of the shared cache.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Run => "run",
            Self::Finding => "finding",
        }
    }

    /// One row of this kind.
    pub const fn topic(self, id: Uuid) -> Topic {
        match self {
            Self::Deployment => Topic::Deployment(id),
            Self::Run => Topic::Run(id),
            Self::Finding => Topic::Finding(id),
        }
    }
}

/// Something that events change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One deployment, its health included.
    Deployment(Uuid),
    /// One run, its results included.
    Run(Uuid),
    /// One finding, its history included.
    Finding(Uuid),
    /// The list of all deployments.
    Deployments,
    /// The list of all runs.
    Runs,
    /// The list of all findings.
    Findings,
    /// The runs of a deployment, their results included.
    RunsOf(Uuid),
    /// The findings of a deployment.
    FindingsOf(Uuid),
    /// Which findings a run saw; how these are is theirs.
    SeenBy(Uuid),
}

/// How many classes of topics there are.
pub(super) const CLASSES: usize = 9;

impl Topic {
    /// Which class it is of.
    pub(super) const fn class(self) -> usize {
        match self {
            Self::Deployment(_) => 0,
            Self::Run(_) => 1,
            Self::Finding(_) => 2,
            Self::Deployments => 3,
            Self::Runs => 4,
            Self::Findings => 5,
            Self::RunsOf(_) => 6,
            Self::FindingsOf(_) => 7,
            Self::SeenBy(_) => 8,
        }
    }

    /// Whether it is the only one of its class.
    pub(super) const fn is_everything(self) -> bool {
        matches!(self, Self::Deployments | Self::Runs | Self::Findings)
    }
}
