//! States by stream, as of a version. What is cached is a true state of the past; whether it is still the present one
//! is for the append, or for a look at the log, to say.

use crate::lanes::StreamKey;
use domain::{Decider, StreamVersion};
use moka::future::Cache;
use std::any::Any;
use std::sync::Arc;
use uuid::Uuid;

/// A state, and how far it goes.
pub(crate) struct Known<D: Decider> {
    /// The folded state.
    pub state: Arc<D::State>,
    /// How many events it is folded from.
    pub version: StreamVersion,
    /// The id of the last of them.
    pub last_event: Uuid,
}

impl<D: Decider> Clone for Known<D> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), version: self.version, last_event: self.last_event }
    }
}

#[derive(Clone)]
struct Entry {
    state: Arc<dyn Any + Send + Sync>,
    version: StreamVersion,
    last_event: Uuid,
    weight: u32,
}

/// A bounded cache of states of all aggregates.
pub(crate) struct StateCache(Cache<StreamKey, Entry>);

impl StateCache {
    /// Holds states of about so many kilobytes in all.
    pub fn new(kilobytes: u64) -> Self {
        let cache = Cache::builder().max_capacity(kilobytes).weigher(|_, entry: &Entry| entry.weight).build();
        Self(cache)
    }

    pub async fn get<D: Decider>(&self, id: Uuid) -> Option<Known<D>> {
        let Entry { state, version, last_event, .. } = self.0.get(&(D::TYPE, id)).await?;
        // The key holds the aggregate's type, which has one state.
        let state = state.downcast::<D::State>().ok()?;
        Some(Known { state, version, last_event })
    }

    pub async fn put<D: Decider>(&self, id: Uuid, known: &Known<D>) {
        let entry = Entry {
            weight: D::state_weight(&known.state),
            state: Arc::clone(&known.state) as Arc<dyn Any + Send + Sync>,
            version: known.version,
            last_event: known.last_event,
        };
        self.0.insert((D::TYPE, id), entry).await;
    }

    pub async fn evict<D: Decider>(&self, id: Uuid) {
        self.0.invalidate(&(D::TYPE, id)).await;
    }
}
