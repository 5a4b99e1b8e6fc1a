//! A statement with parameters by name: `WHERE restore = :store_number` becomes `WHERE restore = $1`.

/// One read-only statement, ready to be prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlText {
    /// The statement with numbered parameters.
    pub text: String,
    /// The settings that give the parameters' values, in order.
    pub parameters: Vec<String>,
}

/// Words that a measuring statement may start with.
const STARTS: [&str; 5] = ["select", "with", "show", "values", "table"];

impl SqlText {
    /// Finds the parameters and refuses what is not one measuring statement. The transaction is read-only all the
    /// same: this only tells the author early.
    pub fn parse(query: &str) -> Result<Self, String> {
        let trimmed = query.trim().trim_end_matches(';').trim_end();
        let mut parsed = Self { text: String::with_capacity(trimmed.len()), parameters: Vec::new() };
        let mut rest = trimmed;
        while let Some(first) = rest.chars().next() {
            let taken = match first {
                ';' => return Err("holds more than one statement".to_owned()),
                ':' => parsed.take_colon(rest),
                _ => {
                    let length = opaque_length(rest)?;
                    parsed.text.push_str(&rest[..length]);
                    length
                }
            };
            rest = &rest[taken..];
        }
        let word: String = first_word(&parsed.text);
        if !STARTS.contains(&word.as_str()) {
            return Err(format!("starts with {word:?}: a probe only reads ({})", STARTS.join(", ")));
        }
        Ok(parsed)
    }

    /// Takes `::` as a cast and `:name` as a parameter; returns how many bytes were taken.
    fn take_colon(&mut self, rest: &str) -> usize {
        if rest.starts_with("::") || rest.starts_with(":=") {
            self.text.push_str(&rest[..2]);
            return 2;
        }
        let name_length =
            rest[1..].bytes().take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_').count();
        // The bounds of an array, as in [1:2] or [low:high], stand close on both sides of the colon.
        let ends_a_value = |c: char| c.is_alphanumeric() || "_)]\"".contains(c);
        let is_bound = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) || self.text.ends_with(ends_a_value);
        if name_length == 0 || is_bound {
            self.text.push(':');
            return 1;
        }
        let name = &rest[1..=name_length];
        let known = self.parameters.iter().position(|known| known == name);
        let number = known.unwrap_or(self.parameters.len()) + 1;
        if known.is_none() {
            self.parameters.push(name.to_owned());
        }
        self.text.push('$');
        self.text.push_str(&number.to_string());
        1 + name_length
    }
}

/// How many bytes to copy unread: a quoted text, a comment, a dollar-quoted text, or one character.
fn opaque_length(rest: &str) -> Result<usize, String> {
    let closed = |start: usize, end: &str| -> Result<usize, String> {
        let found = rest[start..].find(end).ok_or_else(|| format!("{:?} is not closed", &rest[..start]))?;
        Ok(start + found + end.len())
    };
    match rest.as_bytes()[0] {
        b'\'' => closed(1, "'"),
        b'"' => closed(1, "\""),
        b'-' if rest.starts_with("--") => Ok(rest.find('\n').unwrap_or(rest.len())),
        b'/' if rest.starts_with("/*") => closed(2, "*/"),
        b'$' => match rest[1..].find('$') {
            Some(tag) if rest[1..=tag].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                closed(tag + 2, &rest[..tag + 2])
            }
            _ => Ok(1),
        },
        _ => Ok(rest.chars().next().map_or(1, char::len_utf8)),
    }
}

/// The first word, in lower case, past comments and brackets.
fn first_word(text: &str) -> String {
    let mut rest = text.trim_start();
    loop {
        let skipped = match rest {
            _ if rest.starts_with("--") => rest.find('\n').map_or("", |end| &rest[end..]),
            _ if rest.starts_with("/*") => rest.find("*/").map_or("", |end| &rest[end + 2..]),
            _ => rest.trim_start_matches('('),
        }
        .trim_start();
        if skipped == rest {
            break;
        }
        rest = skipped;
    }
    rest.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_parameters_by_name() {
        let sql = SqlText::parse(
            "SELECT a::text, b[1:2], c[1:n] FROM t WHERE s = :store_number AND (n = :n OR m = :store_number);",
        );
        let sql = sql.unwrap();
        assert_eq!(sql.text, "SELECT a::text, b[1:2], c[1:n] FROM t WHERE s = $1 AND (n = $2 OR m = $1)");
        assert_eq!(sql.parameters, ["store_number", "n"]);
    }

    #[test]
    fn leaves_quoted_texts_and_comments_alone() {
        let query = "SELECT 'it''s :x; ok', \":y\", $$ :z; $$, $a$ :q $a$ -- :c;\n /* :d; */ FROM t";
        let sql = SqlText::parse(query).unwrap();
        assert_eq!(sql.text, query);
        assert!(sql.parameters.is_empty());
    }

    #[test]
    fn refuses_what_is_not_one_reading_statement() {
        for query in ["DELETE FROM t", "SELECT 1; DROP TABLE t", "", "SELECT 'open", "-- x\nUPDATE t SET a = 1"] {
            assert!(SqlText::parse(query).is_err(), "{query}");
        }
        for query in ["-- why\nSELECT 1", "(SELECT 1) UNION (SELECT 2)", "WITH a AS (SELECT 1) TABLE a", "SHOW ssl"] {
            assert!(SqlText::parse(query).is_ok(), "{query}");
        }
    }
}
