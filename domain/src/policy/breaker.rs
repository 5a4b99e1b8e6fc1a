//! Circuit breakers: where something failed too often, nothing more is tried for a while; then one is let through.

use super::definition::BreakerSettings;
use super::request::BreakerKey;
use crate::ids::RemediationId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// From so many open breakers on, nothing more is admitted at all.
pub const OPEN_BREAKERS_MAX: usize = 512;
/// The most breakers remembered while closed.
const CLOSED_MAX: usize = 512;
/// An open breaker that nobody tried for so long is forgotten.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(7);

/// Whether something may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerStatus {
    /// It may.
    Closed,
    /// Not until then; afterwards one may try.
    Open {
        /// Until when.
        until: DateTime<Utc>,
    },
    /// One is trying.
    HalfOpen {
        /// Which.
        probe: RemediationId,
        /// Since when it may be tried.
        until: DateTime<Utc>,
    },
}

/// One circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// What it is about.
    pub key: BreakerKey,
    /// Whether it may be tried.
    pub status: BreakerStatus,
    /// When it failed, oldest first; only what counts while closed.
    pub failures: VecDeque<DateTime<Utc>>,
}

impl Breaker {
    /// How many failures count at this moment.
    pub fn failures_within(&self, settings: &BreakerSettings, now: DateTime<Utc>) -> u32 {
        let counting = self.failures.iter().filter(|failed| **failed + settings.within.delta() > now).count();
        u32::try_from(counting).unwrap_or(u32::MAX)
    }
}

/// All breakers that are not as if new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Breakers(Vec<Breaker>);

impl Breakers {
    /// The breaker of this key, where something has failed.
    pub fn get(&self, key: &BreakerKey) -> Option<&Breaker> {
        self.0.iter().find(|breaker| breaker.key == *key)
    }

    /// All that are known.
    pub fn all(&self) -> &[Breaker] {
        &self.0
    }

    /// How many do not let anything through at this moment.
    pub fn open(&self, now: DateTime<Utc>) -> usize {
        let holds = |breaker: &&Breaker| matches!(breaker.status, BreakerStatus::Open { until } if until > now);
        self.0.iter().filter(holds).count()
    }

    pub(super) fn fail(&mut self, key: &BreakerKey, settings: &BreakerSettings, at: DateTime<Utc>) {
        self.forget(settings, at);
        let breaker = self.entry(key);
        if breaker.status != BreakerStatus::Closed {
            return;
        }
        breaker.failures.push_back(at);
        while breaker.failures.len() > settings.open_after as usize {
            breaker.failures.pop_front();
        }
    }

    pub(super) fn set(&mut self, key: &BreakerKey, status: BreakerStatus) {
        if status == BreakerStatus::Closed {
            self.0.retain(|breaker| breaker.key != *key);
            return;
        }
        let breaker = self.entry(key);
        breaker.status = status;
        breaker.failures.clear();
    }

    /// The probe has ended: where that says nothing of a breaker that it was to try, another one may.
    pub(super) fn end_probe(&mut self, ended: RemediationId) {
        for breaker in &mut self.0 {
            if let BreakerStatus::HalfOpen { probe, until } = breaker.status
                && probe == ended
            {
                breaker.status = BreakerStatus::Open { until };
            }
        }
    }

    fn entry(&mut self, key: &BreakerKey) -> &mut Breaker {
        let index = self.0.iter().position(|breaker| breaker.key == *key).unwrap_or_else(|| {
            self.0.push(Breaker { key: key.clone(), status: BreakerStatus::Closed, failures: VecDeque::new() });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// Drops what no longer counts. An open breaker is never dropped for want of room: that would let through what it
    /// holds back.
    fn forget(&mut self, settings: &BreakerSettings, at: DateTime<Utc>) {
        self.0.retain(|breaker| match breaker.status {
            BreakerStatus::Closed => breaker.failures_within(settings, at) > 0,
            BreakerStatus::Open { until } => until + FORGOTTEN_AFTER > at,
            BreakerStatus::HalfOpen { .. } => true,
        });
        let closed = self.0.iter().filter(|breaker| breaker.status == BreakerStatus::Closed).count();
        if closed >= CLOSED_MAX {
            let candidates = self.0.iter().enumerate().filter(|(_, breaker)| breaker.status == BreakerStatus::Closed);
            let stalest =
                candidates.min_by_key(|(_, breaker)| breaker.failures.back().copied()).map(|(index, _)| index);
            stalest.map(|index| self.0.remove(index));
        }
    }
}
