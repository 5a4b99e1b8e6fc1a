//! What moves while the lab is up: counters, logs, sessions, ports. One task owns each, until it is cancelled.

pub mod audit;
pub mod conductor;
pub mod grammar;
pub mod logs;
pub mod processors;
pub mod rows;
pub mod sessions;
pub mod wgs;
