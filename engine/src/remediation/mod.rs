//! Carries remediations on: plans them, runs them dry, asks the policy, does their steps, lets the checks judge,
//! takes back what failed.
//!
//! What is to be done next is decided by [`domain::remediation::next`], a pure function of the remediation's own
//! events; nothing here remembers anything that is not in them. So whoever takes over after a crash comes to the same
//! conclusion:
//! [`work_table`] says which remediations may have something to do and who has them in hand, [`filler`] fills it from
//! the log, [`service`] claims them, and one [`driver`] a remediation performs what is next until it rests or waits.
//! Commands have derived ids, a lease is looked at before each of them, and each side effect stands between a
//! recorded intent with its before-image and a recorded outcome.
//!
//! Read in this order: [`driver`], `steps` (forward), `undo` (back), `post_check`, `planning`, `admission`, `settling`;
//! then [`service`].

mod admission;
mod driver;
mod dry_run;
mod filler;
mod hooks;
mod images;
mod lease;
mod options;
mod phases;
mod planning;
mod post_check;
mod sender;
mod service;
mod settling;
mod sighting;
mod status;
mod steps;
mod stop;
mod undo;
mod work_table;

pub mod testing;

pub use hooks::{Hooks, Point, Verdict};
pub use lease::LeaseTime;
pub use options::{RemediationOptions, RemediationParts};
pub use service::Remediator;
pub use status::RemediationStatus;
