//! Goes on with another key.

use super::{AuditKeysEvent, AuditKeysRefusal, AuditKeysState, PresentedKey, digits, well_formed};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &AuditKeysState,
    (key, retires): (PresentedKey, &str),
    endorsement: Option<String>,
    reason: String,
    context: &Context,
) -> Result<Vec<AuditKeysEvent>, AuditKeysRefusal> {
    well_formed(&key)?;
    if let Some(endorsement) = &endorsement {
        digits("the endorsement", endorsement, 128)?;
    }
    required("the reason", &reason, REASON_CHARS_MAX)?;
    let Some((retired, _)) = state.keys.last() else { return Err(AuditKeysRefusal::NotRegistered) };
    if *retired == key.key_id {
        return Ok(Vec::new());
    }
    if state.keys.iter().any(|(known, _)| *known == key.key_id) {
        return Err(AuditKeysRefusal::UsedBefore);
    }
    if retired != retires {
        return Err(AuditKeysRefusal::Overtaken);
    }
    let PresentedKey { key_id, public_key, proof } = key;
    let (retired, by, at) = (retired.clone(), context.actor.clone(), context.now);
    Ok(vec![AuditKeysEvent::SigningKeyRotated { retired, key_id, public_key, proof, endorsement, by, reason, at }])
}

#[cfg(test)]
mod tests {
    use crate::audit_keys::samples::{key, register, rotate};
    use crate::audit_keys::{AuditKeys, AuditKeysCommand};
    use crate::testing::{given, refuses};

    #[test]
    fn a_key_follows_another() {
        let keys = || given::<AuditKeys>(AuditKeys::id(), []).and(register('a'));
        let state = keys().when(rotate('b', "yearly")).then_types(&["SigningKeyRotated"]);
        assert_eq!(state.keys.last().unwrap().0, key('b').key_id);
        keys().when(rotate('a', "yearly")).then_nothing();
        let lost = AuditKeysCommand::Rotate {
            key: key('b'),
            retires: key('a').key_id,
            endorsement: None,
            reason: "the disk died".to_owned(),
        };
        keys().when(lost).then_types(&["SigningKeyRotated"]);
    }

    #[test]
    fn refusals() {
        let registered = || given::<AuditKeys>(AuditKeys::id(), []).and(register('a'));
        let rotated = || registered().and(rotate('b', "yearly")).into_events();
        let (retires, endorsement) = (key('a').key_id, Some("x".repeat(128)));
        let unsigned = AuditKeysCommand::Rotate { key: key('b'), retires, endorsement, reason: "y".into() };
        let rows = [
            ("no key before it", vec![], rotate('b', "yearly"), "signing_key_not_registered"),
            ("a retired key", rotated(), rotate('a', "yearly"), "signing_key_used_before"),
            ("another one was first", rotated(), rotate('c', "yearly"), "signing_key_overtaken"),
            ("no reason", registered().into_events(), rotate('b', " "), "text_empty"),
            ("no signature", registered().into_events(), unsigned, "signing_key_malformed"),
        ];
        refuses::<AuditKeys>(AuditKeys::id(), rows);
    }
}
