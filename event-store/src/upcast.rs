//! Upcasters: events are never rewritten, so an old version is turned into the present one on its way out.
//!
//! One upcaster knows one step, of one event type from one version to the next; a chain of steps brings an event of
//! any age up to date. A step gives exactly one event today. [`Upcasters::apply`] is the only place that calls them
//! and works on a whole [`RecordedEvent`], so a step that splits an event can be added there (as a second method with
//! a default) without touching a backend.

use crate::log::{LogError, RecordedEvent};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// Far more steps than any event type will ever have: a chain longer than this is a loop.
const STEPS_MAX: usize = 64;

/// One step: an event type's payload from one version to the next.
pub trait Upcaster: Send + Sync + 'static {
    /// The aggregate's type.
    fn aggregate_type(&self) -> &str;
    /// The event's type as stored in the old version.
    fn event_type(&self) -> &str;
    /// The version that it takes.
    fn old_version(&self) -> &str;
    /// Gives the event in the next version.
    fn upcast(&self, payload: &RawValue) -> Result<Upcasted, UpcastError>;
}

/// What an upcaster gives.
#[derive(Debug, Clone)]
pub struct Upcasted {
    /// The event's type, which may have been renamed.
    pub event_type: String,
    /// Its version after the step.
    pub event_version: String,
    /// Its payload after the step.
    pub payload: Box<RawValue>,
}

/// Why an old payload could not be brought up to date.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UpcastError(pub String);

/// Why a registry can not be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("two upcasters take {aggregate_type} {event_type} of version {version}")]
pub struct DuplicateUpcaster {
    /// The aggregate's type.
    pub aggregate_type: String,
    /// The event's type.
    pub event_type: String,
    /// The version both take.
    pub version: String,
}

/// All known steps, by aggregate type, event type and version.
#[derive(Clone, Default)]
pub struct Upcasters {
    steps: Arc<HashMap<StepKey, Arc<dyn Upcaster>>>,
}

type StepKey = (String, String, String);

impl Upcasters {
    /// Builds the registry; two steps from the same version of the same type are an error.
    pub fn new(steps: impl IntoIterator<Item = Arc<dyn Upcaster>>) -> Result<Self, DuplicateUpcaster> {
        let mut map = HashMap::new();
        for step in steps {
            let key = (step.aggregate_type().to_owned(), step.event_type().to_owned(), step.old_version().to_owned());
            if map.insert(key.clone(), step).is_some() {
                return Err(DuplicateUpcaster { aggregate_type: key.0, event_type: key.1, version: key.2 });
            }
        }
        Ok(Self { steps: Arc::new(map) })
    }

    /// Brings an event up to date. An event of a current version comes back as it was.
    pub fn apply(&self, mut event: RecordedEvent) -> Result<RecordedEvent, LogError> {
        if self.steps.is_empty() {
            return Ok(event);
        }
        for _ in 0..STEPS_MAX {
            let key = (event.stream.aggregate_type.to_string(), event.event_type.clone(), event.event_version.clone());
            let Some(step) = self.steps.get(&key) else { return Ok(event) };
            let next = step.upcast(&event.payload).map_err(|error| LogError::Damaged {
                position: event.position,
                reason: format!("{} {} version {} does not upcast: {error}", key.0, key.1, key.2),
            })?;
            event.event_type = next.event_type;
            event.event_version = next.event_version;
            event.payload = next.payload;
        }
        Err(LogError::Damaged {
            position: event.position,
            reason: format!("upcasters of {} {} run in a circle", event.stream.aggregate_type, event.event_type),
        })
    }
}

impl std::fmt::Debug for Upcasters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upcasters").field("steps", &self.steps.len()).finish()
    }
}
