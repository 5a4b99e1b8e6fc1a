//! Events decoded once for all projections of a process.

use crate::projection::ApplyError;
use domain::AnyEvent;
use event_store::RecordedEvent;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// A recorded event with its payload and its aggregate's id decoded.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// As read from the log.
    pub recorded: Arc<RecordedEvent>,
    /// The aggregate's id.
    pub id: Uuid,
    /// The payload; none where no projection that wants the event looks at more than what is recorded.
    pub event: Option<AnyEvent>,
    /// Which of the events at its position it is, from 0: an old event may have become several.
    pub part: usize,
}

impl Deref for Decoded {
    type Target = RecordedEvent;
    fn deref(&self) -> &RecordedEvent {
        &self.recorded
    }
}

impl Decoded {
    /// Takes an event as it is recorded; the error says why it can not be.
    pub fn raw(recorded: Arc<RecordedEvent>) -> Result<Self, String> {
        let id = Self::id_of(&recorded)?;
        Ok(Self { recorded, id, event: None, part: 0 })
    }

    /// The aggregate's id.
    pub(crate) fn id_of(recorded: &RecordedEvent) -> Result<Uuid, String> {
        Uuid::parse_str(&recorded.stream.aggregate_id)
            .map_err(|_| format!("stream {} has an id that is not a UUID", recorded.stream))
    }

    /// Decodes an event; the error says why it can not be.
    pub fn new(recorded: Arc<RecordedEvent>) -> Result<Self, String> {
        let raw = Self::raw(recorded)?;
        let recorded = &raw.recorded;
        let event = recorded.decode().map_err(|error| {
            let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            format!("{} of {}: {error}{cause}", recorded.event_type, recorded.stream)
        })?;
        Ok(Self { event: Some(event), ..raw })
    }

    /// The payload, for a projection that did not say that it takes the event as recorded.
    pub fn whole(&self) -> Result<&AnyEvent, ApplyError> {
        self.event.as_ref().ok_or_else(|| ApplyError::Event {
            position: self.position,
            reason: format!("{} of {} was not decoded", self.event_type, self.stream),
        })
    }

    /// Takes a recorded event apart into the events that it is today, and decodes those that are wanted.
    pub fn parts(
        recorded: &Arc<RecordedEvent>,
        wants: impl Fn(&RecordedEvent) -> bool,
    ) -> Result<Vec<Arc<Self>>, String> {
        Self::parts_for(recorded, wants, |_| false)
    }

    /// The same for a projection that takes some of them as they are recorded.
    pub(crate) fn parts_for(
        recorded: &Arc<RecordedEvent>,
        wants: impl Fn(&RecordedEvent) -> bool,
        takes_raw: impl Fn(&RecordedEvent) -> bool,
    ) -> Result<Vec<Arc<Self>>, String> {
        let parts = RecordedEvent::shared_parts(recorded).into_iter().enumerate();
        let decode = |(part, event): (usize, Arc<RecordedEvent>)| {
            let one = if takes_raw(&event) { Self::raw(event)? } else { Self::new(event)? };
            Ok(Arc::new(Self { part, ..one }))
        };
        parts.filter(|(_, part)| wants(part)).map(decode).collect()
    }
}

/// How many decoded events are kept for the projections that come to them a little later.
const SLOTS: usize = 1_024;
/// Larger events are decoded by each projection for itself: they would hold too much memory here.
const SHARED_BYTES_MAX: usize = 64 << 10;

/// The last decoded events, by position: the runners of a process follow each other closely, and each event is decoded
/// by the first that comes to it.
pub struct DecodeRing {
    slots: Box<[Mutex<Option<Arc<Decoded>>>]>,
}

impl Default for DecodeRing {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Mutex::new(None)).collect() }
    }
}

impl DecodeRing {
    /// The event, decoded now or before.
    pub fn decode(&self, recorded: &Arc<RecordedEvent>) -> Result<Arc<Decoded>, String> {
        if recorded.payload.get().len() > SHARED_BYTES_MAX {
            return Decoded::new(Arc::clone(recorded)).map(Arc::new);
        }
        let index = usize::try_from(recorded.position.0).unwrap_or(0) % SLOTS;
        // The slot stays locked while decoding, so that a second runner waits for the result instead of decoding too. A
        // poisoned lock is a panic in decoding: the slot then holds what it held before.
        let mut slot = self.slots[index].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = slot.as_ref().filter(|known| known.event_id == recorded.event_id) {
            return Ok(Arc::clone(known));
        }
        let decoded = Arc::new(Decoded::new(Arc::clone(recorded))?);
        *slot = Some(Arc::clone(&decoded));
        Ok(decoded)
    }
}
