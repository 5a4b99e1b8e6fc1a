//! A set that remembers only the newest of what it was given.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// Remembers the last so many things.
#[derive(Debug)]
pub(super) struct Recent<T> {
    most: usize,
    known: HashSet<T>,
    order: VecDeque<T>,
}

impl<T: Copy + Eq + Hash> Recent<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: HashSet::new(), order: VecDeque::new() }
    }

    /// True where it was not known yet.
    pub(super) fn insert(&mut self, one: T) -> bool {
        if !self.known.insert(one) {
            return false;
        }
        self.order.push_back(one);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    pub(super) fn contains(&self, one: T) -> bool {
        self.known.contains(&one)
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = Recent::new(2);
        assert!(recent.insert(1) && recent.insert(2) && !recent.insert(1) && recent.insert(3));
        assert!(!recent.contains(1) && recent.contains(2) && recent.contains(3));
    }
}
