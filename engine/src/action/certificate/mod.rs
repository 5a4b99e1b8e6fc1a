//! Actions on certificates.

mod pair;

mod switch;

pub use switch::Switch;
