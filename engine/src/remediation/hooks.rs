//! Faults at chosen points, for tests: a phase that fails or is done twice, a process that dies.

use crate::action::host::PhaseName;
use domain::StepName;

/// A point at which something can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point<'a> {
    /// Before a phase of a step.
    Before(PhaseName, &'a StepName),
    /// After it, before its outcome is recorded.
    After(PhaseName, &'a StepName),
    /// Before a command of a remediation is sent, by its purpose.
    Sending(&'a str),
    /// After it was executed.
    Sent(&'a str),
}

/// What happens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    GoOn,
    /// The phase fails (at [`Point::Before`] without having been done, at [`Point::After`] although it was).
    Fail(String),
    /// The phase is done twice (at [`Point::Before`]).
    Twice,
    /// Nothing more happens in this remediation, as if the process had died here.
    Freeze,
}

/// Says what happens at each point.
pub trait Hooks: Send + Sync + 'static {
    /// What happens at this point.
    fn at(&self, point: Point<'_>) -> Verdict;
}
