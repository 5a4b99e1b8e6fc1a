//! Actions change things, and know how to take it back.
//!
//! One file an action: a type that implements [`Act`], with typed parameters and a typed picture of the state that it
//! touches. [`list`] names them all. Whoever drives them sees [`Action`], the same behind JSON: parameters and
//! before-images are stored in events, and cross to the process in which an action runs.
//!
//! The order is always capture, preview, (approval), capture again, apply, verify; and undo, then capture once more:
//! its hash must be that of the first.

mod erased;
mod error;
mod file;
mod http;
mod spec;
mod sql;
mod target;

pub(crate) mod isolated;

pub mod certificate;
pub mod config;
pub mod dataset;
pub mod demo;
pub mod event_queue;
pub mod host;
pub mod index;
pub mod list;
pub mod log;
pub mod postgres;
pub mod redis;
pub mod service;
pub mod store;
pub mod temp;

#[cfg(test)]
mod testing;

pub use erased::{Action, Arguments, Erased, Phase};
pub use error::{ActionError, ActionErrorKind};
pub use isolated::HostProgram;
pub use spec::{ActionSpec, Isolation, OutputKind, OutputSpec, UndoSpec, no_undo};
pub use target::{ActionTarget, setting_of};

use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::future::Future;

/// What an action says of whether it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// It is.
    Done,
    /// It is not, and why one can tell.
    NotDone(String),
    /// It leaves nothing by which one could tell, and why doing it again does no harm. Whoever has just done it takes
    /// it for done; whoever takes over does it again.
    NoTrace(String),
}

/// One action: one subject, one file.
///
/// - `capture` reads what the action is going to touch: only what matters for putting it back, nothing that moves by
///   itself (no moments, no counters), so that the hash is the same before and after an undo.
/// - `apply` is repeatable: whoever takes over after a crash calls it again where `verify` says that it is not done.
/// - `undo` puts back what the image says; it may be called again, and where nothing was applied.
/// - None of them deletes or disposes of records, runs a shell string, or goes on where it could not measure.
pub trait Act: Send + Sync + 'static {
    /// What it is told. Unknown keys are refused (`#[serde(deny_unknown_fields)]`).
    type Parameters: DeserializeOwned + JsonSchema + Send + Sync;
    /// What it reads before, and puts back.
    type State: Serialize + DeserializeOwned + Send + Sync;

    /// What it says of itself.
    const SPEC: ActionSpec;

    /// Reads the state. [`ActionErrorKind::Precondition`] where the action must not go on.
    fn capture(
        parameters: &Self::Parameters,
        target: &ActionTarget,
    ) -> impl Future<Output = Result<Self::State, ActionError>> + Send;

    /// What it would change: pure, over the state.
    fn preview(parameters: &Self::Parameters, before: &Self::State) -> Vec<Change>;

    /// How much it touches: pure, over the state.
    fn blast(parameters: &Self::Parameters, before: &Self::State) -> BlastRadius;

    /// Changes the target.
    fn apply(
        parameters: &Self::Parameters,
        target: &ActionTarget,
        before: &Self::State,
    ) -> impl Future<Output = Result<Outputs, ActionError>> + Send;

    /// Whether it is done, read from the target.
    fn verify(
        parameters: &Self::Parameters,
        target: &ActionTarget,
        before: &Self::State,
    ) -> impl Future<Output = Result<Verified, ActionError>> + Send;

    /// Puts back what was there. Never called where [`ActionSpec::undo`] says that there is nothing to take back or
    /// that it can not be.
    fn undo(
        parameters: &Self::Parameters,
        target: &ActionTarget,
        before: &Self::State,
    ) -> impl Future<Output = Result<(), ActionError>> + Send;
}
