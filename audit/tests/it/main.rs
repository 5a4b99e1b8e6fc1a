//! The audit against a real database: sealing, verifying, attacks.

mod append_only;
mod attacks;
mod bundles;
mod keys;
mod proofs;
mod publishing;
mod sealing;
mod support;
