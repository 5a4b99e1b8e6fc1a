//! The lab on real parts: its data, its doubles, its faults.

mod data;
mod doubles;
mod faults;
mod shows;
mod support;
