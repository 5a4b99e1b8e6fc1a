//! The subscriptions. All are served from the live feed; `events` resumes by position after a reconnect, the others
//! start with what is now.

mod events;
mod findings;
mod health;
mod notices;
mod progress;
mod remediations;
mod scans;
mod what_if;

use async_graphql::MergedSubscription;

pub use health::HealthWatch;

/// The subscriptions.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    scans::ScanSubscription,
    findings::FindingSubscription,
    remediations::RemediationSubscription,
    health::HealthSubscription,
    events::EventSubscription,
    what_if::WhatIfSubscription,
);
