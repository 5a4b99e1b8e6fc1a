//! Names in statements: quoted, so that whatever they hold they stay names.

use crate::action::ActionError;
use std::fmt::{self, Write as _};

/// The longest name: PostgreSQL would cut a longer one, and mean another object by it.
const NAME_BYTES: usize = 63;

/// A name within a schema, ready for a statement: `"public"."tsrecord"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Qualified(String);

impl Qualified {
    /// Quotes both; refuses what can be no name.
    pub(crate) fn new(schema: &str, name: &str) -> Result<Self, ActionError> {
        Ok(Self(format!("{}.{}", identifier(schema)?, identifier(name)?)))
    }
}

impl fmt::Display for Qualified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A quoted name.
pub(crate) fn identifier(name: &str) -> Result<String, ActionError> {
    let fail = |why: &str| Err(ActionError::configuration(format!("{name:?} is no name of PostgreSQL: {why}")));
    if name.is_empty() {
        return fail("it is empty");
    }
    if name.len() > NAME_BYTES {
        return fail("it is longer than 63 bytes");
    }
    if name.contains('\0') {
        return fail("it holds a NUL");
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// A quoted text, for the few statements that take no bound values (`ALTER SYSTEM`, `COMMENT`): right whatever
/// `standard_conforming_strings` is.
pub(crate) fn literal(text: &str) -> Result<String, ActionError> {
    if text.contains('\0') {
        return Err(ActionError::configuration("a value may not hold a NUL"));
    }
    let mut quoted = String::from("E'");
    for character in text.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            other => quoted.push(other),
        }
    }
    let _ = quoted.write_char('\'');
    Ok(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names() {
        let rows = [
            ("tsrecord", "\"tsrecord\""),
            ("Mixed Case", "\"Mixed Case\""),
            ("a\"; DROP TABLE x; --", "\"a\"\"; DROP TABLE x; --\""),
            ("\"\"", "\"\"\"\"\"\""),
            ("ümlaut.dot", "\"ümlaut.dot\""),
        ];
        for (name, quoted) in rows {
            assert_eq!(identifier(name).unwrap(), quoted);
        }
        for name in ["", "a\0b", &"x".repeat(64)] {
            assert!(identifier(name).is_err(), "{name:?}");
        }
        assert_eq!(Qualified::new("a.b", "c\"d").unwrap().to_string(), "\"a.b\".\"c\"\"d\"");
    }

    #[test]
    fn texts_stay_texts() {
        assert_eq!(literal("it's \\ here").unwrap(), "E'it''s \\\\ here'");
        assert!(literal("\0").is_err());
    }
}
