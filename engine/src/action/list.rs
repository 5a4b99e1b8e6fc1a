//! All actions, in the order of their names. A test finds every file in this list.

use super::{Action, Erased, demo};

static ALL: &[&dyn Action] =
    &[&Erased::<demo::Noop>::new(), &Erased::<demo::SetValue>::new(), &Erased::<demo::Wait>::new()];

/// All actions.
pub fn all() -> Vec<&'static dyn Action> {
    ALL.to_vec()
}

/// The action of this name.
pub fn named(name: &str) -> Option<&'static dyn Action> {
    ALL.iter().copied().find(|action| action.spec().name == name)
}
