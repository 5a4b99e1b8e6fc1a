//! The keys that sign the checkpoints of the history: one stream for the whole log, since the log is one.
//!
//! What is decided here is the order of the keys; whether the signatures hold is for the verifier, who trusts nobody.

mod register_key;
mod rotate_key;

use crate::decider::{Context, Decider, DomainEvent, ExpectedStream, RefusalCode};
use crate::ids::Actor;
use crate::text::TextRefusal;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The stream of keys (a random constant, fixed for ever).
const AUDIT_KEYS_ID: Uuid = Uuid::from_u128(0x7d1c_95e4_2b7f_4f0a_9a3e_61c8_04d5_b2f7);

/// A key as it is presented: its id, itself, and its signature of the statement that it is one; all in hexadecimal
/// digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresentedKey {
    /// The first half of the key's SHA-256.
    pub key_id: String,
    /// The Ed25519 public key.
    pub public_key: String,
    /// Its own signature.
    pub proof: String,
}

/// What can be asked of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKeysCommand {
    /// Begin with this key.
    Register { key: PresentedKey },
    /// Go on with this key; without the signature of the key before it where that one is lost. `retires`: the id of the
    /// key in force that both signatures are about.
    Rotate { key: PresentedKey, retires: String, endorsement: Option<String>, reason: String },
}

/// What can have happened to the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditKeysEvent {
    /// The first key is in force.
    SigningKeyRegistered { key_id: String, public_key: String, proof: String, by: Actor, at: DateTime<Utc> },
    /// A new key is in force. `endorsement`: the signature of the retired key; none where that one was lost.
    SigningKeyRotated {
        retired: String,
        key_id: String,
        public_key: String,
        proof: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endorsement: Option<String>,
        by: Actor,
        reason: String,
        at: DateTime<Utc>,
    },
}

impl AuditKeysEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SigningKeyRegistered { .. } => "SigningKeyRegistered",
            Self::SigningKeyRotated { .. } => "SigningKeyRotated",
        }
    }
}

impl DomainEvent for AuditKeysEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// Why the keys say no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditKeysRefusal {
    /// The first key is there already.
    #[error("a signing key is registered already: rotate it")]
    AlreadyRegistered,
    /// There is nothing to rotate.
    #[error("no signing key is registered")]
    NotRegistered,
    /// Somebody else rotated first: what was signed is about a key that is not in force any more.
    #[error("another key is in force meanwhile: look, and rotate again")]
    Overtaken,
    /// A retired key does not come back.
    #[error("this signing key was in force before")]
    UsedBefore,
    /// Not the digits that it should be.
    #[error("{0} is not as many hexadecimal digits as it must be")]
    Digits(&'static str),
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
}

impl AuditKeysRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::AlreadyRegistered => "signing_key_registered",
            Self::NotRegistered => "signing_key_not_registered",
            Self::Overtaken => "signing_key_overtaken",
            Self::UsedBefore => "signing_key_used_before",
            Self::Digits(_) => "signing_key_malformed",
            Self::Text(refusal) => refusal.code(),
        }
    }
}

/// The keys as folded from their events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct AuditKeysState {
    /// All of them by id and public key, the one in force last.
    pub keys: Vec<(String, String)>,
}

/// Decides which key signs.
#[derive(Debug, Clone, Copy)]
pub struct AuditKeys;

impl AuditKeys {
    /// The one stream of keys.
    pub const fn id() -> Uuid {
        AUDIT_KEYS_ID
    }
}

impl Decider for AuditKeys {
    const TYPE: &'static str = crate::any_event::AUDIT_KEYS;
    type State = AuditKeysState;
    type Command = AuditKeysCommand;
    type Event = AuditKeysEvent;
    type Refusal = AuditKeysRefusal;

    fn decide(
        state: &AuditKeysState,
        command: AuditKeysCommand,
        context: &Context,
    ) -> Result<Vec<AuditKeysEvent>, AuditKeysRefusal> {
        match command {
            AuditKeysCommand::Register { key } => register_key::decide(state, key, context),
            AuditKeysCommand::Rotate { key, retires, endorsement, reason } => {
                rotate_key::decide(state, (key, &retires), endorsement, reason, context)
            }
        }
    }

    fn evolve(state: &mut AuditKeysState, event: &AuditKeysEvent) {
        match event {
            AuditKeysEvent::SigningKeyRegistered { key_id, public_key, .. }
            | AuditKeysEvent::SigningKeyRotated { key_id, public_key, .. } => {
                state.keys.push((key_id.clone(), public_key.clone()));
            }
        }
    }

    fn refusal_code(refusal: &AuditKeysRefusal) -> RefusalCode {
        refusal.code()
    }

    fn command_name(command: &AuditKeysCommand) -> &'static str {
        match command {
            AuditKeysCommand::Register { .. } => "register_signing_key",
            AuditKeysCommand::Rotate { .. } => "rotate_signing_key",
        }
    }

    fn expected_stream(_command: &AuditKeysCommand) -> ExpectedStream {
        ExpectedStream::Any
    }
}

/// Refuses what has not the form of a key.
fn well_formed(key: &PresentedKey) -> Result<(), AuditKeysRefusal> {
    digits("the key's id", &key.key_id, 32)?;
    digits("the public key", &key.public_key, 64)?;
    digits("the proof", &key.proof, 128)
}

fn digits(what: &'static str, text: &str, count: usize) -> Result<(), AuditKeysRefusal> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let right = text.len() == count && text.bytes().all(is_digit);
    if right { Ok(()) } else { Err(AuditKeysRefusal::Digits(what)) }
}

#[cfg(test)]
mod samples {
    use super::{AuditKeysCommand, PresentedKey};

    pub fn key(digit: char) -> PresentedKey {
        let digits = |count| std::iter::repeat_n(digit, count).collect();
        PresentedKey { key_id: digits(32), public_key: digits(64), proof: digits(128) }
    }

    pub fn register(digit: char) -> AuditKeysCommand {
        AuditKeysCommand::Register { key: key(digit) }
    }

    /// From `a`, which [`register`] begins with in these tests.
    pub fn rotate(digit: char, reason: &str) -> AuditKeysCommand {
        let (retires, endorsement) = (key('a').key_id, Some(key('e').proof));
        AuditKeysCommand::Rotate { key: key(digit), retires, endorsement, reason: reason.to_owned() }
    }
}
