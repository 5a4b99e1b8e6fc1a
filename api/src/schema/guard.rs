//! The bounds of a document, checked on its text before the parser sees it and on its tree before anything walks it.
//!
//! Both matter: a parser recurses with the text's brackets, and whoever expands fragments may walk a tree that doubles
//! with each of them. Here each fragment is measured once.

use super::codes::{DOCUMENT_OVER_LIMIT, GRAPHQL_VALIDATION_FAILED, coded_server_error};
use crate::options::DocumentLimits;
use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use async_graphql::{Name, ServerError};
use std::collections::HashMap;

/// Counts tokens and nesting in the text.
pub fn check_text(text: &str, limits: &DocumentLimits) -> Result<(), ServerError> {
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut nesting) = (0, 0_usize, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        let length = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += bytes[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len() - at);
                continue;
            }
            b'"' => string_length(&bytes[at..]),
            byte if is_word(byte) => bytes[at..].iter().take_while(|byte| is_word(**byte)).count(),
            _ => 1,
        };
        match byte {
            b'{' | b'[' | b'(' => nesting += 1,
            b'}' | b']' | b')' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        tokens += 1;
        within("tokens", tokens, limits.tokens)?;
        within("brackets within brackets", nesting, limits.nesting)?;
        at += length;
    }
    Ok(())
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+')
}

/// The bytes of a string or block string that begins here; to the end of the text where it does not end.
fn string_length(bytes: &[u8]) -> usize {
    let block = bytes.starts_with(b"\"\"\"");
    let quote: &[u8] = if block { b"\"\"\"" } else { b"\"" };
    let mut at = quote.len();
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at..].starts_with(quote) {
            return at + quote.len();
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// What a selection set comes to with its fragments expanded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Measure {
    depth: usize,
    fields: usize,
    aliases: usize,
    directives: usize,
    /// Fields of its own level.
    level: usize,
}

enum Known {
    UnderWay,
    Measured(Measure),
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    fragments: HashMap<&'a Name, Known>,
}

/// Measures every operation of the document, and holds a subscription to one root field.
pub fn check_document(document: &ExecutableDocument, limits: &DocumentLimits) -> Result<(), ServerError> {
    let mut walk = Walk { document, fragments: HashMap::new() };
    for (_, operation) in document.operations.iter() {
        let measure = walk.selection_set(&operation.node.selection_set.node)?;
        within("fields within fields", measure.depth, limits.depth)?;
        within("fields", measure.fields, limits.fields)?;
        within("aliases", measure.aliases, limits.aliases)?;
        within("directives", measure.directives + operation.node.directives.len(), limits.directives)?;
        within("root fields", measure.level, limits.root_fields)?;
        if operation.node.ty == OperationType::Subscription && measure.level != 1 {
            let message = format!("a subscription has one root field, this one has {}", measure.level);
            return Err(coded_server_error(GRAPHQL_VALIDATION_FAILED, message));
        }
    }
    Ok(())
}

