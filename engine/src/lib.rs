//! Measures deployments and judges what it measured.
//!
//! A [`pack`] declares checks as data ([`check`]); a [`probe`] measures; [`judge`] says what the measurement means, as
//! a pure function. [`queue`] holds the work of all runs in PostgreSQL, [`worker`] takes it up and has it run by the
//! [`runner`]; measurements too large for an event go to the [`evidence`] store.
//!
//! An [`action`] changes things and knows how to take it back; a [`runbook`] composes actions into a plan, as data.
//!
//! What could not be measured is `Unknown` with its cause, never `Ok`.

pub mod action;
pub mod catalog;
pub mod check;
pub mod judge;
pub mod pack;
pub mod probe;
pub mod runbook;
pub mod runner;

pub mod evidence;
pub mod offsets;
pub mod queue;
pub mod remediation;
mod sealing;
pub mod what_if;
pub mod worker;
