//! Actions on log files.

mod compress;

pub use compress::Compress;
