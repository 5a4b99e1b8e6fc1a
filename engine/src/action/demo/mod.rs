//! Harmless actions by which the platform itself can be tried: recovery after a kill, undo, deadlines, parallel steps.
//!
//! They ship with the product, as the demo saga of a saga engine does, and can touch nothing but one folder that a
//! component names in its setting `demo_folder`.

mod noop;
mod set_value;
mod wait;

pub use noop::Noop;
pub use set_value::SetValue;
pub use wait::Wait;

use super::{ActionError, ActionTarget};
use std::path::{Path, PathBuf};

/// The folder that the component names; it must be there.
fn folder(target: &ActionTarget) -> Result<PathBuf, ActionError> {
    let folder = Path::new(target.setting("demo_folder")?);
    if folder.is_absolute() && folder.is_dir() {
        Ok(folder.to_path_buf())
    } else {
        Err(ActionError::configuration(format!("demo_folder {} is not an existing absolute folder", folder.display())))
    }
}

fn plain_name(name: &str) -> Result<(), ActionError> {
    let plain = !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if plain { Ok(()) } else { Err(ActionError::configuration(format!("{name:?} is not a plain file name"))) }
}
