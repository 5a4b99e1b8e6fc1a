//! The shape of a message: what stays when numbers and ids are taken out, so that a flood of one message counts once.

const MAX_SHAPE_CHARS: usize = 200;
const GUID_CHARS: usize = 36;

/// The shape: runs of digits, and GUIDs, become `#`; white space becomes one space.
pub(super) fn of(message: &str) -> String {
    let mut shape = String::with_capacity(message.len().min(MAX_SHAPE_CHARS * 2));
    let mut rest = message.trim();
    let mut chars = 0;
    while let Some(first) = rest.chars().next() {
        if chars == MAX_SHAPE_CHARS {
            break;
        }
        let (shown, taken) = if let Some(length) = guid(rest) {
            ('#', length)
        } else if first.is_ascii_digit() {
            ('#', digits(rest))
        } else if first.is_whitespace() {
            (' ', rest.len() - rest.trim_start().len())
        } else {
            (first, first.len_utf8())
        };
        shape.push(shown);
        chars += 1;
        rest = &rest[taken..];
    }
    shape
}

/// A hexadecimal number with its `0x`, or a run of digits with the points within it.
fn digits(text: &str) -> usize {
    if let Some(hex) = text.strip_prefix("0x") {
        return 2 + hex.bytes().take_while(u8::is_ascii_hexdigit).count();
    }
    let bytes = text.as_bytes();
    let inside = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut length = 0;
    while inside(length) || (matches!(bytes.get(length), Some(b'.' | b',')) && inside(length + 1)) {
        length += 1;
    }
    length
}

fn guid(text: &str) -> Option<usize> {
    let candidate = text.as_bytes().get(..GUID_CHARS)?;
    let fits = candidate.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    fits.then_some(GUID_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_out_what_differs_from_one_message_to_the_next() {
        let table = [
            ("Error: uri 42 failed after 1.5 s", "Error: uri # failed after # s"),
            ("session 6f1c2ad4-9d3f-4e0b-8a53-c1e847b09e21 ended", "session # ended"),
            ("file rec_0000012.docx,  port 1137.", "file rec_#.docx, port #."),
            ("at 0xDEADBEEF\tü 7", "at # ü #"),
            ("  no number ", "no number"),
        ];
        for (message, shape) in table {
            assert_eq!(of(message), shape, "{message}");
        }
        assert_eq!(of(&"x".repeat(5_000)).chars().count(), MAX_SHAPE_CHARS);
    }
}
