//! Texts as XML 1.0 takes them.

use std::fmt::Write;

/// Escapes a text for an element or a quoted attribute. Characters that XML 1.0 can not hold at all become U+FFFD.
pub(crate) fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // An attribute would lose them.
            '\n' | '\r' | '\t' => {
                let _ = write!(out, "&#{};", u32::from(character));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
}

/// The text, escaped.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    escape(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn whatever_was_measured_stays_text() {
        assert_eq!(escaped("<a b='c' d=\"e\">&\n"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;&#10;");
        assert_eq!(escaped("\u{0}\u{8}\u{1b}[31m\u{ffff}é"), "\u{fffd}\u{fffd}\u{fffd}[31m\u{fffd}é");
        assert_eq!(escaped("]]>"), "]]&gt;");
    }
}
