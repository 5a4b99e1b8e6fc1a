//! Newtypes for identities, positions and names: two of them can not be swapped by mistake.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

pub use crate::actor::Actor;

/// Why a text is not a valid name or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?}: {reason}")]
pub struct InvalidName {
    /// What it should have been, such as "check code".
    pub kind: &'static str,
    /// The text as given, cut to 80 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self).map_err(|_| invalid(stringify!($name), text, "is not a UUID"))
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $allowed:expr, $reason:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The longest text accepted, in characters.
            pub const MAX_CHARS: usize = $max;

            /// Checks length and characters.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() {
                    return Err(invalid($kind, &text, "is empty"));
                }
                if text.chars().count() > Self::MAX_CHARS {
                    return Err(invalid($kind, &text, concat!("is longer than ", $max, " characters")));
                }
                if !text.chars().all(allowed) {
                    return Err(invalid($kind, &text, $reason));
                }
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

fn invalid(kind: &'static str, text: &str, reason: &'static str) -> InvalidName {
    InvalidName { kind, text: text.chars().take(80).collect(), reason }
}

uuid_id!(
    /// A deployment under care (UUIDv7: new streams land at the right edge of the log's key).
    DeploymentId
);
uuid_id!(
    /// A diagnostic run (UUIDv7).
    RunId
);
uuid_id!(
    /// A finding: the UUIDv5 of its fingerprint, so that the same problem always meets the same stream.
    FindingId
);
uuid_id!(
    /// A remediation (UUIDv7).
    RemediationId
);
uuid_id!(
    /// A policy: the UUIDv5 of tenant and name, so that a name always meets the same stream.
    PolicyId
);
uuid_id!(
    /// Whom personal data is about (random: it tells nothing of them).
    SubjectId
);
uuid_id!(
    /// One command; sending it again returns the outcome of the first time.
    CommandId
);
uuid_id!(
    /// Ties together all that one request caused.
    CorrelationId
);

impl CommandId {
    /// The id of a command that follows from a fact: the same fact always gives the same command, so that a process
    /// manager that repeats itself after a crash changes nothing.
    pub fn derived(cause: Uuid, purpose: &str) -> Self {
        Self(Uuid::new_v5(&cause, purpose.as_bytes()))
    }
}

/// The namespace of finding fingerprints (a random constant, fixed for ever).
const FINDING_NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_2ad4_9d3f_4e0b_8a53_c1e8_47b0_9e21);

impl FindingId {
    /// The id of the finding with this fingerprint: deployment, check and resource, never the text of the message.
    pub fn of(deployment: DeploymentId, check: &CheckCode, resource: &ResourceName) -> Self {
        // A length prefix keeps ("a", "b/c") and ("a/b", "c") apart.
        let print = format!("{deployment}|{}:{check}|{resource}", check.as_str().len());
        Self(Uuid::new_v5(&FINDING_NAMESPACE, print.as_bytes()))
    }
}

text_name!(
    /// A check's code, such as `CM-STORE-FILE-MISSING`.
    CheckCode, "check code", 64, |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-',
    "holds something else than A-Z, 0-9 and -"
);
text_name!(
    /// A component's name, unique in its deployment, such as `dataset` or `store-1`.
    ComponentName, "component name", 64, |c| c.is_ascii_alphanumeric() || "-_.".contains(c),
    "holds something else than letters, digits and -_."
);
text_name!(
    /// What a finding is about, within its deployment, such as `store-1/000/rec_0000012.docx`.
    ResourceName, "resource name", 512, |c| !c.is_control(), "holds a control character"
);
text_name!(
    /// Whose data it is; one installation may serve several.
    TenantId, "tenant", 64, |c| c.is_ascii_alphanumeric() || "-_.".contains(c),
    "holds something else than letters, digits and -_."
);
text_name!(
    /// The SHA-256 of a piece of evidence, in lower-case hex.
    EvidenceHash, "evidence hash", 64, |c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase(),
    "is not lower-case hex"
);
text_name!(
    /// What changes something, such as `postgres.analyze`.
    ActionName, "action name", 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c),
    "holds something else than a-z, 0-9, - and ."
);
text_name!(
    /// A composition of actions, such as `restore-missing-file`.
    RunbookName, "runbook name", 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
    "holds something else than a-z, 0-9 and -"
);
text_name!(
    /// A step of a plan, unique in it.
    StepName, "step name", 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
    "holds something else than a-z, 0-9 and -"
);
text_name!(
    /// A policy's name, unique in its tenant.
    PolicyName, "policy name", 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
    "holds something else than a-z, 0-9 and -"
);
text_name!(
    /// The SHA-256 of a value's canonical JSON, in lower-case hex: two values are the same if their hashes are.
    ContentHash, "content hash", 64, |c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase(),
    "is not lower-case hex"
);

/// The namespace of policies (a random constant, fixed for ever).
const POLICY_NAMESPACE: Uuid = Uuid::from_u128(0x3d0a_91b7_52c4_4f68_9e1d_7a64_c2f0_8b35);

impl PolicyId {
    /// The id of a tenant's policy of this name.
    pub fn of(tenant: &TenantId, policy: &PolicyName) -> Self {
        Self(Uuid::new_v5(&POLICY_NAMESPACE, format!("{tenant}|{policy}").as_bytes()))
    }
}

impl ContentHash {
    /// The hash of what the value is written as, with the keys of all objects in order.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        let mut text = String::new();
        write_canonical(&serde_json::to_value(value)?, &mut text);
        Ok(Self(hex::encode(Sha256::digest(text.as_bytes()))))
    }
}

/// Writes JSON with sorted keys: whether `serde_json` itself keeps them in order depends on who else uses it.
fn write_canonical(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            let sorted: std::collections::BTreeMap<_, _> = entries.iter().collect();
            out.push('{');
            for (index, (key, item)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(item, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

/// The place of an event in the total order of the log: dense from 1, in commit order. 0 stands before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Position(pub i64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many events a stream holds; its events are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct StreamVersion(pub i64);

impl fmt::Display for StreamVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
