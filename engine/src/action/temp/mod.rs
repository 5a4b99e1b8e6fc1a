//! Actions on temporary files.

mod move_files;

pub use move_files::MoveFiles;
