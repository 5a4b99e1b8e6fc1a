//! Rows that a projection remembers between batches, so that most events need no read.

use crate::projection::Pending;
use crate::table::{Table, Weighed};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};

/// What the map itself takes for one row, roughly.
const SLOT_BYTES: usize = 96;

/// The rows of a table that were touched lately. Bounded by their bytes: what was not touched for a while is read again
/// when needed. Rows that wait to be written are not forgotten, whatever they take: whoever folds keeps an eye on
/// [`Rows::pending`].
///
/// Correct as long as nobody else writes the table, which the guarded checkpoint makes sure of; after anything that is
/// not a plain commit it is emptied.
pub struct Rows<T: Table> {
    young: HashMap<T::Key, Slot<T::Row>>,
    old: HashMap<T::Key, Slot<T::Row>>,
    /// To be written.
    changed: Vec<T::Key>,
    /// Changed since what waits was last counted.
    uncounted: Vec<T::Key>,
    counted: Pending,
    young_bytes: usize,
    bytes_max: usize,
}

struct Slot<R> {
    row: Option<R>,
    /// As last counted.
    bytes: usize,
    is_changed: bool,
    is_uncounted: bool,
    /// The table is known to have no row of this key.
    is_new: bool,
}

impl<R: Weighed> Slot<R> {
    fn of(row: Option<R>) -> Self {
        let (bytes, is_new) = (weight(row.as_ref()), row.is_none());
        Self { row, bytes, is_changed: false, is_uncounted: false, is_new }
    }
}

fn weight<R: Weighed>(row: Option<&R>) -> usize {
    SLOT_BYTES + row.map_or(0, Weighed::bytes)
}

impl<T: Table> Rows<T> {
    /// Remembers about so many bytes of rows.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            changed: Vec::new(),
            uncounted: Vec::new(),
            counted: Pending::default(),
            young_bytes: 0,
            bytes_max,
        }
    }

    /// Makes sure that the rows of these keys are known, as rows or as missing: those of a whole batch in one read.
    /// `absent` tells keys that can have no row yet: they are not looked for.
    pub async fn fetch(
        &mut self,
        db: &mut PgConnection,
        keys: impl Iterator<Item = T::Key>,
        absent: &HashSet<T::Key>,
    ) -> Result<(), sqlx::Error> {
        self.count();
        let mut missing = HashSet::new();
        for key in keys {
            if self.young.contains_key(&key) || missing.contains(&key) {
                continue;
            }
            if let Some(slot) = self.old.remove(&key) {
                self.keep(key, slot);
            } else if absent.contains(&key) {
                self.keep(key, Slot::of(None));
            } else {
                missing.insert(key);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        // In order: rows of one page are then read together.
        let mut keys: Vec<_> = missing.iter().copied().collect();
        keys.sort_unstable();
        for (key, row) in T::load(db, &keys).await? {
            missing.remove(&key);
            self.keep(key, Slot::of(Some(row)));
        }
        for key in missing {
            self.keep(key, Slot::of(None));
        }
        Ok(())
    }

    fn keep(&mut self, key: T::Key, slot: Slot<T::Row>) {
        self.young_bytes += slot.bytes;
        self.young.insert(key, slot);
    }

    /// A row as it is now; `None` also where it was never fetched.
    pub fn get(&self, key: T::Key) -> Option<&T::Row> {
        self.young.get(&key).and_then(|slot| slot.row.as_ref())
    }

    /// A row's place, to change it or to make it; it will be written.
    pub fn change(&mut self, key: T::Key) -> &mut Option<T::Row> {
        let slot = self.young.entry(key).or_insert_with(|| Slot {
            row: None,
            bytes: 0,
            is_changed: false,
            is_uncounted: false,
            is_new: false,
        });
        if !slot.is_changed {
            slot.is_changed = true;
            self.changed.push(key);
        }
        if !slot.is_uncounted {
            slot.is_uncounted = true;
            self.uncounted.push(key);
        }
        &mut slot.row
    }

    /// How much waits to be written. Only what was changed since the last batch is looked at.
    pub fn pending(&self) -> Pending {
        let bytes: usize = self.uncounted_slots().map(|slot| weight(slot.row.as_ref())).sum();
        Pending { rows: self.changed.len(), bytes: self.counted.bytes + bytes }
    }

    fn uncounted_slots(&self) -> impl Iterator<Item = &Slot<T::Row>> {
        self.uncounted.iter().filter_map(|key| self.young.get(key))
    }

    /// Counts what was changed since the last time.
    fn count(&mut self) {
        for key in std::mem::take(&mut self.uncounted) {
            let Some(slot) = self.young.get_mut(&key) else { continue };
            let bytes = weight(slot.row.as_ref());
            self.young_bytes = (self.young_bytes + bytes).saturating_sub(slot.bytes);
            self.counted.bytes += bytes;
            (slot.bytes, slot.is_uncounted) = (bytes, false);
        }
    }

    /// Writes what changed, in the order of the keys (which spares the database's pages and rules out deadlocks).
    pub async fn write(&mut self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.count();
        let mut keys = std::mem::take(&mut self.changed);
        self.counted = Pending::default();
        if keys.is_empty() {
            return Ok(());
        }
        keys.sort_unstable();
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for slot in keys.iter().filter_map(|key| self.young.get(key)) {
            let Some(row) = &slot.row else { continue };
            if slot.is_new { new.push(row) } else { known.push(row) }
        }
        T::add(db, &new).await?;
        T::save(db, &known).await?;
        if self.young_bytes > self.bytes_max {
            self.forget();
            return Ok(());
        }
        for key in keys {
            if let Some(slot) = self.young.get_mut(&key) {
                slot.is_changed = false;
                slot.is_new &= slot.row.is_none();
            }
        }
        if self.young_bytes > self.bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        Ok(())
    }

    /// All rows that are known, for tests.
    pub fn known(&self) -> impl Iterator<Item = &T::Row> {
        self.young.values().chain(self.old.values()).filter_map(|slot| slot.row.as_ref())
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        *self = Self::new(self.bytes_max);
    }
}
