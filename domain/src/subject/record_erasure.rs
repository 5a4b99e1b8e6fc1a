//! The key is destroyed. Put on record once, whoever finds it so.

use super::{SubjectEvent, SubjectPhase, SubjectRefusal, SubjectState};
use crate::decider::Context;
use crate::ids::{ContentHash, SubjectId};
use chrono::{DateTime, Utc};

pub(super) fn decide(
    state: &SubjectState,
    key_fingerprint: ContentHash,
    destroyed_at: DateTime<Utc>,
    context: &Context,
) -> Result<Vec<SubjectEvent>, SubjectRefusal> {
    match state.phase {
        SubjectPhase::Known => Err(SubjectRefusal::NotRequested),
        SubjectPhase::Erased => Ok(Vec::new()),
        SubjectPhase::ErasureRequested => {
            let (subject, by, at) = (SubjectId(context.id), context.actor.clone(), context.now);
            Ok(vec![SubjectEvent::SubjectErased { subject, key_fingerprint, destroyed_at, by, at }])
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::subject::{Subject, SubjectCommand, SubjectPhase};
    use crate::testing::{content_hash, given, refuses, start};
    use uuid::Uuid;

    const ID: Uuid = Uuid::from_u128(7);

    fn done() -> SubjectCommand {
        SubjectCommand::RecordErasure { key_fingerprint: content_hash("key"), destroyed_at: start() }
    }

    #[test]
    fn it_is_recorded_once_with_the_fingerprint() {
        let asked =
            || given::<Subject>(ID, []).and(SubjectCommand::RequestErasure { reason: "left the house".to_owned() });
        let state = asked().when(done()).then_types(&["SubjectErased"]);
        assert_eq!((state.phase, state.key_fingerprint), (SubjectPhase::Erased, Some(content_hash("key"))));
        asked().and(done()).when(done()).then_nothing();
        let again = SubjectCommand::RequestErasure { reason: "again".to_owned() };
        asked().and(done()).when(again).then_nothing();
    }

    #[test]
    fn refusals() {
        refuses::<Subject>(ID, [("nobody asked", vec![], done(), "erasure_not_requested")]);
    }
}
