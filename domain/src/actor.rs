//! Who acts.

use crate::ids::{InvalidName, SubjectId};
use crate::personal::{SEALED_CHARS_MAX, Sealed};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Who acts: a person, or a part of the platform (`system:planner`). A person's name may be sealed (see
/// [`crate::personal`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Actor(String);

impl Actor {
    /// The longest name accepted, in characters; a sealed one may be longer.
    pub const MAX_CHARS: usize = 128;

    /// Checks length and characters.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        if text.is_empty() {
            return Err(invalid(&text, "is empty"));
        }
        if text.chars().count() > Self::MAX_CHARS && !is_sealed(&text) {
            return Err(invalid(&text, "is longer than 128 characters"));
        }
        if text.chars().any(char::is_control) {
            return Err(invalid(&text, "holds a control character"));
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What has remediations done of which the policy says that they may run by themselves.
    pub fn remediator() -> Self {
        Self("system:remediator".to_owned())
    }

    /// Whether it is a part of the platform rather than a person.
    pub fn is_system(&self) -> bool {
        self.begins_with("system:")
    }

    /// Whether it tells who somebody is: a part of the platform does not, nor does whoever has no name.
    pub fn is_personal(&self) -> bool {
        !self.is_system() && !self.begins_with("anonymous:")
    }

    /// Whom a sealed name is about.
    pub fn subject(&self) -> Option<SubjectId> {
        Sealed::parse(&self.0).map(|sealed| sealed.subject)
    }

    fn begins_with(&self, prefix: &str) -> bool {
        self.0.trim_start().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }
}

fn is_sealed(text: &str) -> bool {
    text.len() <= SEALED_CHARS_MAX && Sealed::parse(text).is_some()
}

fn invalid(text: &str, reason: &'static str) -> InvalidName {
    InvalidName { kind: "actor", text: text.chars().take(80).collect(), reason }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Actor {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for Actor {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_parts_of_the_platform() {
        let cases = [
            ("mara", true, false),
            ("system:planner", false, true),
            (" System:X", false, true),
            ("anonymous:local", false, false),
            ("sealed:0198c0de-0000-7000-8000-000000000001.AbC.", true, false),
        ];
        for (text, is_personal, is_system) in cases {
            let actor = Actor::new(text).unwrap();
            assert_eq!((actor.is_personal(), actor.is_system()), (is_personal, is_system), "{text}");
        }
    }

    #[test]
    fn a_sealed_name_may_be_longer_and_comes_back_from_json() {
        let sealed = format!("sealed:0198c0de-0000-7000-8000-000000000001.{}.", "A".repeat(700));
        let actor = Actor::new(sealed.clone()).unwrap();
        assert!(actor.subject().is_some());
        let json = serde_json::to_string(&actor).unwrap();
        assert_eq!(serde_json::from_str::<Actor>(&json).unwrap(), actor);
        let endless = format!("sealed:0198c0de-0000-7000-8000-000000000001.{}.", "A".repeat(SEALED_CHARS_MAX));
        for text in [format!("{sealed}x"), "x".repeat(129), endless, String::new(), "a\u{7}".to_owned()] {
            assert!(Actor::new(text).is_err());
        }
        assert_eq!(Actor::new("mara").unwrap().subject(), None);
    }
}
