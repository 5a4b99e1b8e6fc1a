//! Moving files to another folder, which may lie on another volume.

use super::{Content, Facts, Relative, Root, aside, copy, hash};
use crate::action::ActionError;

/// Moves a file to another root. On one volume that is a rename. To another one it is copied, written to the disk, read
/// back and compared; only then the first one goes. Done again after it was cut off, it goes on.
pub(crate) fn relocate(
    from: (&Root, &Relative),
    to: (&Root, &Relative),
    key: &str,
    content: &Content,
) -> Result<(), ActionError> {
    let (source, target) = (from.0.file(from.1)?, to.0.file(to.1)?);
    match (source, target) {
        (None, Some(_)) => must_be(to, content),
        (None, None) => Err(ActionError::precondition(format!("{} is gone", from.0.full(from.1)))),
        (Some(_), Some(_)) => {
            // Cut off between the copy and the end of the first one, or somebody else's: the content tells.
            must_be(to, content)?;
            must_be(from, content)?;
            from.0.remove_own(from.1)
        }
        (Some(facts), None) if from.0.device() == to.0.device() => {
            must_be(from, content)?;
            to.0.make_parents(to.1, 0o755)?;
            debug_assert!(facts.is_file);
            from.0.move_to(from.1, to.0, to.1)
        }
        (Some(facts), None) => across(from, to, key, content, &facts),
    }
}

fn across(
    from: (&Root, &Relative),
    to: (&Root, &Relative),
    key: &str,
    content: &Content,
    facts: &Facts,
) -> Result<(), ActionError> {
    let making = aside::new(key, to.1);
    aside::make_room(to.0, &making)?;
    to.0.make_parents(to.1, 0o755)?;
    let copied = copy(from, (to.0, &making), facts)?;
    if copied != *content {
        return Err(ActionError::precondition(format!("{} changed while it was copied", from.0.full(from.1))));
    }
    must_be((to.0, &making), content)?;
    to.0.move_to(&making, to.0, to.1)?;
    aside::tidy(to.0, key)?;
    from.0.remove_own(from.1)
}

fn must_be((root, relative): (&Root, &Relative), content: &Content) -> Result<(), ActionError> {
    if hash(root, relative)? == *content {
        return Ok(());
    }
    Err(ActionError::precondition(format!("{} is not the file that was to be moved", root.full(relative))))
}
