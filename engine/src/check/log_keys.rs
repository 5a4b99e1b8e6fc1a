//! The keys of `kind = "log"`.

use super::probe_keys::duration;
use regex::{Regex, RegexSet, RegexSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// The grammar of a log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogGrammar {
    /// `10:15:30:123 4242 D1 0 0 Error: message`, the date in the file's name.
    Workgroup,
    /// The same, with the processor before the message.
    Event,
    /// `2026-11-24 10:15:30,123 [12] ERROR message`.
    Log4net,
    /// `10:15:30:123 4242 -x- Failed to bind`, the date in the file's name.
    Ldap,
}

/// `kind = "log"`: what log files say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogFile {
    /// The setting that names the folder.
    #[serde(default = "default_logs")]
    logs: String,
    /// Names of files, with `*` and `?`.
    #[schemars(with = "Vec<String>", length(min = 1))]
    files: Spanned<Vec<String>>,
    grammar: LogGrammar,
    /// How far back counts reach.
    #[schemars(with = "Option<String>")]
    window: Option<Spanned<String>>,
    /// What to count.
    #[serde(default)]
    pattern: Vec<LogPatternFile>,
}

fn default_logs() -> String {
    "logs".to_owned()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogPatternFile {
    #[schemars(with = "String")]
    name: Spanned<String>,
    /// Matched against the message with its level (`ERROR message`).
    #[schemars(with = "String")]
    regex: Spanned<String>,
}

/// Compiled keys of a log probe.
#[derive(Debug, Clone)]
pub struct LogSpec {
    /// The setting that names the folder.
    pub logs: String,
    /// Names of files.
    pub files: Vec<String>,
    /// The grammar.
    pub grammar: LogGrammar,
    /// How far back counts reach.
    pub window: Duration,
    /// The patterns' names, in the order of the set.
    pub names: Vec<String>,
    /// All patterns, matched in one pass.
    pub patterns: RegexSet,
}

/// The largest compiled size of a check's patterns, in bytes: hostile repetitions do not fit.
const MAX_REGEX_BYTES: usize = 1 << 20;

impl LogSpec {
    const WINDOW: Duration = Duration::from_hours(1);
}

impl LogFile {
    pub(super) fn compile(self, problem: &mut dyn FnMut(&str, Range<usize>, String)) -> Option<LogSpec> {
        if self.files.get_ref().is_empty() {
            problem("files", self.files.span(), "names no file".to_owned());
            return None;
        }
        let mut names: Vec<String> = Vec::new();
        let mut texts = Vec::new();
        let mut good = true;
        for pattern in &self.pattern {
            let name = pattern.name.get_ref();
            if name == "_log" || names.contains(name) {
                problem("pattern.name", pattern.name.span(), format!("{name:?} is taken"));
                good = false;
            }
            if let Err(error) = Regex::new(pattern.regex.get_ref()) {
                problem("pattern.regex", pattern.regex.span(), error.to_string());
                good = false;
            }
            names.push(name.clone());
            texts.push(pattern.regex.get_ref());
        }
        let window = duration("window", self.window, LogSpec::WINDOW, problem)?;
        if !good {
            return None;
        }
        let built = RegexSetBuilder::new(texts).size_limit(MAX_REGEX_BYTES).build();
        let patterns = built.map_err(|error| problem("files", self.files.span(), error.to_string())).ok()?;
        Some(LogSpec {
            logs: self.logs,
            files: self.files.into_inner(),
            grammar: self.grammar,
            window,
            names,
            patterns,
        })
    }
}
