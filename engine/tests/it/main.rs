//! The engine against real files and servers: one binary, so that it links once.

mod packs;

mod evidence;
mod filler;
mod offsets;
mod queue;
mod queue_targets;
mod support;
mod worker;
mod worker_faults;
mod worker_load;
