//! What is wrong with a check file, and where.

use miette::{Diagnostic, NamedSource, SourceSpan};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;

/// An error that points at a file, a line and a key. Its `Display` is one line; miette shows the place in the file.
#[derive(Debug, Clone, Diagnostic)]
#[diagnostic(code(cmdiag::pack))]
pub struct CheckError {
    /// The file, as given to the loader.
    pub file: String,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// The key, such as `judge.critical_when`.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    #[help]
    help: Option<String>,
    #[source_code]
    source: NamedSource<Arc<str>>,
    #[label("here")]
    span: Option<SourceSpan>,
}

impl CheckError {
    /// What could be done about it.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CheckError {}

/// A file being read, for errors that point into it.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// As shown.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
}

impl SourceFile {
    /// An error about a key at a place in the file.
    pub(crate) fn error(
        &self,
        key: Option<&str>,
        span: Option<Range<usize>>,
        message: impl Into<String>,
    ) -> CheckError {
        CheckError {
            file: self.name.clone(),
            line: span.as_ref().map_or(0, |span| self.line(span.start)),
            key: key.map(str::to_owned),
            message: message.into(),
            help: None,
            source: NamedSource::new(&self.name, Arc::clone(&self.text)),
            span: span.map(SourceSpan::from),
        }
    }

    /// The line, from 1, of a place in the file.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    /// An error of the TOML reader, with a suggestion where it names an unknown key or value.
    pub(crate) fn toml_error(&self, table: &str, error: &toml::de::Error) -> CheckError {
        let (message, help) = with_suggestion(error.message());
        let mut found = self.error((!table.is_empty()).then_some(table), error.span(), message);
        found.help = help;
        found
    }
}

/// Splits serde's "unknown field `x`, expected one of `a`, `b`" into what is wrong and what may have been meant.
fn with_suggestion(message: &str) -> (String, Option<String>) {
    let Some((problem, rest)) = message.split_once(", expected ") else {
        return (message.to_owned(), None);
    };
    let quoted = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let known = quoted(rest);
    let Some(given) = quoted(problem).pop().filter(|_| problem.starts_with("unknown ")) else {
        return (message.to_owned(), None);
    };
    (problem.to_owned(), Some(suggestion(&given, &known)))
}

/// "did you mean …?", or what there is.
pub(crate) fn suggestion<S: AsRef<str>>(given: &str, known: &[S]) -> String {
    let closest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(given, name.as_ref()), name.as_ref()))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .min();
    if let Some((_, name)) = closest {
        return format!("did you mean `{name}`?");
    }
    let names: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    format!("known are {}", names.join(", "))
}

/// A place within a text as a place within the file, where the text stands there as it is (no escapes).
pub(crate) fn place_within(file: &str, text: &Spanned<String>, range: Range<usize>) -> Range<usize> {
    let outer = text.span();
    let written = file.get(outer.clone()).unwrap_or_default();
    match written.find(text.get_ref().as_str()) {
        Some(start) if range.end <= text.get_ref().len() => {
            outer.start + start + range.start..outer.start + start + range.end
        }
        _ => outer,
    }
}
