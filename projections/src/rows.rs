//! Rows that a projection remembers between batches, so that most events need no read.

use crate::projection::Pending;
use crate::table::{Table, pending};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};

/// The rows of a table that were touched lately. Bounded: what was not touched for a while is read again when needed.
///
/// Correct as long as nobody else writes the table, which the guarded checkpoint makes sure of; after anything that is
/// not a plain commit it is emptied.
pub struct Rows<T: Table> {
    young: HashMap<T::Key, Option<T::Row>>,
    old: HashMap<T::Key, Option<T::Row>>,
    changed: HashSet<T::Key>,
    limit: usize,
}

impl<T: Table> Rows<T> {
    /// Remembers about this many rows.
    pub fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), changed: HashSet::new(), limit }
    }

    /// Makes sure that the rows of these keys are known, as rows or as missing. `absent` tells keys that can have no
    /// row yet: they are not looked for.
    pub async fn fetch(
        &mut self,
        db: &mut PgConnection,
        keys: impl Iterator<Item = T::Key>,
        absent: &HashSet<T::Key>,
    ) -> Result<(), sqlx::Error> {
        let mut missing = HashSet::new();
        for key in keys {
            if self.young.contains_key(&key) || missing.contains(&key) {
                continue;
            }
            if let Some(row) = self.old.remove(&key) {
                self.young.insert(key, row);
            } else if absent.contains(&key) {
                self.young.insert(key, None);
            } else {
                missing.insert(key);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        // In order: rows of one page are then read together.
        let mut keys: Vec<_> = missing.into_iter().collect();
        keys.sort_unstable();
        let found = T::load(db, &keys).await?;
        self.young.extend(keys.into_iter().map(|key| (key, None)));
        self.young.extend(found.into_iter().map(|(key, row)| (key, Some(row))));
        Ok(())
    }

    /// A row as it is now; `None` also where it was never fetched.
    pub fn get(&self, key: T::Key) -> Option<&T::Row> {
        self.young.get(&key).and_then(Option::as_ref)
    }

    /// A row's place, to change it or to make it; it will be written.
    pub fn change(&mut self, key: T::Key) -> &mut Option<T::Row> {
        self.changed.insert(key);
        self.young.entry(key).or_default()
    }

    /// How much waits to be written.
    pub fn pending(&self) -> Pending {
        pending(self.changed.iter().filter_map(|key| self.young.get(key)?.as_ref()))
    }

    /// Writes what changed, in the order of the keys (which spares the database's pages and rules out deadlocks).
    pub async fn write(&mut self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut keys: Vec<_> = self.changed.drain().collect();
        if keys.is_empty() {
            return Ok(());
        }
        keys.sort_unstable();
        let rows: Vec<&T::Row> = keys.iter().filter_map(|key| self.young.get(key)?.as_ref()).collect();
        T::save(db, &rows).await?;
        if self.young.len() > self.limit {
            self.forget();
        } else if self.young.len() > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        Ok(())
    }

    /// All rows that are known, for tests.
    pub fn known(&self) -> impl Iterator<Item = &T::Row> {
        self.young.values().chain(self.old.values()).flatten()
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.young.clear();
        self.old.clear();
        self.changed.clear();
    }
}
