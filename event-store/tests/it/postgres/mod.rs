//! The PostgreSQL backend: the contract, and what is its own.

mod append_only;
mod contract;
mod crashes;
mod foreign;
mod limits;
mod processes;
mod reading;
mod speed;
