//! Bounds on texts, the same everywhere: what an event carries is stored for ever and shown to people.

use crate::decider::RefusalCode;

/// The longest reason or comment, in characters.
pub const REASON_CHARS_MAX: usize = 1_000;

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextRefusal {
    /// Nothing but white space.
    #[error("{field} is empty")]
    Empty {
        /// Which text.
        field: &'static str,
    },
    /// Over its bound.
    #[error("{field} is longer than {max} characters")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// Its bound.
        max: usize,
    },
    /// Holds a control character other than a line end or a tab.
    #[error("{field} holds a control character")]
    Control {
        /// Which text.
        field: &'static str,
    },
}

impl TextRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::Empty { .. } => "text_empty",
            Self::TooLong { .. } => "text_too_long",
            Self::Control { .. } => "text_control_character",
        }
    }
}

/// A text that must say something.
pub fn required(field: &'static str, text: &str, max: usize) -> Result<(), TextRefusal> {
    if text.trim().is_empty() {
        return Err(TextRefusal::Empty { field });
    }
    optional(field, text, max)
}

/// A text that may be empty.
pub fn optional(field: &'static str, text: &str, max: usize) -> Result<(), TextRefusal> {
    bounded(field, text, max)?;
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(TextRefusal::Control { field });
    }
    Ok(())
}

/// A text of which only the length is judged.
pub fn bounded(field: &'static str, text: &str, max: usize) -> Result<(), TextRefusal> {
    // A text has no more characters than bytes: most are judged without counting.
    if text.len() > max && text.chars().count() > max {
        return Err(TextRefusal::TooLong { field, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_judged() {
        let rows: [(&str, Option<RefusalCode>); 7] = [
            ("", Some("text_empty")),
            (" \n", Some("text_empty")),
            ("fine", None),
            ("äöüß€", None),
            ("a\tb\nc", None),
            ("123456", Some("text_too_long")),
            ("a\u{0}b", Some("text_control_character")),
        ];
        for (text, code) in rows {
            assert_eq!(required("name", text, 5).err().map(|refusal| refusal.code()), code, "{text:?}");
        }
        assert_eq!(optional("name", "", 5), Ok(()));
    }
}
