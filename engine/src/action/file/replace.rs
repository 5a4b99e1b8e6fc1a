//! Replacing a small file by another one, at once, and putting the old one back.

use super::content::write;
use super::{Content, Facts, Relative, Root, aside, copy, hash};
use crate::action::ActionError;

/// A file's old and new content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replaced<'a> {
    pub root: &'a Root,
    pub file: &'a Relative,
    pub key: &'a str,
    pub old: &'a Content,
    pub new: &'a Content,
}

impl Replaced<'_> {
    fn present(&self) -> Result<(Content, Facts), ActionError> {
        let facts = self.root.file(self.file)?;
        let facts = facts.ok_or_else(|| ActionError::precondition(format!("{} is gone", self.root.full(self.file))))?;
        Ok((hash(self.root, self.file)?, facts))
    }

    fn changed_meanwhile(&self) -> ActionError {
        let file = self.root.full(self.file);
        ActionError::precondition(format!("{file} is neither as it was nor as it was to be: somebody else changed it"))
    }

    /// Whether the new content is in place.
    pub(crate) fn is_done(&self) -> Result<bool, ActionError> {
        Ok(self.present()?.0 == *self.new)
    }
}

/// Sets the old file aside and puts the new content in its place. Done again, it changes nothing.
pub(crate) fn replace(what: Replaced<'_>, bytes: &[u8]) -> Result<(), ActionError> {
    let Replaced { root, file, key, old, new } = what;
    let (present, facts) = what.present()?;
    if present == *new {
        return Ok(());
    }
    if present != *old || Content::of(bytes) != *new {
        return Err(what.changed_meanwhile());
    }
    let (was, making) = (aside::was(key, file), aside::new(key, file));
    aside::make_room(root, &was)?;
    aside::make_room(root, &making)?;
    let kept = root.file(&was)?;
    // Cut off between keeping and replacing: what was kept is whole only if it is the file itself, or hashes alike.
    if kept.is_none_or(|kept| kept.inode != facts.inode) {
        root.remove_own(&was)?;
        if !root.link(file, &was)? && copy((root, file), (root, &was), &facts)? != *old {
            return Err(what.changed_meanwhile());
        }
    }
    write(root, &making, bytes, &facts)?;
    root.move_over(&making, file)
}

/// Puts the old file back. Done again, or where nothing was replaced, it changes nothing.
pub(crate) fn put_back(what: Replaced<'_>) -> Result<(), ActionError> {
    let Replaced { root, file, key, old, new } = what;
    let was = aside::was(key, file);
    let (present, facts) = what.present()?;
    match root.file(&was)? {
        // Nothing was replaced, or only made ready: two names of one file, or a copy that was not needed.
        _ if present == *old => root.remove_own(&was)?,
        // It never got to this one: what somebody else has put there is theirs.
        None if present != *new => {}
        None => return Err(ActionError::target(format!("{} is gone: it can not be put back", root.full(&was)))),
        Some(_) if present != *new => return Err(what.changed_meanwhile()),
        Some(_) if hash(root, &was)? != *old => {
            return Err(ActionError::target(format!("{} is not what was set aside", root.full(&was))));
        }
        Some(kept) if kept.inode == facts.inode => {}
        Some(_) => root.move_over(&was, file)?,
    }
    root.remove_own(&aside::new(key, file))?;
    aside::tidy(root, key)
}
