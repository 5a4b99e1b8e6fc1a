//! The work of all runs, in PostgreSQL: what waits, who works on it, in what order it is taken up.
//!
//! [`QueueFiller`] follows the event log and puts a planned run's checks into the queue; [`WorkQueue`] hands them out
//! in batches. What it promises:
//! - work survives whoever claimed it: a lease that is not extended expires, and the item is handed out again;
//! - who lost his lease finishes nothing: each claim has a number (the attempt), and finishing names it;
//! - nothing starves: an item's rank is its age plus its priority's head start ([`rank`]), and the lowest rank is
//!   first;
//! - a target (deployment and component) is never worked on by more than its slots, over all processes;
//! - an item whose workers died too often is handed out as such ([`WorkItem::crashes`]), to be answered `Unknown`.
//!
//! Moments come from the caller's clock. Workers on several machines need clocks that agree to well within a lease.

mod filler;
mod item;
mod work_queue;

pub use filler::{FillerStatus, QueueFiller};
pub use item::{ItemKey, NewItem, NewRun, Target, WorkItem, rank};
pub use work_queue::{CLAIM_MAX, Claim, Held, QueueDepth, QueueError, QueueOptions, WorkQueue};
