//! Bounds on what comes from targets: it is stored for ever, and views keep it as `jsonb`.

use crate::text::REASON_CHARS_MAX;
use serde::Serialize;
use serde_json::Value;
use std::io;

/// Whether a value has at most so many bytes of JSON. Gives up at the bound: a huge value costs no more.
pub(super) fn fits(value: &impl Serialize, max: usize) -> bool {
    struct Room(usize);
    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(max), value).is_ok()
}

/// What the executor says of a failure, fit to be stored: refusing it would leave the failure unrecorded.
pub(super) fn told(text: &str) -> String {
    let text: String = text.trim().chars().map(storable).take(REASON_CHARS_MAX).collect();
    if text.is_empty() { "no reason was given".to_owned() } else { text }
}

fn storable(c: char) -> char {
    if c.is_control() && !matches!(c, '\n' | '\r' | '\t') { '\u{fffd}' } else { c }
}

/// Whether a value holds a NUL character, in a text or a key.
pub(super) fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(entries) => entries.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Replaces NUL characters by the replacement character.
pub(super) fn without_nul(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

/// The same of all texts and keys of a value.
pub(super) fn value_without_nul(value: &mut Value) {
    match value {
        Value::String(text) => without_nul(text),
        Value::Array(values) => values.iter_mut().for_each(value_without_nul),
        Value::Object(entries) => {
            if entries.keys().any(|key| key.contains('\0')) {
                let all = std::mem::take(entries);
                entries.extend(all.into_iter().map(|(key, value)| (key.replace('\0', "\u{fffd}"), value)));
            }
            entries.values_mut().for_each(value_without_nul);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_are_judged_at_the_bound() {
        assert!(fits(&"abc", 5));
        assert!(!fits(&"abcd", 5));
    }

    #[test]
    fn failures_are_told_whatever_they_are_in() {
        assert_eq!(told(" \n"), "no reason was given");
        assert_eq!(told(" a\0b\tc "), "a\u{fffd}b\tc");
        assert_eq!(told(&"ä".repeat(2_000)).chars().count(), 1_000);
    }

    #[test]
    fn nul_is_found_and_replaced_wherever_it_is() {
        for mut value in [json!("a\0"), json!(["\0"]), json!({"k\0": 1}), json!({"k": {"l": ["\0"]}})] {
            assert!(holds_nul(&value), "{value}");
            value_without_nul(&mut value);
            assert!(!holds_nul(&value), "{value}");
        }
        assert!(!holds_nul(&json!({"k": [1, null, true, "a"]})));
    }
}
