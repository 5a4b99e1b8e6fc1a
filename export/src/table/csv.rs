//! CSV as RFC 4180 says, and safe to open in a spreadsheet.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break as a formula, and measured
//! texts may begin with anything: such a text gets an apostrophe in front. Numbers, times and ids are ours and stay.

/// What a formula may begin with, in the wide forms of East Asian keyboards as well.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<'a> {
    /// A text that somebody else wrote or that was measured.
    Text(&'a str),
    /// A number, time or id of our own.
    Plain(String),
    /// No value.
    Empty,
}

/// A table's first row.
pub fn header(names: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    row(&names.iter().map(|name| Cell::Text(name)).collect::<Vec<_>>(), &mut out);
    out
}

/// Appends a row.
pub fn row(cells: &[Cell<'_>], out: &mut Vec<u8>) {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match cell {
            Cell::Empty => {}
            Cell::Plain(text) => field(text, false, out),
            Cell::Text(text) => field(text, text.starts_with(FORMULA), out),
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A text for the inside of a quoted field, guarded as a field's beginning is.
pub(crate) fn within_quotes(text: &str) -> String {
    let guard = if text.starts_with(FORMULA) { "'" } else { "" };
    format!("{guard}{}", text.replace('"', "\"\""))
}

fn field(text: &str, guard: bool, out: &mut Vec<u8>) {
    // A sealed name is opened later, and may hold anything.
    let special = text.contains([',', '"', '\r', '\n']) || text.contains(domain::personal::SEALED);
    let quoted = guard || special || text.starts_with(' ') || text.ends_with(' ');
    if !quoted {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    if guard {
        out.push(b'\'');
    }
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[Cell<'_>]) -> String {
        let mut out = Vec::new();
        row(cells, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_quoted_where_they_must() {
        assert_eq!(written(&[Cell::Text("a"), Cell::Empty, Cell::Plain("-5".to_owned())]), "a,,-5\r\n");
        assert_eq!(written(&[Cell::Text("a,b"), Cell::Text("say \"no\"")]), "\"a,b\",\"say \"\"no\"\"\"\r\n");
        assert_eq!(written(&[Cell::Text("two\nlines")]), "\"two\nlines\"\r\n");
    }

    #[test]
    fn no_text_is_a_formula() {
        for attack in
            ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=HYPERLINK(\"http://x\",\"y\")", "\u{ff1d}1"]
        {
            let row = written(&[Cell::Text(attack)]);
            assert!(row.starts_with("\"'"), "{row}");
        }
        assert_eq!(written(&[Cell::Text("a=1")]), "a=1\r\n");
    }
}
