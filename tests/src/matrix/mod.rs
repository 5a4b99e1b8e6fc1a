//! The fault matrix: each fault of the lab on its whole way, from a clean baseline to found, run dry, approved, fixed,
//! checked, taken back and replayed; on the real binary, through its API, with three different people.

mod change;
mod client;
mod history;
mod page;
mod way;

pub use client::{Client, Person};
pub use page::{Cell, Row, json, markdown, terminal, times};
pub use way::{Surroundings, one};
