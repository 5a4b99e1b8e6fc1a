//! The schema registry: every event type in every version, what its payload holds, and what an old version becomes.
//!
//! The registry is a file, one line an event type and version, written from the domain's own types by a test
//! (`tests/it/event_schemas`), which also fails where the types and the file differ: an event can not change without a
//! new version, but for an addition that old events lack and readers may overlook.

use serde::{Deserialize, Serialize};
use serde_json::Value;

static DOCUMENT: &str = include_str!("../event-schemas.jsonl");

/// One event type in one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventSchema {
    /// The type of its aggregate.
    pub aggregate_type: String,
    /// Its type.
    pub event_type: String,
    /// Its version.
    pub event_version: String,
    /// Whether it is written today, rather than only read.
    pub current: bool,
    /// What an old version becomes when it is read: the type and version of each event, in order. None of a current
    /// version; an empty list where it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upcasts_to: Option<Vec<TypeAndVersion>>,
    /// Its payload, as a JSON schema.
    pub payload: Value,
}

/// A type and a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeAndVersion {
    /// The event's type.
    pub event_type: String,
    /// Its version.
    pub event_version: String,
}

impl EventSchema {
    /// The names of the payload's fields; one that may be missing has a `?` behind it.
    pub fn fields(&self) -> Vec<String> {
        let inner = self.payload.pointer(&format!("/properties/{}", self.event_type));
        let Some(inner) = inner.or(Some(&self.payload)) else { return Vec::new() };
        let required = inner["required"].as_array().cloned().unwrap_or_default();
        let properties = inner["properties"].as_object();
        let named = properties.into_iter().flatten().map(|(name, _)| {
            let needed = required.iter().any(|required| required == name);
            if needed { name.clone() } else { format!("{name}?") }
        });
        named.collect()
    }
}

/// All of them, by aggregate, type and version.
pub fn event_schemas() -> Result<Vec<EventSchema>, serde_json::Error> {
    read(DOCUMENT)
}

/// Reads a registry: a line an event type and version.
pub fn read(document: &str) -> Result<Vec<EventSchema>, serde_json::Error> {
    document.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect()
}
