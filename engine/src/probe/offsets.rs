//! How far log probes have read, and what they still count: kept between runs.

use domain::{ComponentName, DeploymentId};
use futures::future::{BoxFuture, FutureExt};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Whose state it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OffsetKey {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The component.
    pub component: ComponentName,
    /// The check's code and version, so that a changed check starts afresh.
    pub probe: String,
}

/// The state could not be read or kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("how far the logs were read could not be looked up or kept: {0}")]
pub struct OffsetError(pub String);

/// Keeps the state of log probes. A state is one value that says all: two runs that read at once each keep a valid one.
pub trait OffsetStore: Send + Sync {
    /// The state, where one was kept.
    fn load<'a>(&'a self, key: &'a OffsetKey) -> BoxFuture<'a, Result<Option<Value>, OffsetError>>;
    /// Keeps a state.
    fn save<'a>(&'a self, key: &'a OffsetKey, state: Value) -> BoxFuture<'a, Result<(), OffsetError>>;
}

/// Keeps states in memory: for tests, and for runs without a database.
#[derive(Debug, Default)]
pub struct MemoryOffsets(Mutex<HashMap<OffsetKey, Value>>);

impl OffsetStore for MemoryOffsets {
    fn load<'a>(&'a self, key: &'a OffsetKey) -> BoxFuture<'a, Result<Option<Value>, OffsetError>> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        std::future::ready(Ok(found)).boxed()
    }

    fn save<'a>(&'a self, key: &'a OffsetKey, state: Value) -> BoxFuture<'a, Result<(), OffsetError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), state);
        std::future::ready(Ok(())).boxed()
    }
}
