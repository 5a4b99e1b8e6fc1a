//! Who may decide: rules on people.

use super::RemediationRefusal;
use crate::ids::Actor;

/// The form in which people are compared: the same account in another spelling is the same person.
pub(super) fn key(actor: &Actor) -> String {
    actor.as_str().trim().to_lowercase()
}

/// Refuses what only a person may decide.
pub(super) fn require_person(actor: &Actor) -> Result<(), RemediationRefusal> {
    if actor.is_system() { Err(RemediationRefusal::PersonNeeded) } else { Ok(()) }
}
