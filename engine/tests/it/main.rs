//! The engine against real files and servers: one binary, so that it links once.

#![expect(clippy::unwrap_used, reason = "a test stops at what should not be")]

mod actions;
mod judging;
mod packs;
mod probes;

mod evidence;
mod explaining;
mod filler;
mod offsets;
mod queue;
mod queue_targets;
mod remediation;
mod remediation_guards;
mod remediation_holds;
mod sagas;
mod support;
mod worker;
mod worker_faults;
mod worker_load;