impl<'a> Walk<'a> {
    fn selection_set(&mut self, set: &'a SelectionSet) -> Result<Measure, ServerError> {
        let mut sum = Measure::default();
        for selection in &set.items {
            let part = match &selection.node {
                Selection::Field(field) => {
                    let below = self.selection_set(&field.node.selection_set.node)?;
                    Measure {
                        depth: below.depth + 1,
                        fields: below.fields.saturating_add(1),
                        aliases: below.aliases.saturating_add(usize::from(field.node.alias.is_some())),
                        directives: below.directives.saturating_add(field.node.directives.len()),
                        level: 1,
                    }
                }
                Selection::InlineFragment(inline) => {
                    let below = self.selection_set(&inline.node.selection_set.node)?;
                    Measure { directives: below.directives.saturating_add(inline.node.directives.len()), ..below }
                }
                Selection::FragmentSpread(spread) => {
                    let below = self.fragment(&spread.node.fragment_name.node)?;
                    Measure { directives: below.directives.saturating_add(spread.node.directives.len()), ..below }
                }
            };
            sum = Measure {
                depth: sum.depth.max(part.depth),
                fields: sum.fields.saturating_add(part.fields),
                aliases: sum.aliases.saturating_add(part.aliases),
                directives: sum.directives.saturating_add(part.directives),
                level: sum.level.saturating_add(part.level),
            };
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a Name) -> Result<Measure, ServerError> {
        match self.fragments.get(name) {
            Some(Known::Measured(measure)) => return Ok(*measure),
            Some(Known::UnderWay) => {
                let message = format!("fragment {name} contains itself");
                return Err(coded_server_error(GRAPHQL_VALIDATION_FAILED, message));
            }
            None => {}
        }
        // An unknown fragment is the validation's to report, with its place.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Measure::default()) };
        self.fragments.insert(name, Known::UnderWay);
        let measure = self.selection_set(&fragment.node.selection_set.node)?;
        self.fragments.insert(name, Known::Measured(measure));
        Ok(measure)
    }
}

fn within(what: &str, value: usize, most: usize) -> Result<(), ServerError> {
    if value <= most {
        return Ok(());
    }
    Err(coded_server_error(DOCUMENT_OVER_LIMIT, format!("the document has more than {most} {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::codes::code_of;
    use async_graphql::parser::parse_query;
    use std::fmt::Write as _;

    fn verdict(text: &str) -> Result<(), String> {
        let limits = DocumentLimits::default();
        let judged = check_text(text, &limits)
            .and_then(|()| parse_query(text).map_err(Into::into))
            .and_then(|document| check_document(&document, &limits));
        judged.map_err(|error| format!("{} {}", code_of(&error).unwrap_or("-"), error.message))
    }

    #[test]
    fn hostile_documents_are_named_for_what_they_are() {
        let nested = format!("{}a{}", "{a".repeat(5_000), "}".repeat(5_000));
        let deep = format!("{}{{a}}{}", "{a".repeat(16), "}".repeat(16));
        let wide = format!("{{{}}}", "a b ".repeat(400));
        let root = format!("{{{}}}", "a ".repeat(21));
        let aliases = (0..900).fold(String::new(), |mut text, n| {
            let _ = write!(text, "x{n}:a ");
            text
        });
        let doubling = (0..30).fold("{...f0} fragment f30 on Q{a}".to_owned(), |mut text, n| {
            let _ = write!(text, " fragment f{n} on Q{{...f{m} ...f{m}}}", m = n + 1);
            text
        });
        let cases = [
            (nested, "DOCUMENT_OVER_LIMIT the document has more than 32 brackets within brackets"),
            (deep, "DOCUMENT_OVER_LIMIT the document has more than 15 fields within fields"),
            (format!("{{q{wide}}}"), "DOCUMENT_OVER_LIMIT the document has more than 600 fields"),
            (root, "DOCUMENT_OVER_LIMIT the document has more than 20 root fields"),
            (format!("{{{aliases}}}"), "DOCUMENT_OVER_LIMIT the document has more than 2000 tokens"),
            (format!("{{q{{{}}}}}", &aliases[..400]), "DOCUMENT_OVER_LIMIT the document has more than 50 aliases"),
            (doubling, "DOCUMENT_OVER_LIMIT the document has more than 600 fields"),
            (
                "{...a} fragment a on Q{...b} fragment b on Q{...a}".to_owned(),
                "GRAPHQL_VALIDATION_FAILED fragment a contains itself",
            ),
            (
                "subscription{a b}".to_owned(),
                "GRAPHQL_VALIDATION_FAILED a subscription has one root field, this one has 2",
            ),
            (
                format!("{{a{}}}", "@skip(if:true)".repeat(51)),
                "DOCUMENT_OVER_LIMIT the document has more than 50 directives",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(verdict(&text), Err(expected.to_owned()), "{text:.60}");
        }
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let brackets = "{".repeat(100);
        let cases = [
            format!("{{a(b:\"{brackets}\\\"{brackets}\")}}"),
            format!("{{a(b:\"\"\"{brackets}\"{brackets}\"\"\")}}"),
            format!("{{a #{brackets}\n}}"),
        ];
        for text in cases {
            assert_eq!(check_text(&text, &DocumentLimits::default()), Ok(()), "{text}");
        }
        // One that never ends is the parser's to report.
        assert_eq!(check_text("{a(b:\"", &DocumentLimits::default()), Ok(()));
        assert_eq!(check_text("{a(b:\"\\", &DocumentLimits::default()), Ok(()));
    }
}
