//! What may have happened to the sample finding, for the tests of its commands.

use super::{FindingEvent, Fingerprint};
use crate::Outcome;
use crate::ids::FindingId;
use crate::testing::{after, fingerprint, ok_sighting, sighting, start};
use uuid::Uuid;

fn finding() -> FindingId {
    let Fingerprint { deployment, check, resource } = fingerprint();
    FindingId::of(deployment, &check, &resource)
}

pub(super) fn id() -> Uuid {
    finding().0
}

pub(super) fn suspected() -> FindingEvent {
    FindingEvent::FindingSuspected {
        id: finding(),
        fingerprint: fingerprint(),
        sighting: sighting(1, Outcome::Warning),
        in_a_row: 1,
        at: start(),
    }
}

pub(super) fn opened() -> FindingEvent {
    FindingEvent::FindingOpened {
        id: finding(),
        fingerprint: fingerprint(),
        sighting: sighting(1, Outcome::Warning),
        at: start(),
    }
}

pub(super) fn resolved() -> FindingEvent {
    FindingEvent::FindingResolved { run: ok_sighting(2).run, open_seconds: 0, at: start() }
}

pub(super) fn muted() -> FindingEvent {
    FindingEvent::FindingMuted { by: "a".to_owned(), until: after(86_400), reason: "known".to_owned(), at: start() }
}

pub(super) fn marked() -> FindingEvent {
    FindingEvent::FindingMarkedFalsePositive { by: "a".to_owned(), reason: "as meant".to_owned(), at: start() }
}
