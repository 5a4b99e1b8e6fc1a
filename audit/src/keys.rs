//! Which key was in force when: a small history inside the log itself, each new key endorsed by the one before.
//!
//! The events are read from their stored text, and only what is needed of them: who asked for a rotation may be
//! encrypted.

use crate::canonical::StoredEvent;
use crate::signing::{PublicKey, Signer};
use domain::any_event::AUDIT_KEYS;
use domain::audit_keys::AuditKeys;
use serde::Deserialize;

/// A key and from where on it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInForce {
    /// The event that put it in force: it signs trees of this size or larger.
    pub position: u64,
    /// The key.
    pub key: PublicKey,
    /// Whether the key before it endorsed it; the first one has none before it.
    pub endorsed: bool,
}

/// The keys of a log in the order in which they came into force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyHistory {
    keys: Vec<KeyInForce>,
}

/// What is needed of an event of the stream of keys.
#[derive(Debug, Deserialize)]
enum KeyEvent {
    SigningKeyRegistered { key_id: String, public_key: String, proof: String },
    SigningKeyRotated { key_id: String, public_key: String, proof: String, endorsement: Option<String> },
}

/// Whether an event belongs to the log's stream of keys.
pub fn is_key_event(event: &StoredEvent<'_>) -> bool {
    event.aggregate_type == AUDIT_KEYS && event.aggregate_id == AuditKeys::id().to_string()
}

/// The statement that a new key, and the key before it, sign.
pub fn statement(retired: Option<&PublicKey>, key: &PublicKey) -> String {
    let retired = retired.map_or_else(|| "-".to_owned(), |retired| retired.to_hex());
    format!("cmdiag audit key v1\nretires {retired}\nfor {}\n", key.to_hex())
}

/// A signature of the statement, as the event holds it.
pub fn attest(signer: &Signer, retired: Option<&PublicKey>, key: &PublicKey) -> String {
    hex::encode(signer.sign(statement(retired, key).as_bytes()))
}

impl KeyHistory {
    /// The key in force for a tree of this size.
    pub fn in_force(&self, tree_size: u64) -> Option<&KeyInForce> {
        self.keys.iter().rev().find(|key| key.position <= tree_size)
    }

    /// All of them, the first one first.
    pub fn all(&self) -> &[KeyInForce] {
        &self.keys
    }

    /// The keys that a pinned one vouches for: itself, and those after it, each endorsed by the one before.
    pub fn vouched(&self, pinned: &[PublicKey]) -> Vec<&KeyInForce> {
        let mut vouched = false;
        let keep = |key: &&KeyInForce| {
            vouched = pinned.contains(&key.key) || (vouched && key.endorsed);
            vouched
        };
        self.keys.iter().filter(keep).collect()
    }

    /// Takes the next event of the stream of keys; says what is wrong with it, if anything.
    pub fn apply(&mut self, position: u64, payload: &str) -> Result<(), String> {
        let event: KeyEvent = serde_json::from_str(payload).map_err(|error| format!("no event of keys: {error}"))?;
        let (key_id, public_key, proof, endorsement) = match event {
            KeyEvent::SigningKeyRegistered { key_id, public_key, proof } => (key_id, public_key, proof, None),
            KeyEvent::SigningKeyRotated { key_id, public_key, proof, endorsement } => {
                (key_id, public_key, proof, endorsement)
            }
        };
        let key = PublicKey::from_hex(&public_key).ok_or_else(|| format!("{public_key:?} is no public key"))?;
        if key.id() != key_id {
            return Err(format!("the key {key_id} is in truth {}", key.id()));
        }
        let retired = self.keys.last().map(|last| last.key);
        let statement = statement(retired.as_ref(), &key);
        let signed = |by: &PublicKey, signature: &str| {
            hex::decode(signature).is_ok_and(|signature| by.verifies(statement.as_bytes(), &signature))
        };
        if !signed(&key, &proof) {
            return Err(format!("the key {key_id} did not sign that it is one"));
        }
        let endorsed = match (&retired, &endorsement) {
            (Some(retired), Some(endorsement)) if !signed(retired, endorsement) => {
                return Err(format!("the key {key_id} is not endorsed by {}", retired.id()));
            }
            (Some(_), endorsement) => endorsement.is_some(),
            (None, _) => true,
        };
        self.keys.push(KeyInForce { position, key, endorsed });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn registered(signer: &Signer) -> String {
        let key = signer.public();
        json!({ "SigningKeyRegistered": { "key_id": key.id(), "public_key": key.to_hex(),
            "proof": attest(signer, None, &key), "by": "anybody", "at": "2026-01-05T08:00:00Z" } })
        .to_string()
    }

    fn rotated(old: &Signer, new: &Signer, endorser: Option<&Signer>) -> String {
        let (retired, key) = (old.public(), new.public());
        json!({ "SigningKeyRotated": { "retired": retired.id(), "key_id": key.id(), "public_key": key.to_hex(),
            "proof": attest(new, Some(&retired), &key),
            "endorsement": endorser.map(|endorser| attest(endorser, Some(&retired), &key)),
            "by": "anybody", "reason": "yearly", "at": "2026-01-05T08:00:00Z" } })
        .to_string()
    }

    fn signer() -> Signer {
        Signer::generate().unwrap().0
    }

    #[test]
    fn each_key_is_in_force_from_its_event_on() {
        let (one, two, three) = (signer(), signer(), signer());
        let mut history = KeyHistory::default();
        history.apply(5, &registered(&one)).unwrap();
        history.apply(9, &rotated(&one, &two, Some(&one))).unwrap();
        assert_eq!(history.in_force(4), None);
        assert_eq!(history.in_force(8).unwrap().key, one.public());
        assert_eq!(history.in_force(9).unwrap().key, two.public());
        history.apply(12, &rotated(&two, &three, None)).unwrap();
        let vouched = |pinned: &Signer| history.vouched(&[pinned.public()]).iter().map(|one| one.position).collect();
        let positions: [Vec<u64>; 3] = [vouched(&one), vouched(&two), vouched(&three)];
        assert_eq!(positions, [vec![5, 9], vec![9], vec![12]], "a lost key ends what the old ones vouch for");
    }

    #[test]
    fn what_is_not_signed_as_it_must_is_refused() {
        let (one, two, other) = (signer(), signer(), signer());
        let mut history = KeyHistory::default();
        history.apply(1, &registered(&one)).unwrap();
        let forged = rotated(&one, &two, Some(&other));
        assert!(history.apply(2, &forged).unwrap_err().contains("not endorsed"));
        let exchanged = rotated(&one, &two, Some(&one)).replace(&two.public().to_hex(), &other.public().to_hex());
        assert!(history.apply(2, &exchanged).unwrap_err().contains("in truth"));
        let exchanged = exchanged.replace(&two.public().id(), &other.public().id());
        assert!(history.apply(2, &exchanged).unwrap_err().contains("did not sign"));
        assert!(history.apply(2, "{}").is_err());
    }
}
