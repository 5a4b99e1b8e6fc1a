//! The PostgreSQL backend: the contract, and what is its own.

mod append_only;
mod command_log;
mod contract;
mod crashes;
mod foreign;
mod limits;
mod past;
mod processes;
mod reading;
mod speed;
