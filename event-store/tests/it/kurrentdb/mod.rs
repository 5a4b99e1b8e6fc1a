//! The KurrentDB backend: the contract, and what is its own.
//!
//! The contract runs against the server that `CMDIAG_TEST_KURRENTDB` names (an `esdb://` URL), and where it names none
//! against [`double::KurrentDouble`]. Everything else here needs faults, and always runs against the double.

mod contract;
mod copy;
mod crashes;
mod double;
mod double_rules;
mod failures;
mod positions;
mod scene;
