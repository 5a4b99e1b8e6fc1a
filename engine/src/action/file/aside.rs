//! Where things are set aside: `.cmdiag/<step>/was/` and, while they are made, `.cmdiag/<step>/new/`.

use super::relative::OWN;
use super::{Relative, Root};
use crate::action::ActionError;
use sha2::{Digest, Sha256};

/// For nobody but the account that acts.
const FOLDER_MODE: u32 = 0o700;
const NAME_CHARS_MAX: usize = 80;
/// The most that one step has set aside, counted when its folders are tidied up.
const FOLDERS_MAX: usize = 100_000;

/// The name of a step's folder: its idempotency key where that is a plain name, else a plain form of it with a hash.
pub(crate) fn name_of(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.len() <= NAME_CHARS_MAX && key.chars().all(plain) {
        return key.to_owned();
    }
    let kept: String = key.chars().map(|c| if plain(c) { c } else { '-' }).take(NAME_CHARS_MAX).collect();
    format!("{kept}-{}", &hex::encode(Sha256::digest(key.as_bytes()))[..12])
}

/// Where a file's present state is kept.
pub(crate) fn was(key: &str, relative: &Relative) -> Relative {
    Relative::own(format!("{OWN}/{}/was/{relative}", name_of(key)))
}

/// Where a file is made before it takes its place.
pub(crate) fn new(key: &str, relative: &Relative) -> Relative {
    Relative::own(format!("{OWN}/{}/new/{relative}", name_of(key)))
}

/// Makes the folders for a place of ours.
pub(crate) fn make_room(root: &Root, place: &Relative) -> Result<(), ActionError> {
    root.make_parents(place, FOLDER_MODE)
}

/// Sets a file aside.
pub(crate) fn set(root: &Root, relative: &Relative, key: &str) -> Result<(), ActionError> {
    let place = was(key, relative);
    make_room(root, &place)?;
    root.move_to(relative, root, &place)
}

/// Removes the step's folders, where nothing is in them any more.
pub(crate) fn tidy(root: &Root, key: &str) -> Result<(), ActionError> {
    let own = Relative::own(OWN.to_owned());
    let step = Relative::own(format!("{OWN}/{}", name_of(key)));
    remove_empty_folders(root, &step)?;
    root.remove_if_empty(&own)
}

/// Removes a folder with all below it that holds no file, the deepest first.
pub(crate) fn remove_empty_folders(root: &Root, top: &Relative) -> Result<(), ActionError> {
    if !root.look(top)?.is_some_and(|found| found.is_folder) {
        return Ok(());
    }
    let mut folders = vec![top.clone()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let below = root.list(Some(&folder))?.into_iter().filter(|(_, found)| found.is_folder);
        folders.extend(below.map(|(name, _)| Relative::own(format!("{folder}/{name}"))));
        if folders.len() > FOLDERS_MAX {
            return Err(ActionError::precondition(format!("{} holds too many folders", root.full(top))));
        }
    }
    folders.iter().rev().try_for_each(|folder| root.remove_if_empty(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_becomes_a_plain_name_of_its_own() {
        assert_eq!(name_of("0190-step_1"), "0190-step_1");
        let names = ["../../etc", "a/b", "a b", "", &"x".repeat(500), "a:b"].map(name_of);
        for name in &names {
            assert!(!name.contains(['/', '.', ' ', ':']) && name.len() < 120, "{name}");
        }
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }
}
