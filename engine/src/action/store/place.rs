//! Where a store's files are: `<path>/<dbid>/<store_number>`, and what belongs to it elsewhere.

use crate::action::file::{Relative, Root, Stop};
use crate::action::{ActionError, ActionTarget};
use std::path::PathBuf;

/// A store's folders, as its settings name them.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: PathBuf,
    /// `<dbid>/<store_number>`, below the root of the store and of its backup alike.
    pub inner: String,
}

impl Place {
    pub(super) fn of(target: &ActionTarget) -> Result<Self, ActionError> {
        let (number, dbid) = (target.setting("store_number")?, target.setting("dbid")?);
        let inner = format!("{dbid}/{number}");
        let plain = [number, dbid].iter().all(|part| !part.contains(['/', '\\']));
        if !plain || Relative::parse(&inner).is_err() {
            return Err(ActionError::configuration("settings store_number and dbid must be names, not paths"));
        }
        Ok(Self { path: PathBuf::from(target.setting("path")?), inner })
    }

    /// The store's root. What is set aside lies in it, beside the files and not among them.
    pub(super) fn root(&self, stop: &Stop) -> Result<Root, ActionError> {
        Root::open("setting path", &self.path, stop)
    }

    /// A file of the store, below the root.
    pub(super) fn file(&self, file: &Relative) -> Relative {
        file.below(&self.inner)
    }
}
