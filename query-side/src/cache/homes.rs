//! Which deployment a run or a finding is of: most of their events do not say it again.

use std::collections::HashMap;
use uuid::Uuid;

/// What was learnt from events, bounded: what was not asked for in a while is forgotten, and then counts as unknown.
pub(super) struct Homes {
    young: HashMap<Uuid, Uuid>,
    old: HashMap<Uuid, Uuid>,
    capacity: usize,
}

impl Homes {
    pub(super) fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), capacity }
    }

    /// The deployment, where it is known.
    pub(super) fn of(&mut self, id: Uuid) -> Option<Uuid> {
        if let Some(home) = self.young.get(&id) {
            return Some(*home);
        }
        let home = self.old.remove(&id)?;
        self.learn(id, Some(home))
    }

    /// Remembers it, where there is something to remember; returns it.
    pub(super) fn learn(&mut self, id: Uuid, home: Option<Uuid>) -> Option<Uuid> {
        if let Some(home) = home {
            if self.young.len() >= self.capacity.div_ceil(2) {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(id, home);
        }
        home
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut homes = Homes::new(4);
        let (kept, home) = (Uuid::from_u128(1), Uuid::from_u128(100));
        homes.learn(kept, Some(home));
        for id in 2..50 {
            homes.learn(Uuid::from_u128(id), Some(home));
            assert_eq!(homes.of(kept), Some(home));
            assert!(homes.young.len() + homes.old.len() <= 4);
        }
        assert_eq!(homes.of(Uuid::from_u128(2)), None);
        assert_eq!(homes.learn(Uuid::from_u128(3), None), None);
    }
}
