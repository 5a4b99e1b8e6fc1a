//! What one answer rests on, written down while it is made.

use super::topic::Topic;
use chrono::{DateTime, Utc};
use domain::Position;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An answer that rests on more than this is not worth keeping: it would hardly ever be found true.
const TOPICS_MAX: usize = 1_000;

/// Written by [`crate::Queries`] at each read. A read that does not say what it rests on makes the answer one that is
/// not kept: whoever adds a query and forgets this loses speed, not truth.
pub struct Reads(Mutex<Written>);

struct Written {
    /// What was read is at least as new as this; none where that is not known.
    as_of: Option<Position>,
    topics: HashSet<Topic>,
    expires_at: Option<DateTime<Utc>>,
    given_up: bool,
}

/// What an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// All that it shows is at least as new as this position.
    pub as_of: Position,
    /// It is true until one of these changes after that.
    pub topics: Box<[Topic]>,
    /// It is true until then: something in it changes by the clock.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Reads {
    /// Nothing read yet; whatever will be read is at least as new as this position.
    pub(crate) fn from(as_of: Option<Position>) -> Self {
        Self(Mutex::new(Written { as_of, topics: HashSet::new(), expires_at: None, given_up: as_of.is_none() }))
    }

    /// It rests on these.
    pub fn on(&self, topics: impl IntoIterator<Item = Topic>) {
        let mut written = self.lock();
        if written.given_up {
            return;
        }
        written.topics.extend(topics);
        if written.topics.len() > TOPICS_MAX {
            written.give_up();
        }
    }

    /// It changes by itself at that moment.
    pub fn until(&self, at: DateTime<Utc>) {
        let mut written = self.lock();
        written.expires_at = Some(written.expires_at.map_or(at, |so_far| so_far.min(at)));
    }

    /// It rests on something that nobody tells the changes of, such as the clock or who asks: it is not to be kept.
    pub fn give_up(&self) {
        self.lock().give_up();
    }

    /// What it all rests on; none where that is not known.
    pub(crate) fn basis(&self) -> Option<Basis> {
        let written = self.lock();
        let as_of = written.as_of.filter(|_| !written.given_up)?;
        Some(Basis { as_of, topics: written.topics.iter().copied().collect(), expires_at: written.expires_at })
    }

    /// A poisoned lock is a panic between two assignments: at the worst something is missing that `given_up` covers.
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn give_up(&mut self) {
        self.given_up = true;
        self.topics = HashSet::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn one_read_that_can_not_be_told_spoils_the_whole() {
        let reads = Reads::from(Some(Position(7)));
        reads.on([Topic::Runs, Topic::Run(Uuid::nil()), Topic::Runs]);
        reads.until(DateTime::UNIX_EPOCH);
        reads.until(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(1));
        let basis = reads.basis().unwrap();
        assert_eq!((basis.as_of, basis.topics.len()), (Position(7), 2));
        assert_eq!(basis.expires_at, Some(DateTime::UNIX_EPOCH));
        reads.give_up();
        reads.on([Topic::Findings]);
        assert_eq!(reads.basis(), None);
        assert_eq!(Reads::from(None).basis(), None);
        let many = Reads::from(Some(Position(7)));
        many.on((0..=TOPICS_MAX as u128).map(|id| Topic::Run(Uuid::from_u128(id))));
        assert_eq!(many.basis(), None);
    }
}
