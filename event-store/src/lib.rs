//! The event log: append, read, subscribe.
//!
//! Promises, of every backend (the contract suite in `tests/` holds them to it): optimistic concurrency per stream;
//! one dense, gap-free total order ([`Position`]) that a reader never misses an event of, over any number of writing
//! processes; a repeated command returns the original outcome; append-only, enforced by the database; old event
//! versions are read through upcasters.

pub mod feed;
#[cfg(feature = "kurrentdb")]
pub mod kurrentdb;
pub mod log;
pub mod past;
pub mod postgres;
pub mod upcast;

pub use domain::{Metadata, Position, StreamVersion};
pub use feed::{EventBatch, FeedSubscription, LiveFeed, StreamSubscription};
#[cfg(feature = "kurrentdb")]
pub use kurrentdb::{DatabaseCopy, KurrentEventLog, KurrentLogOptions};
pub use log::{
    Append, AppendError, Appended, CommandOutcome, CommandRecord, EventLog, Expected, LogError, NewEvent,
    RecordedEvent, RefusedCommand, StreamId,
};
pub use postgres::{PostgresEventLog, PostgresLogOptions};
pub use upcast::{UpcastError, Upcasted, Upcaster, Upcasters};
