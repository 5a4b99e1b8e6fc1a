//! Who may decide: rules on people.

use super::{RemediationRefusal, RemediationState};
use crate::ids::Actor;

/// What the key of a sealed name begins with.
const BY_SUBJECT: &str = "subject:";

/// The form in which people are compared: the same account in another spelling is the same person. A sealed name is
/// compared by its subject, which the vault gives to all spellings alike.
pub(super) fn key(actor: &Actor) -> String {
    match actor.subject() {
        Some(subject) => format!("{BY_SUBJECT}{subject}"),
        None => actor.as_str().trim().to_lowercase(),
    }
}

/// Refuses what only a person may decide.
pub(super) fn require_person(actor: &Actor) -> Result<(), RemediationRefusal> {
    if actor.is_system() { Err(RemediationRefusal::PersonNeeded) } else { Ok(()) }
}

/// Refuses to judge by the rule of two people where one of them is known by a sealed name and the other by an open
/// one: they could be the same. That is so only for what was under way when names began to be sealed.
pub(super) fn require_comparable(state: &RemediationState, actor: &Actor) -> Result<(), RemediationRefusal> {
    let sealed = actor.subject().is_some();
    let differs = |key: &String| {
        let is_person = key.parse::<Actor>().is_ok_and(|other| other.is_personal());
        is_person && key.starts_with(BY_SUBJECT) != sealed
    };
    if actor.is_personal() && state.approvers.iter().chain(&state.executors).any(differs) {
        return Err(RemediationRefusal::PeopleNotComparable);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remediation::story::{Command, actor, approve, delegate, executable, waiting};
    use crate::testing::approver;

    fn sealed(subject: u8, cipher: &str) -> Actor {
        actor(&format!("sealed:0198c0de-0000-7000-8000-0000000000{subject:02x}.{cipher}."))
    }

    #[test]
    fn spellings_of_a_person_are_the_same_sealed_or_not() {
        assert_eq!(key(&actor(" Mara@Example.ORG ")), key(&actor("mara@example.org")));
        assert_eq!(key(&sealed(1, "AAAA")), key(&sealed(1, "BBBB")));
        assert_ne!(key(&sealed(1, "AAAA")), key(&sealed(2, "AAAA")));
    }

    #[test]
    fn one_sealed_person_counts_once() {
        let once = || waiting(2).by(sealed(1, "AAAA")).and(approve());
        once().by(sealed(1, "BBBB")).when(approve()).then_refused("already_approved");
        let approved = once().by(sealed(2, "AAAA")).and(approve());
        approved.by(sealed(1, "CCCC")).when(Command::Execute).then_refused("executor_is_approver");
        waiting(1).by(sealed(1, "AAAA")).when(delegate(&sealed(1, "BBBB"))).then_refused("delegated_to_self");
    }

    #[test]
    fn an_open_and_a_sealed_name_are_not_told_apart_by_guessing() {
        let open = || waiting(2).by(approver()).and(approve());
        open().by(sealed(1, "AAAA")).when(approve()).then_refused("people_not_comparable");
        open().by(sealed(1, "AAAA")).when(delegate(&sealed(2, "AAAA"))).then_refused("people_not_comparable");
        executable().by(sealed(1, "AAAA")).when(Command::Execute).then_refused("people_not_comparable");
        let shut = waiting(2).by(sealed(1, "AAAA")).and(approve());
        shut.by(approver()).when(approve()).then_refused("people_not_comparable");
        // Whoever has no name is no person that could be somebody else.
        let local = waiting(1).by(actor("anonymous:local")).and(approve());
        local.by(sealed(1, "AAAA")).when(Command::Execute).then_types(&["ExecutionRequested"]);
    }
}
