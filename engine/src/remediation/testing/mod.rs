//! The saga kit, for tests: any runbook on any target is run with each step done twice, failing at each step in turn,
//! each undo repeated, and its process killed between any two events; and what is left is compared.
//!
//! [`Kit`] is a small platform on a database of its own; [`Saga`] is one runbook on one problem. What stands for the
//! checks here ([`SaysWell`]) is a double, where a test has no real one; the targets are whatever the test has.

mod effects;
mod faults;
mod kit;
mod notes;
mod packs;
mod saga;
mod target;

pub use effects::{DieBefore, Effect, Recorder, Relay};
pub use faults::{FailAt, Twice};
pub use kit::{Kit, KitParts, SaysWell};
pub use notes::Notes;
pub use packs::{ActionCase, packs_for_action, texts_for_actions};
pub use saga::Saga;
