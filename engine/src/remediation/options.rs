//! What remediations are carried on with, and how.

use super::hooks::Hooks;
use super::lease::LeaseTime;
use crate::action::HostProgram;
use crate::action::host::HostLimits;
use crate::evidence::EvidenceStore;
use crate::pack::Packs;
use crate::worker::CheckRunner;
use command_side::{Clock, CommandBus};
use event_store::LiveFeed;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;

/// The parts that remediations are carried on with.
#[derive(Clone)]
pub struct RemediationParts {
    /// Where the work table is.
    pub pool: PgPool,
    /// Where commands go.
    pub bus: CommandBus,
    /// What is followed.
    pub feed: Arc<LiveFeed>,
    /// The checks and runbooks in force.
    pub packs: Arc<Packs>,
    /// Runs post-checks.
    pub checks: Arc<dyn CheckRunner>,
    /// Where before-images and measurements are kept.
    pub evidence: EvidenceStore,
    /// Tells the time of decisions.
    pub clock: Arc<dyn Clock>,
}

/// How remediations are carried on.
#[derive(Clone)]
pub struct RemediationOptions {
    /// How many remediations this process has in hand at most.
    pub most_held: usize,
    /// How many phases of actions run at the same time in this process.
    pub phases: usize,
    /// How many of them in processes of their own.
    pub processes: usize,
    /// The program that runs actions which want a process of their own.
    pub host: HostProgram,
    /// How much such a process may use.
    pub limits: HostLimits,
    /// How long a claim holds unless it is extended.
    pub lease: Duration,
    /// How often the work table is looked at when nothing woke the process.
    pub poll_every: Duration,
    /// How long a phase that was stopped may take to end before it is dropped.
    pub grace: Duration,
    /// How long phases may go on when the process is stopped in order.
    pub drain: Duration,
    /// From how many bytes of JSON on a before-image goes to the evidence store.
    pub inline_image_bytes: usize,
    /// The time by which leases run out.
    pub lease_time: LeaseTime,
    /// For tests: faults at chosen points.
    pub hooks: Option<Arc<dyn Hooks>>,
}

impl RemediationOptions {
    /// The defaults, which are right for nearly everybody.
    pub fn new(host: HostProgram) -> Self {
        Self {
            most_held: 1_024,
            phases: 64,
            processes: 16,
            host,
            limits: HostLimits::default(),
            lease: Duration::from_secs(15),
            poll_every: Duration::from_millis(250),
            grace: Duration::from_secs(1),
            drain: Duration::from_secs(5),
            inline_image_bytes: 4 * 1_024,
            lease_time: LeaseTime::default(),
            hooks: None,
        }
    }
}
