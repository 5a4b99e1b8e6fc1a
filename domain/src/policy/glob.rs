//! Patterns of names: `*` stands for any characters, `?` for one.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The longest pattern, in characters.
pub const GLOB_CHARS_MAX: usize = 128;

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(String);

impl Glob {
    /// Checks the length.
    pub fn new(pattern: impl Into<String>) -> Result<Self, &'static str> {
        let pattern = pattern.into();
        let chars = pattern.chars().count();
        if chars == 0 || chars > GLOB_CHARS_MAX || pattern.chars().any(char::is_control) {
            return Err("a pattern has 1 to 128 characters and no control character");
        }
        Ok(Self(pattern))
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole name is of this pattern.
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }

    /// Whether a deployment is selected: by its name, or by a label where the pattern is `label:key=pattern`.
    pub fn selects(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self.0.strip_prefix("label:").and_then(|label| label.split_once('=')) {
            Some((key, pattern)) => labels.get(key).is_some_and(|value| matches(pattern, value)),
            None => self.matches(name),
        }
    }
}

/// Steps through both; a mismatch goes back to the last star only: the time is bounded by the product of the lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, covered)) = star else { return false };
                star = Some((at, covered + 1));
                p = at + 1;
                n = covered + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

impl TryFrom<String> for Glob {
    type Error = &'static str;
    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        Self::new(pattern)
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "postgres.analyze", true),
            ("postgres.*", "postgres.analyze", true),
            ("postgres.*", "postgres", false),
            ("*.analyze", "postgres.analyze", true),
            ("p*s.*e", "postgres.analyze", true),
            ("p*s.*x", "postgres.analyze", false),
            ("?b", "ab", true),
            ("?b", "b", false),
            ("ä*", "äö", true),
            ("a**b", "ab", true),
            ("ab", "abc", false),
            ("abc", "ab", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(name), expected, "{pattern} on {name}");
        }
        // Would take for ever by naive recursion.
        assert!(!Glob::new("*a".repeat(60)).unwrap().matches(&"a".repeat(59)));
        for malformed in [String::new(), "a".repeat(129), "a\nb".to_owned()] {
            assert!(Glob::new(malformed).is_err());
        }
    }

    #[test]
    fn deployments_are_selected_by_name_or_label() {
        let labels = BTreeMap::from([("site".to_owned(), "north-1".to_owned())]);
        for (pattern, expected) in [
            ("rec*", true),
            ("other", false),
            ("label:site=north-*", true),
            ("label:site=south", false),
            ("label:tier=*", false),
            ("label:site", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().selects("records", &labels), expected, "{pattern}");
        }
    }
}
