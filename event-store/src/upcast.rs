//! Upcasters: events are never rewritten, so an old version is turned into the present one on its way out.
//!
//! One upcaster knows one step, of one event type from one version to the next; a chain of steps brings an event of
//! any age up to date. A step gives one event, several, or none.
//!
//! Positions and versions stay as they are stored, dense, whatever the steps give: a reader gets exactly one
//! [`RecordedEvent`] for each position. One that became several events, or none, comes as a packed one
//! ([`RecordedEvent::is_packed`]); [`RecordedEvent::parts`] takes it apart. The parts of a position are one whole: who
//! folds them takes all of them before it moves its checkpoint over the position. What does not know of parts can not
//! decode a packed event, and says so: nothing is lost in silence.

use crate::log::{LogError, RecordedEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Far more steps than any event type will ever have: a chain longer than this is a loop.
const STEPS_MAX: usize = 64;
/// The most events that one stored event may become.
const PARTS_MAX: usize = 1_000;
/// The type of an event that upcasters made into several, or none. No event is stored under it.
const PACKED: &str = "@parts";

/// One step: an event type's payload from one version to the next.
pub trait Upcaster: Send + Sync + 'static {
    /// The aggregate's type.
    fn aggregate_type(&self) -> &str;
    /// The event's type as stored in the old version.
    fn event_type(&self) -> &str;
    /// The version that it takes.
    fn old_version(&self) -> &str;
    /// Gives the event in the next version. A step that gives several events or none has [`Self::upcast_all`] instead.
    fn upcast(&self, _payload: &RawValue) -> Result<Upcasted, UpcastError> {
        Err(UpcastError("this step does not give one event".to_owned()))
    }
    /// Gives the events that the event is in the next version, in order: none where it is dropped.
    fn upcast_all(&self, payload: &RawValue) -> Result<Vec<Upcasted>, UpcastError> {
        Ok(vec![self.upcast(payload)?])
    }
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

    /// Whether there is none: events are read as they are stored.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Brings an event up to date. An event of a current version comes back as it was; one that became several, or
    /// none, as a packed one.
    pub fn apply(&self, mut event: RecordedEvent) -> Result<RecordedEvent, LogError> {
        if self.steps.is_empty()
            || self.step(&event.stream.aggregate_type, &event.event_type, &event.event_version).is_none()
        {
            return Ok(event);
        }
        let whole = Upcasted {
            event_type: std::mem::take(&mut event.event_type),
            event_version: std::mem::take(&mut event.event_version),
            payload: std::mem::take(&mut event.payload),
        };
        let mut parts = Vec::new();
        let about = (&*event.stream.aggregate_type, &event.position);
        self.bring_up(about, whole, STEPS_MAX, &mut parts)
            .map_err(|reason| LogError::Damaged { position: event.position, reason })?;
        let only = if parts.len() == 1 { parts.pop() } else { None };
        let now = match only {
            Some(one) => one,
            None => pack(&parts).map_err(|error| LogError::Damaged {
                position: event.position,
                reason: format!("what its upcasters give has no JSON: {error}"),
            })?,
        };
        event.event_type = now.event_type;
        event.event_version = now.event_version;
        event.payload = now.payload;
        Ok(event)
    }

    fn step(&self, aggregate_type: &str, event_type: &str, version: &str) -> Option<&Arc<dyn Upcaster>> {
        self.steps.get(&(aggregate_type.to_owned(), event_type.to_owned(), version.to_owned()))
    }

    /// Adds what an event of today's steps is, part by part and in order.
    fn bring_up(
        &self,
        about: (&str, &domain::Position),
        event: Upcasted,
        steps_left: usize,
        parts: &mut Vec<Upcasted>,
    ) -> Result<(), String> {
        let Some(step) = self.step(about.0, &event.event_type, &event.event_version) else {
            if parts.len() >= PARTS_MAX {
                return Err(format!("it becomes more than {PARTS_MAX} events"));
            }
            parts.push(event);
            return Ok(());
        };
        let Some(steps_left) = steps_left.checked_sub(1) else {
            return Err(format!("upcasters of {} {} run in a circle", about.0, event.event_type));
        };
        let next = step.upcast_all(&event.payload).map_err(|error| {
            let (kind, version) = (&event.event_type, &event.event_version);
            format!("{} {kind} version {version} does not upcast: {error}", about.0)
        })?;
        next.into_iter().try_for_each(|one| self.bring_up(about, one, steps_left, parts))
    }
}

impl std::fmt::Debug for Upcasters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upcasters").field("steps", &self.steps.len()).finish()
    }
}

#[derive(Serialize)]
struct Packed<'a> {
    event_type: &'a str,
    event_version: &'a str,
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Unpacked {
    event_type: String,
    event_version: String,
    payload: Box<RawValue>,
}

fn pack(parts: &[Upcasted]) -> Result<Upcasted, serde_json::Error> {
    let each = parts.iter().map(|part| Packed {
        event_type: &part.event_type,
        event_version: &part.event_version,
        payload: &part.payload,
    });
    let payload = serde_json::value::to_raw_value(&each.collect::<Vec<_>>())?;
    Ok(Upcasted { event_type: PACKED.to_owned(), event_version: String::new(), payload })
}

