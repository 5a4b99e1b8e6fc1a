//! The history in one file, to be verified anywhere: zstd-compressed JSON lines.
//!
//! | line | holds |
//! |---|---|
//! | `manifest` | format, the log's name, when it was made, how many events, the keys as the log names them |
//! | `event` | an event, every column verbatim; payload and metadata as the texts that they are |
//! | `seal` | a row of seals, after its events |
//! | `checkpoint` | a signed note, after the seals of its tree |
//! | `end` | how many events and checkpoints there were: without it the file was cut |
//!
//! The keys of the manifest are for people; the verifier takes keys from the log's own events, and from whoever pins
//! them.

mod lines;
mod read;
mod write;

pub use read::verify_bundle;
pub use write::{Written, write_bundle};

/// The name of the format.
pub const FORMAT: &str = "cmdiag-audit-bundle";
/// Its version.
pub const VERSION: u32 = 1;
