//! Deciding: the command bus, and the process managers that answer events with commands.

pub mod bus;
pub mod catalog;
pub mod clock;
mod command_store;
pub mod error;

pub use bus::{BusOptions, CommandBus, Executed};
pub use catalog::{CheckCatalog, PlanError};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::CommandError;
