//! Personal data: sealed on the way in, opened at the very edge, forgotten for good.
//!
//! Each person (and each other personal text) is a *subject*: a random id and a random key, wrapped by the master key
//! from the configuration, in one table. What is decided on, recorded, projected and cached is the text sealed under
//! that key. Erasing somebody destroys one key: events stay byte for byte as they were, and nothing else has to be
//! found and changed, since nothing else ever held the name.
//!
//! Read in this order: [`master`] (the key from the configuration), `cipher` (a subject's key), `table`, [`Vault`]
//! (sealing and opening, with its caches), [`erasure`].
//!
//! Invariants. A subject's id is random, and what finds it by the person's name (an HMAC under the master key) is
//! destroyed with the key: what is left of an erased subject is linked to nobody, not even by who has the master key
//! and a list of names. A text is sealed alike every time, so that sealed texts can be compared and counted.

mod cipher;
pub mod erasure;
pub mod error;
pub mod master;
mod table;
mod vault;

pub use error::VaultError;
pub use master::{MasterKey, MasterKeyError};
pub use table::SubjectRecord;
pub use vault::{Sealing, Vault};
