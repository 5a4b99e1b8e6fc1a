//! Whole-system tests: the layout's rules, and the platform as its users see it.

mod command_line;
mod demo;
mod documentation;
mod faults;
mod kills;
mod outages;
mod tidy;
mod unknowns;
