//! What the platform decides, as pure functions.
//!
//! An aggregate is a [`Decider`]: `decide` turns a state, a command and a [`Context`] into events or a refusal;
//! `evolve` folds one event into the state. Nothing here does I/O, waits, reads a clock or draws a random number: time
//! and ids arrive in the context. [`DeciderAggregate`] is the one adapter that drives a decider through
//! `cqrs_es::Aggregate`.
//!
//! Read in this order: [`decider`], [`ids`], [`outcome`], then one aggregate ([`deployment`]).

pub mod actor;
pub mod any_event;
pub mod audit_keys;
pub mod decider;
pub mod deployment;
pub mod diagnostic_run;
pub mod emergency_stop;
pub mod finding;
pub mod ids;
pub mod metadata;
pub mod nagios_range;
pub mod outcome;
pub mod personal;
pub mod policy;
pub mod projection_control;
pub mod remediation;
pub mod subject;
pub mod testing;
pub mod text;

pub use any_event::AnyEvent;
pub use decider::{Context, Decider, DeciderAggregate, DomainEvent, ExpectedStream, RefusalCode};
pub use ids::{
    ActionName, Actor, CheckCode, CommandId, ComponentName, ContentHash, CorrelationId, DeploymentId, EvidenceHash,
    FindingId, PolicyId, PolicyName, Position, RemediationId, ResourceName, RunId, RunbookName, StepName,
    StreamVersion, SubjectId, TenantId,
};
pub use metadata::Metadata;
pub use nagios_range::NagiosRange;
pub use outcome::Outcome;
pub use personal::{Personal, Sealed};
