//! The way in: the command bus, and the process managers that answer events with commands.
//!
//! [`CommandBus`] loads (from a cache where it can), lets the aggregate decide through `cqrs_es::CqrsFramework`, and
//! appends with one round trip; the log makes it happen once. [`ProcessManagers`] plan runs, keep findings and end
//! overdue runs: each follows the log, decides purely, and sends commands whose ids follow from the event, so that
//! repeating changes nothing.
//!
//! Read in this order: [`bus`], [`error`], [`process`].

pub mod bus;
mod cache;
pub mod clock;
pub mod error;
mod hash;
mod lanes;
mod loading;
pub mod process;
pub mod snapshots;
mod store;
pub mod testing;
pub mod trace;

pub use bus::{BusCounts, BusOptions, CommandBus, Executed};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::CommandError;
pub use process::{
    CheckCatalog, Erased, PlanError, ProcessManagers, ProcessManagersOptions, ProcessStatus, erase,
    findings_known_up_to,
};
pub use snapshots::{SnapshotCounts, SnapshotOptions, Snapshots};
