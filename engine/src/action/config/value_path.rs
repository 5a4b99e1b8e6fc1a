//! One value in a configuration file, by a path: `TRIMConfig/DataSources/Dataset[@id='D1']/@name`.
//!
//! The steps are elements from the root down, each with any number of `[@attribute='value']`; the last one is the
//! attribute that is meant. A path must mean exactly one value.

use quick_xml::Reader;
use quick_xml::events::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

const PATH_CHARS_MAX: usize = 1_000;
const ELEMENTS_MAX: usize = 200_000;
const DEPTH_MAX: usize = 64;

/// A path to one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub(super) struct ValuePath {
    text: String,
    steps: Vec<Step>,
    attribute: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    element: String,
    conditions: Vec<(String, String)>,
}

/// Where the value stands in the file, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Between the quotes.
    pub range: Range<usize>,
    pub quote: u8,
    pub value: String,
}

impl ValuePath {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no path to a value: {why}");
        if text.chars().count() > PATH_CHARS_MAX || text.chars().any(char::is_control) {
            return Err(wrong("it is too long, or holds a control character"));
        }
        let mut parts = split(text.trim_start_matches('/')).ok_or_else(|| wrong("a quote or bracket is open"))?;
        let last = parts.pop().unwrap_or_default();
        let attribute = last.strip_prefix('@').ok_or_else(|| wrong("it must end with /@attribute"))?.to_owned();
        let steps = parts.iter().map(|part| Step::parse(part)).collect::<Option<Vec<_>>>();
        let steps = steps.ok_or_else(|| wrong("a step must be Element or Element[@attribute='value']"))?;
        if steps.is_empty() || steps.len() > DEPTH_MAX || !is_name(&attribute) {
            return Err(wrong("it must name the elements from the root down, and an attribute"));
        }
        Ok(Self { text: text.to_owned(), steps, attribute })
    }

    /// The attribute of the root element: the version stamps.
    pub(super) fn of_root(attribute: &str) -> Self {
        let steps = vec![Step { element: "TRIMConfig".to_owned(), conditions: Vec::new() }];
        Self { text: format!("TRIMConfig/@{attribute}"), steps, attribute: attribute.to_owned() }
    }

    /// Whether it means a stamp of the file itself: those follow by rule.
    pub(super) fn is_stamp(&self) -> bool {
        self.steps.len() == 1 && ["version", "guid", "adminVersion"].contains(&self.attribute.as_str())
    }

    /// The one value that it means.
    pub(super) fn find(&self, text: &str) -> Result<Found, String> {
        let all = self.find_all(text)?;
        match all.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(format!("there is no {self} in the file")),
            _ => Err(format!("{self} means {} values: it must mean one", all.len())),
        }
    }

    fn find_all(&self, text: &str) -> Result<Vec<Found>, String> {
        let broken = |error: quick_xml::Error| format!("the file is no XML: {error}");
        let mut reader = Reader::from_str(text);
        // How many of the path's first steps the open elements fit, one for each open element.
        let mut fits: Vec<bool> = Vec::new();
        let mut found = Vec::new();
        let mut start = 0_usize;
        for _ in 0..ELEMENTS_MAX {
            let event = reader.read_event().map_err(broken)?;
            let end = usize::try_from(reader.buffer_position()).map_err(|error| error.to_string())?;
            match event {
                Event::Start(_) | Event::Empty(_) => {
                    let tag = attributes(text, start..end)?;
                    let depth = fits.len();
                    let above = fits.iter().all(|fit| *fit);
                    let fit = above && self.steps.get(depth).is_some_and(|step| step.fits(&tag));
                    if fit && depth + 1 == self.steps.len() {
                        found.extend(tag.attribute(&self.attribute).cloned());
                    }
                    if matches!(event, Event::Start(_)) {
                        fits.push(fit);
                    }
                }
                Event::End(_) => drop(fits.pop()),
                Event::Eof => return Ok(found),
                _ => {}
            }
            start = end;
        }
        Err(format!("the file holds more than {ELEMENTS_MAX} elements"))
    }
}

impl Step {
    fn parse(text: &str) -> Option<Self> {
        let (element, mut rest) = text.find('[').map_or((text, ""), |at| text.split_at(at));
        let mut conditions = Vec::new();
        while !rest.is_empty() {
            let inner = rest.strip_prefix("[@")?;
            let (name, after) = inner.split_once('=')?;
            let quote = after.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
            let (value, after) = after[1..].split_once(quote)?;
            rest = after.strip_prefix(']')?;
            conditions.push((name.to_owned(), value.to_owned()));
        }
        let named = is_name(element) && conditions.iter().all(|(name, _)| is_name(name));
        named.then(|| Self { element: element.to_owned(), conditions })
    }

    fn fits(&self, tag: &Tag) -> bool {
        let has = |(name, value): &(String, String)| tag.attribute(name).is_some_and(|found| found.value == *value);
        tag.name == self.element && self.conditions.iter().all(has)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || ['_', '-', '.', ':'].contains(&c))
}

