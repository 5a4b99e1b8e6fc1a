//! Begins with a key.

use super::{AuditKeysEvent, AuditKeysRefusal, AuditKeysState, PresentedKey, well_formed};
use crate::decider::Context;

pub(super) fn decide(
    state: &AuditKeysState,
    key: PresentedKey,
    context: &Context,
) -> Result<Vec<AuditKeysEvent>, AuditKeysRefusal> {
    well_formed(&key)?;
    if state.keys.last().is_some_and(|(known, _)| *known == key.key_id) {
        return Ok(Vec::new());
    }
    if !state.keys.is_empty() {
        return Err(AuditKeysRefusal::AlreadyRegistered);
    }
    let PresentedKey { key_id, public_key, proof } = key;
    let (by, at) = (context.actor.clone(), context.now);
    Ok(vec![AuditKeysEvent::SigningKeyRegistered { key_id, public_key, proof, by, at }])
}

#[cfg(test)]
mod tests {
    use crate::audit_keys::samples::{key, register};
    use crate::audit_keys::{AuditKeys, AuditKeysCommand, PresentedKey};
    use crate::testing::{given, refuses};

    #[test]
    fn the_first_key_is_registered_once() {
        let keys = || given::<AuditKeys>(AuditKeys::id(), []);
        let state = keys().when(register('a')).then_types(&["SigningKeyRegistered"]);
        assert_eq!(state.keys, [(key('a').key_id, key('a').public_key)]);
        keys().and(register('a')).when(register('a')).then_nothing();
    }

    #[test]
    fn refusals() {
        let registered = || given::<AuditKeys>(AuditKeys::id(), []).and(register('a')).into_events();
        let short = |key: PresentedKey| AuditKeysCommand::Register { key };
        let rows = [
            ("another key", registered(), register('b'), "signing_key_registered"),
            (
                "a short id",
                vec![],
                short(PresentedKey { key_id: "ab".to_owned(), ..key('a') }),
                "signing_key_malformed",
            ),
            (
                "capitals",
                vec![],
                short(PresentedKey { public_key: "A".repeat(64), ..key('a') }),
                "signing_key_malformed",
            ),
            ("no proof", vec![], short(PresentedKey { proof: String::new(), ..key('a') }), "signing_key_malformed"),
        ];
        refuses::<AuditKeys>(AuditKeys::id(), rows);
    }
}
