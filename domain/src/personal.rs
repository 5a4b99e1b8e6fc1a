//! Personal data: texts that tell who somebody is, kept under a key of their own.
//!
//! Where a vault is in force, a personal text never gets as far as the domain: what is decided on, recorded, projected
//! and cached is the *sealed* text, `sealed:<subject>.<ciphertext>.`, which is the same for the same person for as
//! long as their key exists. It is opened at the very edge, where an answer leaves the platform. Without the key it
//! opens to a tombstone, [`Personal::Erased`]. So nothing has to be found and changed when somebody is erased.

use crate::ids::SubjectId;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use uuid::Uuid;

/// What a sealed text begins with.
pub const SEALED: &str = "sealed:";
/// What the text of a tombstone begins with.
pub const ERASED: &str = "erased:";
/// The longest personal text that can be sealed, in bytes.
pub const PERSONAL_BYTES_MAX: usize = 1_024;
/// The longest sealed text, in characters: prefix, subject, and the Base64 of nonce, padded text and tag.
pub const SEALED_CHARS_MAX: usize = 7 + 36 + 1 + (12 + PERSONAL_BYTES_MAX + 16 + 16) * 4 / 3 + 3;

/// The characters of a UUID as written here: 8-4-4-4-12.
const SUBJECT_CHARS: usize = 36;

/// What a sealed text opens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Personal {
    /// The text.
    Known(String),
    /// The tombstone: its key is destroyed, and nobody can tell any more who this was.
    Erased(SubjectId),
}

impl fmt::Display for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(text) => f.write_str(text),
            Self::Erased(subject) => write!(f, "{ERASED}{subject}"),
        }
    }
}

/// A sealed text, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// Under whose key.
    pub subject: SubjectId,
    /// Nonce, ciphertext and tag, in Base64 for URLs.
    pub cipher: &'a str,
}

impl<'a> Sealed<'a> {
    /// The whole text as a sealed one; `None` where it is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (range, sealed) = find(text, 0)?;
        (range == (0..text.len())).then_some(sealed)
    }
}

impl fmt::Display for Sealed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SEALED}{}.{}.", self.subject, self.cipher)
    }
}

/// All sealed texts within a text, in order, with where they stand.
pub fn sealed_within(text: &str) -> impl Iterator<Item = (Range<usize>, Sealed<'_>)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let found = find(text, from)?;
        from = found.0.end;
        Some(found)
    })
}

/// A text in which each sealed one is named by its subject alone: short, and never to be opened again.
pub fn by_subject(text: &str) -> Cow<'_, str> {
    let mut short = String::new();
    let mut end = 0;
    for (range, sealed) in sealed_within(text) {
        short.push_str(&text[end..range.start]);
        short.push_str("subject:");
        short.push_str(&sealed.subject.to_string());
        end = range.end;
    }
    if end == 0 { Cow::Borrowed(text) } else { Cow::Owned(short + &text[end..]) }
}

/// The first sealed text from a place on.
fn find(text: &str, mut from: usize) -> Option<(Range<usize>, Sealed<'_>)> {
    loop {
        let start = from + text.get(from..)?.find(SEALED)?;
        let after = start + SEALED.len();
        if let Some((sealed, length)) = text.get(after..).and_then(take) {
            return Some((start..after + length, sealed));
        }
        from = after;
    }
}

/// What stands after the prefix, and how much of it belongs to the sealed text.
fn take(rest: &str) -> Option<(Sealed<'_>, usize)> {
    let subject = rest.get(..SUBJECT_CHARS)?;
    // Only the one way in which it is written: two spellings of one sealed text would be two people.
    let is_canonical = subject.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    let subject = SubjectId(is_canonical.then(|| Uuid::try_parse(subject).ok()).flatten()?);
    let cipher = rest.get(SUBJECT_CHARS..)?.strip_prefix('.')?;
    let length = cipher.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))?;
    let is_whole = length > 0 && cipher.as_bytes().get(length) == Some(&b'.');
    is_whole.then(|| (Sealed { subject, cipher: &cipher[..length] }, SUBJECT_CHARS + 1 + length + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUBJECT: &str = "0198c0de-0000-7000-8000-000000000001";

    fn sealed() -> String {
        format!("sealed:{SUBJECT}.AbC-_09.")
    }

    #[test]
    fn a_sealed_text_is_read_and_written() {
        let text = sealed();
        let parsed = Sealed::parse(&text).unwrap();
        assert_eq!((parsed.subject.to_string().as_str(), parsed.cipher), (SUBJECT, "AbC-_09"));
        assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn what_is_no_sealed_text() {
        let cases = [
            "mara".to_owned(),
            "sealed:".to_owned(),
            "sealed:mara".to_owned(),
            format!("sealed:{SUBJECT}"),
            format!("sealed:{SUBJECT}.."),
            format!("sealed:{SUBJECT}.abc"),
            format!("sealed:{SUBJECT}.ab c."),
            format!("sealed:{}.abc.", SUBJECT.to_uppercase()),
            format!("sealed:{{{SUBJECT}}}.abc."),
            format!("x{}", sealed()),
            format!("{}x", sealed()),
            "sealed:ä".repeat(40),
        ];
        for text in cases {
            assert_eq!(Sealed::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn they_are_found_within_a_text() {
        let one = sealed();
        let text = format!("{{\"a\":\"{one}\",\"b\":\"sealed:{SUBJECT}.cut…\",\"c\":\"dataset/{one}.\"}}");
        let found: Vec<&str> = sealed_within(&text).map(|(range, _)| &text[range]).collect();
        assert_eq!(found, [one.as_str(), one.as_str()]);
        assert_eq!(sealed_within("nobody").count(), 0);
        assert_eq!(by_subject(&format!("a[b/{one}]")), format!("a[b/subject:{SUBJECT}]"));
        assert_eq!(by_subject("nobody"), "nobody");
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through(text in "(sealed:|[0-9a-f]{8}-[0-9a-f]{4}|[.\\-_ä…]|[a-z]{0,5}){0,30}") {
            for (range, sealed) in sealed_within(&text) {
                prop_assert_eq!(&text[range], sealed.to_string());
            }
        }

        #[test]
        fn whatever_surrounds_it_is_left_out(
            before in "[^:]{0,20}", subject in any::<u128>(), cipher in "[A-Za-z0-9_-]{1,80}", after in "\\PC{0,20}",
        ) {
            let subject = SubjectId(Uuid::from_u128(subject));
            let sealed = Sealed { subject, cipher: &cipher }.to_string();
            let text = format!("{before}{sealed}{after}");
            let (range, found) = sealed_within(&text).next().unwrap();
            prop_assert_eq!(&text[range], &sealed);
            prop_assert_eq!(found.subject, subject);
        }
    }
}
