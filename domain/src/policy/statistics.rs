//! What is known of a runbook's success, and whether that is enough for it to run by itself.

use super::beta;
use super::definition::Automatic;
use super::quantities::Share;
use super::request::StatisticsKey;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The most runbooks (with version, check and its version) that are remembered; the one not seen for longest is
/// forgotten, and has to earn its right again.
pub const STATISTICS_MAX: usize = 512;

/// Successes and failures: the Beta posterior of the share of successes, from a prior that knows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Posterior {
    /// Put right, by the check that raised the finding.
    pub successes: u32,
    /// Not put right, stuck, or taken back by a person.
    pub failures: u32,
    /// Successes since the last failure.
    pub in_a_row: u32,
}

impl Posterior {
    /// After one more.
    #[must_use]
    pub const fn with(self, success: bool) -> Self {
        if success {
            Self { successes: self.successes.saturating_add(1), in_a_row: self.in_a_row.saturating_add(1), ..self }
        } else {
            Self { failures: self.failures.saturating_add(1), in_a_row: 0, ..self }
        }
    }

    /// After a success turned out to be none.
    #[must_use]
    pub const fn taken_back(self) -> Self {
        Self { successes: self.successes.saturating_sub(1), ..self }.with(false)
    }

    /// How often it was seen.
    pub const fn samples(self) -> u32 {
        self.successes.saturating_add(self.failures)
    }

    fn parameters(self) -> (f64, f64) {
        (1.0 + f64::from(self.successes), 1.0 + f64::from(self.failures))
    }

    /// The share of successes is at least this, with this probability. Rounded down.
    pub fn lower_bound(self, confidence: Share) -> Share {
        let (a, b) = self.parameters();
        beta::quantile(a, b, f64::from(Share::WHOLE - confidence.as_millionths()) / f64::from(Share::WHOLE))
    }

    /// The share that this much of the posterior lies below: a draw from it, where `uniform` is drawn evenly.
    pub fn draw(self, uniform: Share) -> Share {
        let (a, b) = self.parameters();
        beta::quantile(a, b, uniform.as_f64())
    }

    /// Whether it may run by itself: the bound in either case, and why not.
    pub fn earned(self, automatic: &Automatic) -> (Share, Result<(), String>) {
        let bound = self.lower_bound(automatic.confidence);
        let samples = self.samples();
        let verdict = if samples < automatic.min_samples {
            Err(format!("seen {samples} times, not yet {}", automatic.min_samples))
        } else if self.failures > 0 && self.in_a_row < automatic.probation {
            Err(format!("{} of {} successes since its last failure", self.in_a_row, automatic.probation))
        } else if bound < automatic.min_lower_bound {
            Err(format!("successes are at least {bound}, not {}", automatic.min_lower_bound))
        } else {
            Ok(())
        };
        (bound, verdict)
    }
}

/// What is counted under one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistic {
    /// Under what.
    pub key: StatisticsKey,
    /// What.
    pub posterior: Posterior,
    /// When it last changed.
    pub at: DateTime<Utc>,
}

/// All that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Statistics(Vec<Statistic>);

impl Statistics {
    /// What is known under this key: nothing, where nothing was seen.
    pub fn of(&self, key: &StatisticsKey) -> Posterior {
        self.0.iter().find(|one| one.key == *key).map_or(Posterior::default(), |one| one.posterior)
    }

    /// All of it, in the order in which it was first seen.
    pub fn all(&self) -> &[Statistic] {
        &self.0
    }

    pub(super) fn set(&mut self, key: &StatisticsKey, posterior: Posterior, at: DateTime<Utc>) {
        if let Some(known) = self.0.iter_mut().find(|one| one.key == *key) {
            known.posterior = posterior;
            known.at = at;
            return;
        }
        if self.0.len() >= STATISTICS_MAX {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, one)| one.at).map(|(index, _)| index);
            oldest.map(|index| self.0.remove(index));
        }
        self.0.push(Statistic { key: key.clone(), posterior, at });
    }
}

#[cfg(test)]
mod tests;