/// The parts between slashes that stand in no bracket.
fn split(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let (mut quote, mut inside) = (None, false);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => inside = true,
            (None, ']') => inside = false,
            (None, '/') if !inside => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut()?.push(c);
    }
    (quote.is_none() && !inside).then_some(parts)
}

struct Tag {
    name: String,
    attributes: Vec<(String, Found)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<&Found> {
        self.attributes.iter().find(|(one, _)| one == name).map(|(_, found)| found)
    }
}

/// The attributes of a tag with their places in the file; the reader has said that the tag is well formed.
fn attributes(text: &str, range: Range<usize>) -> Result<Tag, String> {
    let odd = || "the file holds a tag that can not be read".to_owned();
    let bytes = text.as_bytes();
    // What stands between two tags counts to the next event.
    let open = range.start + text.get(range.clone()).and_then(|raw| raw.find('<')).ok_or_else(odd)?;
    let mut at = open + 1;
    let word = |at: &mut usize| -> Option<String> {
        let from = *at;
        while *at < range.end && !bytes[*at].is_ascii_whitespace() && !b"=/>".contains(&bytes[*at]) {
            *at += 1;
        }
        text.get(from..*at).map(str::to_owned)
    };
    let name = word(&mut at).ok_or_else(odd)?;
    let mut tag = Tag { name, attributes: Vec::new() };
    loop {
        while at < range.end && (bytes[at].is_ascii_whitespace() || bytes[at] == b'/') {
            at += 1;
        }
        if at >= range.end || bytes[at] == b'>' {
            return Ok(tag);
        }
        let key = word(&mut at).filter(|key| !key.is_empty()).ok_or_else(odd)?;
        while at < range.end && (bytes[at].is_ascii_whitespace() || bytes[at] == b'=') {
            at += 1;
        }
        let quote = bytes.get(at).copied().filter(|quote| b"'\"".contains(quote)).ok_or_else(odd)?;
        let from = at + 1;
        let length = bytes.get(from..range.end).and_then(|rest| rest.iter().position(|byte| *byte == quote));
        let value_range = from..from + length.ok_or_else(odd)?;
        at = value_range.end + 1;
        let raw = text.get(value_range.clone()).ok_or_else(odd)?;
        let value = quick_xml::escape::unescape(raw).map_err(|error| format!("the file is no XML: {error}"))?;
        tag.attributes.push((key, Found { range: value_range, quote, value: value.into_owned() }));
    }
}

/// Text for between the quotes of an attribute.
pub(super) fn escaped(value: &str, quote: u8) -> String {
    let mut text = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    if quote == b'"' {
        text = text.replace('"', "&quot;");
    } else {
        text = text.replace('\'', "&apos;");
    }
    text
}

impl TryFrom<String> for ValuePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<ValuePath> for String {
    fn from(path: ValuePath) -> Self {
        path.text
    }
}

impl fmt::Display for ValuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "<?xml version=\"1.0\"?>\n<!-- <A x='no'/> -->\n<A version=\"4\">\n  <B id='1' n=\"a &amp; 'b'\"/>\n  \
        <B id = \"2\" n=''><C n=\"1\">text > more</C></B><D><B id='2' n='deep'/></D>\n</A>\n";

    fn value(path: &str) -> Result<String, String> {
        let found = ValuePath::parse(path)?.find(FILE)?;
        assert_eq!(quick_xml::escape::unescape(&FILE[found.range.clone()]).unwrap(), found.value);
        Ok(found.value)
    }

    #[test]
    fn a_path_means_exactly_one_value() {
        for (path, expected) in [
            ("A/@version", "4"),
            ("/A/B[@id='1']/@n", "a & 'b'"),
            ("A/B[@id='2']/@n", ""),
            ("A/B[@id='2'][@n='']/C/@n", "1"),
            ("A/D/B[@id=\"2\"]/@n", "deep"),
        ] {
            assert_eq!(value(path).as_deref(), Ok(expected), "{path}");
        }
        for (path, why) in [
            ("A/B/@n", "means 2 values"),
            ("A/B[@id='3']/@n", "there is no"),
            ("A/@x", "there is no"),
            ("B/@n", "there is no"),
            ("A/B/C", "end with /@attribute"),
            ("@n", "from the root"),
            ("A/B[@id='1/@n", "open"),
            ("A/B[id='1']/@n", "a step must be"),
            ("A//@n", "a step must be"),
        ] {
            let error = value(path).unwrap_err();
            assert!(error.contains(why), "{path}: {error}");
        }
    }

    #[test]
    fn what_is_no_xml_is_refused() {
        let path = ValuePath::parse("A/@n").unwrap();
        for text in ["<A n='1'", "<A n='1'><B></A>", "<A n='&nope;'/>"] {
            assert!(path.find(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for (value, quote) in [("a \"b\" <c> & 'd'", b'"'), ("a \"b\" <c> & 'd'", b'\'')] {
            let q = char::from(quote);
            let text = format!("<A n={q}{}{q}/>", escaped(value, quote));
            assert_eq!(ValuePath::parse("A/@n").unwrap().find(&text).unwrap().value, value);
        }
    }
}
