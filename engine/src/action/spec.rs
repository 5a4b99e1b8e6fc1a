//! What an action says of itself.

use domain::deployment::ComponentKind;
use domain::remediation::Undoing;
use std::time::Duration;

/// What an action says of itself: shown in lists and pages, and looked at when planning.
#[derive(Debug, Clone, Copy)]
pub struct ActionSpec {
    /// Its name, `family.verb-noun`: `postgres.analyze`.
    pub name: &'static str,
    /// Counts up where what it does changes: statistics and approvals hold for one version.
    pub version: u32,
    /// One line, in the imperative: `Gather statistics of a table anew`.
    pub title: &'static str,
    /// The kinds of components that it can be applied to.
    pub components: &'static [ComponentKind],
    /// What it gives to later steps.
    pub outputs: &'static [OutputSpec],
    /// Whether it can be taken back.
    pub undo: UndoSpec,
    /// It never runs without a person's approval.
    pub always_approve: bool,
    /// Where it runs.
    pub isolation: Isolation,
    /// How long one of its phases may take, where the runbook says nothing else.
    pub deadline: Duration,
}

/// Whether an action can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoSpec {
    /// From its before-image.
    FromBeforeImage,
    /// There is nothing to take back, and why: what it changed is not state.
    Nothing(&'static str),
    /// It can not be taken back, and why.
    Impossible(&'static str),
}

/// An action that can not be taken back says why.
pub const fn no_undo(reason: &'static str) -> UndoSpec {
    UndoSpec::Impossible(reason)
}

impl From<UndoSpec> for Undoing {
    fn from(spec: UndoSpec) -> Self {
        match spec {
            UndoSpec::FromBeforeImage => Self::FromBeforeImage,
            UndoSpec::Nothing(reason) => Self::Nothing { reason: reason.to_owned() },
            UndoSpec::Impossible(reason) => Self::Impossible { reason: reason.to_owned() },
        }
    }
}

/// Where an action runs: whatever it is, its end is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// In this process, over a connection of its own, which is cancelled and closed at the deadline.
    Connection,
    /// In a process of its own, in a process group of its own, with bounded memory and processor time; killed at the
    /// deadline.
    Process,
}

/// One output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputSpec {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: OutputKind,
}

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A list of texts.
    Texts,
}
