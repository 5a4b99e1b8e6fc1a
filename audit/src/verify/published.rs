//! Checkpoints as they were published, kept where whoever writes the log can not reach them.

use super::FaultKind;
use crate::AuditError;
use crate::keys::KeyHistory;
use crate::merkle::Hash;
use crate::signing::{Note, PublicKey};
use std::collections::BTreeMap;
use std::path::Path;

/// No folder of published checkpoints is read further.
const NOTES_MAX: usize = 1_000_000;

/// The published checkpoints, and which of them the history met.
#[derive(Debug, Default)]
pub struct Published {
    by_number: BTreeMap<u64, Note>,
    by_size: BTreeMap<u64, (u64, Hash)>,
    good_to: u64,
}

/// From where to where something is wrong.
pub type Span = (u64, u64);

impl Published {
    /// Those that were published.
    pub fn new(notes: &[Note]) -> Self {
        let by_number: BTreeMap<u64, Note> = notes.iter().map(|note| (note.checkpoint.number, note.clone())).collect();
        let by_size =
            notes.iter().map(|note| (note.checkpoint.tree_size, (note.checkpoint.number, note.checkpoint.root)));
        let by_size = by_size.collect();
        Self { by_number, by_size, good_to: 0 }
    }

    /// Reads every checkpoint of a folder (`*.checkpoint`).
    pub fn read(folder: &Path) -> Result<Vec<Note>, AuditError> {
        let shown = folder.display();
        let entries = std::fs::read_dir(folder).map_err(AuditError::file(format!("read the folder {shown}")))?;
        let mut notes = Vec::new();
        for entry in entries {
            let path = entry.map_err(AuditError::file(format!("read the folder {shown}")))?.path();
            if path.extension().is_none_or(|extension| extension != "checkpoint") {
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(AuditError::file(format!("read {}", path.display())))?;
            let note =
                Note::parse(&text).map_err(|error| AuditError::Malformed(format!("{}: {error}", path.display())))?;
            notes.push(note);
            if notes.len() > NOTES_MAX {
                return Err(AuditError::Malformed(format!("{shown} holds over {NOTES_MAX} checkpoints")));
            }
        }
        if notes.is_empty() {
            return Err(AuditError::Missing(format!("{shown} holds no checkpoint")));
        }
        Ok(notes)
    }

    /// A checkpoint of the log: must be the very one that was published under its number.
    pub(super) fn take(&mut self, note: &Note) -> Result<(), (FaultKind, String)> {
        let number = note.checkpoint.number;
        match self.by_number.get(&number) {
            Some(published) if published.text != note.text => {
                Err((FaultKind::PublishedDiffers, format!("checkpoint {number} is not the one that was published")))
            }
            _ => Ok(()),
        }
    }

    /// The tree has grown to this size: where it is that of a published checkpoint, its root must be, too.
    pub(super) fn reached(&mut self, size: u64, root: impl FnOnce() -> Hash) -> Option<(Span, String)> {
        let (number, published) = self.by_size.get(&size)?;
        if root() == *published {
            self.good_to = size;
            return None;
        }
        let from = self.good_to + 1;
        let what =
            format!("published checkpoint {number} says otherwise: something from {from} to {size} was written anew");
        Some(((from, size), what))
    }

    /// What the history did not live up to.
    pub(super) fn rest(&self, size: u64, keys: &KeyHistory) -> Vec<(FaultKind, Span, String)> {
        let mut faults = Vec::new();
        for note in self.by_number.values() {
            let said = &note.checkpoint;
            if said.tree_size > size {
                let what =
                    format!("published checkpoint {} holds {} events; there are {size}", said.number, said.tree_size);
                faults.push((FaultKind::LogTruncated, (size + 1, said.tree_size), what));
                break;
            }
            let signed = |key: &PublicKey| note.is_signed_by(key);
            if let Some(key) = keys.in_force(said.tree_size)
                && !signed(&key.key)
            {
                let what =
                    format!("published checkpoint {} is not signed by the log's key {}", said.number, key.key.id());
                faults.push((FaultKind::KeyReplaced, (key.position, said.tree_size), what));
                break;
            }
        }
        faults
    }

    /// The largest tree that a published checkpoint vouched for.
    pub(super) fn good_to(&self) -> u64 {
        self.good_to
    }
}