impl RecordedEvent {
    /// Whether upcasters made several events of it, or none.
    pub fn is_packed(&self) -> bool {
        self.event_type == PACKED
    }

    /// The events that it is, in order: itself, but for a packed one. All share position, version, metadata and time;
    /// the first keeps the event's id, and those of the others follow from it.
    pub fn parts(&self) -> Vec<Cow<'_, Self>> {
        if !self.is_packed() {
            return vec![Cow::Borrowed(self)];
        }
        // Somebody stored an event under the reserved type: it is handed on as it is, and does not decode.
        let Ok(parts) = serde_json::from_str::<Vec<Unpacked>>(self.payload.get()) else {
            return vec![Cow::Borrowed(self)];
        };
        let whole = |(index, part): (usize, Unpacked)| {
            let event_id = match index {
                0 => self.event_id,
                _ => Uuid::new_v5(&self.event_id, &(index as u64).to_be_bytes()),
            };
            Cow::Owned(Self {
                event_id,
                event_type: part.event_type,
                event_version: part.event_version,
                payload: part.payload,
                ..self.clone()
            })
        };
        parts.into_iter().enumerate().map(whole).collect()
    }

    /// [`Self::parts`], shared.
    pub fn shared_parts(this: &Arc<Self>) -> Vec<Arc<Self>> {
        if this.is_packed() {
            this.parts().into_iter().map(|part| Arc::new(part.into_owned())).collect()
        } else {
            vec![Arc::clone(this)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::testing::event;

    /// Named, its version, and what it becomes.
    struct Step(&'static str, &'static str, &'static [(&'static str, &'static str)]);

    impl Upcaster for Step {
        fn aggregate_type(&self) -> &'static str {
            "Thing"
        }
        fn event_type(&self) -> &str {
            self.0
        }
        fn old_version(&self) -> &str {
            self.1
        }
        fn upcast_all(&self, payload: &RawValue) -> Result<Vec<Upcasted>, UpcastError> {
            let each = self.2.iter().map(|(event_type, event_version)| Upcasted {
                event_type: (*event_type).to_owned(),
                event_version: (*event_version).to_owned(),
                payload: payload.to_owned(),
            });
            Ok(each.collect())
        }
    }

    fn types(upcasters: &Upcasters, event_type: &str) -> Vec<(String, String)> {
        let old = RecordedEvent { event_type: event_type.to_owned(), ..event("Thing", "1", 7, 3) };
        let up = upcasters.apply(old).unwrap();
        assert_eq!((up.position.0, up.version.0), (7, 3));
        let parts = up.parts();
        assert!(parts.iter().all(|part| (part.position.0, part.version.0) == (7, 3) && !part.is_packed()));
        parts.iter().map(|part| (part.event_type.clone(), part.event_version.clone())).collect()
    }

    fn upcasters() -> Upcasters {
        let steps: Vec<Arc<dyn Upcaster>> = vec![
            Arc::new(Step("Split", "1", &[("Left", "1"), ("Right", "1")])),
            Arc::new(Step("Right", "1", &[("Right", "2"), ("Dropped", "1"), ("Renamed", "2")])),
            Arc::new(Step("Dropped", "1", &[])),
            Arc::new(Step("Old", "1", &[("New", "1")])),
            Arc::new(Step("Circle", "1", &[("Circle", "1"), ("Circle", "1")])),
        ];
        Upcasters::new(steps).unwrap()
    }

    #[test]
    fn a_step_gives_one_event_several_or_none() {
        let upcasters = upcasters();
        let told = |parts: &[(&str, &str)]| -> Vec<(String, String)> {
            parts.iter().map(|(event_type, version)| ((*event_type).to_owned(), (*version).to_owned())).collect()
        };
        assert_eq!(types(&upcasters, "Happened"), told(&[("Happened", "1")]));
        assert_eq!(types(&upcasters, "Old"), told(&[("New", "1")]));
        assert_eq!(types(&upcasters, "Split"), told(&[("Left", "1"), ("Right", "2"), ("Renamed", "2")]));
        assert_eq!(types(&upcasters, "Dropped"), told(&[]));
    }

    #[test]
    fn the_first_part_keeps_the_id_and_the_others_have_their_own() {
        let old = RecordedEvent { event_type: "Split".to_owned(), ..event("Thing", "1", 7, 3) };
        let id = old.event_id;
        let ids = || {
            let up = upcasters().apply(old.clone()).unwrap();
            up.parts().iter().map(|part| part.event_id).collect::<Vec<_>>()
        };
        let mut first = ids();
        assert_eq!(first, ids());
        assert_eq!(first[0], id);
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 3);
    }

    #[test]
    fn a_circle_is_damage() {
        let old = RecordedEvent { event_type: "Circle".to_owned(), ..event("Thing", "1", 7, 3) };
        assert!(matches!(upcasters().apply(old), Err(LogError::Damaged { position, .. }) if position.0 == 7));
    }
}
