//! The saga kit, for tests: any runbook on any target is run with each step done twice, failing at each step in turn,
//! each undo repeated, and its process killed between any two events; and what is left is compared.
//!
//! [`Kit`] is a small platform on a database of its own; [`Saga`] is one runbook on one problem. What stands for the
//! checks here ([`SaysWell`]) is a double; the targets are whatever the test has.

mod faults;
mod kit;
mod saga;

pub use faults::{FailAt, FreezeAt, Recorder, Twice};
pub use kit::{Kit, KitParts, SaysWell, packs_for_action};
pub use saga::Saga;
