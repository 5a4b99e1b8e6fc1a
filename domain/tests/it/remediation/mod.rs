//! A remediation's whole life, and what holds in any of them.

mod any_life;
mod executor;
mod invariants;
mod life;
mod plans;
mod world;
