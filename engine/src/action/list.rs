//! All actions, in the order of their names. A test finds every file in this list.

use super::Action;

/// All actions.
pub fn all() -> Vec<&'static dyn Action> {
    Vec::new()
}

/// The action of this name.
pub fn named(name: &str) -> Option<&'static dyn Action> {
    all().into_iter().find(|action| action.spec().name == name)
}
