//! Taking the history away: in forms that other tools read, whole, and with what proves it.
//!
//! - [`log`]: the events themselves, as CloudEvents or Parquet in a folder with a manifest; goes on where it stopped.
//! - [`report`]: one run as SARIF, JUnit or a page to print; a period as a page to print.
//! - [`table`]: findings, results and runs as CSV.
//! - [`registry`]: which events there are, in which version, and what they hold.
//!
//! Nothing here changes anything of the platform. Memory is bounded everywhere: what is long is read by pages and
//! written as it comes. A file appears under its name only once it is whole.

pub mod error;
pub mod event;
pub mod log;
pub mod output;
pub mod registry;
pub mod report;
pub mod table;

pub use error::ExportError;
pub use output::Output;

/// Who writes the exports, as they say themselves.
pub const TOOL: &str = "cmdiag";
/// In which version.
pub const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");
