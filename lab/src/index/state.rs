//! What the double of the content index holds, in one file of the lab's folder: faults change it from any process.

use crate::error::LabError;
use crate::layout::{Folders, lock_briefly, read_json, write_json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The name under which Content Manager's documents are searched: an alias.
pub const ALIAS: &str = "cm-d1";
/// The index behind it, the first time.
const FIRST: &str = "cm-d1-000001";

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContentIndex {
    /// By name.
    pub indices: BTreeMap<String, Index>,
    /// The index behind each alias.
    pub aliases: BTreeMap<String, String>,
}

/// One index. Of a document it keeps the number only: what the document says is read from the dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// The setting `index.number_of_replicas`.
    pub replicas: u32,
    /// The setting `index.blocks.read_only_allow_delete`.
    pub read_only_allow_delete: bool,
    /// The primary shard failed to be allocated as often as is tried.
    pub failed: bool,
    /// As given when it was made.
    pub mappings: Value,
    /// The documents, by the number of their record.
    pub docs: BTreeSet<i64>,
    /// Documents whose events were lost: the dataset believes them indexed.
    pub held_back: BTreeSet<i64>,
}

impl Index {
    /// An empty one.
    pub fn new(replicas: u32, mappings: Value) -> Self {
        Self {
            replicas,
            read_only_allow_delete: false,
            failed: false,
            mappings,
            docs: BTreeSet::new(),
            held_back: BTreeSet::new(),
        }
    }

    /// `green`, `yellow` or `red`, on the one node that there is.
    pub const fn status(&self) -> &'static str {
        match (self.failed, self.replicas) {
            (true, _) => "red",
            (false, 0) => "green",
            (false, _) => "yellow",
        }
    }
}

/// A change that a fault makes, of the index behind the alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub enum IndexEdit {
    /// Sets the number of replicas.
    Replicas { count: u32 },
    /// Sets or clears the block.
    ReadOnly { on: bool },
    /// The primary shard is given up, or is there.
    Failed { on: bool },
    /// Every so manieth document is lost.
    Lose { every: usize },
    /// What was lost is there again, in every index.
    Restore,
}

impl ContentIndex {
    /// The one of a new lab: documents come with the first [`Self::follow`].
    fn new() -> Self {
        let fields = json!({ "uri": { "type": "long" }, "title": { "type": "text" }, "name": { "type": "keyword" } });
        let index = Index::new(0, json!({ "properties": fields }));
        Self { indices: [(FIRST.to_owned(), index)].into(), aliases: [(ALIAS.to_owned(), FIRST.to_owned())].into() }
    }

    /// The name of the index of this name, or behind this alias.
    pub fn name<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        self.indices.contains_key(name).then_some(name)
    }

    /// The index of this name, or behind this alias.
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indices.get(self.name(name)?)
    }

    /// The same, to be changed.
    pub fn index_mut(&mut self, name: &str) -> Option<&mut Index> {
        let name = self.name(name)?.to_owned();
        self.indices.get_mut(&name)
    }

    /// What the product's processor does all the time: what the dataset says to be indexed is, and what it does not
    /// know any more is not. An index that can not be written to stays as it is.
    pub fn follow(&mut self, indexed: &BTreeSet<i64>, all: &BTreeSet<i64>) {
        let Some(index) = self.index_mut(ALIAS).filter(|index| !index.failed && !index.read_only_allow_delete) else {
            return;
        };
        index.docs.retain(|uri| all.contains(uri));
        index.docs.extend(indexed.difference(&index.held_back));
    }

    /// Makes a fault's change.
    pub fn edit(&mut self, edit: &IndexEdit) {
        if *edit == IndexEdit::Restore {
            for index in self.indices.values_mut() {
                let lost = std::mem::take(&mut index.held_back);
                index.docs.extend(lost);
            }
            return;
        }
        let Some(index) = self.index_mut(ALIAS) else { return };
        match edit {
            IndexEdit::Replicas { count } => index.replicas = *count,
            IndexEdit::ReadOnly { on } => index.read_only_allow_delete = *on,
            IndexEdit::Failed { on } => index.failed = *on,
            IndexEdit::Lose { every } => {
                let lost: Vec<i64> = index.docs.iter().copied().step_by((*every).max(1)).collect();
                index.docs.retain(|uri| !lost.contains(uri));
                index.held_back.extend(lost);
            }
            IndexEdit::Restore => {}
        }
    }
}

/// Reads it, and changes it where `work` does.
pub fn with<T>(folders: &Folders, work: impl FnOnce(&mut ContentIndex) -> T) -> Result<T, LabError> {
    let file = folders.content_index();
    let _lock = lock_briefly(&file.with_extension("lock"))?;
    let before = read_json(&file)?;
    let mut state = before.clone().unwrap_or_else(ContentIndex::new);
    let done = work(&mut state);
    if before.as_ref() != Some(&state) {
        write_json(&file, &state)?;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_dataset_except_for_what_was_lost() {
        let mut state = ContentIndex::new();
        let all: BTreeSet<i64> = (1..=10).collect();
        state.follow(&all, &all);
        state.edit(&IndexEdit::Lose { every: 5 });
        state.follow(&all, &all);
        let count = |state: &ContentIndex| state.index(ALIAS).map(|index| index.docs.len());
        assert_eq!(count(&state), Some(8));
        state.edit(&IndexEdit::ReadOnly { on: true });
        state.follow(&all, &BTreeSet::new());
        assert_eq!(count(&state), Some(8), "it can not be written to");
        state.edit(&IndexEdit::Restore);
        state.edit(&IndexEdit::ReadOnly { on: false });
        assert_eq!(count(&state), Some(10));
        for (replicas, failed, status) in [(0, false, "green"), (1, false, "yellow"), (1, true, "red")] {
            state.edit(&IndexEdit::Replicas { count: replicas });
            state.edit(&IndexEdit::Failed { on: failed });
            assert_eq!(state.index(ALIAS).map(Index::status), Some(status));
        }
    }
}
