//! Reads a check file: TOML first, then everything in it that is compiled. All errors of a stage are given at once.

use super::compile::compile;
use super::diagnostic::{CheckError, SourceFile, suggestion};
use super::file::CheckFile;
use super::probe_keys::{KINDS, ProbeFile};
use super::{Check, MAX_FILE_BYTES};
use serde::Deserialize;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

/// Reads one check of a pack. `file` is its name as shown in errors.
pub fn parse_check(pack: &str, file: &str, text: &str) -> Result<Check, Vec<CheckError>> {
    let source = SourceFile { name: file.to_owned(), text: Arc::from(text) };
    if text.len() > MAX_FILE_BYTES {
        return Err(vec![source.error(None, None, format!("is larger than {} KiB", MAX_FILE_BYTES / 1024))]);
    }
    let (mut document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| source.toml_error("", error)).collect());
    }
    let mut errors = Vec::new();
    let probe = if let Some(probe) = document.get_mut().remove("probe") {
        read_probe(&source, probe).map_err(|error| errors.push(*error)).ok()
    } else {
        errors.push(source.error(Some("probe"), None, "is missing: how is it measured?"));
        None
    };
    let rest = CheckFile::deserialize(Deserializer::from(document));
    let rest = rest.map_err(|error| errors.push(source.toml_error("", &error))).ok();
    match (probe, rest) {
        (Some(probe), Some(rest)) if errors.is_empty() => compile(pack, &source, rest, probe),
        _ => Err(errors),
    }
}

/// The `[probe]` table: what all kinds share, and the keys of its kind.
pub(super) struct ProbeTable {
    pub(super) on: Option<String>,
    pub(super) timeout: Option<Spanned<String>>,
    pub(super) keys: ProbeFile,
}

fn read_probe(source: &SourceFile, mut probe: Spanned<DeValue<'_>>) -> Result<ProbeTable, Box<CheckError>> {
    let span = probe.span();
    let DeValue::Table(table) = probe.get_mut() else {
        return Err(Box::new(source.error(Some("probe"), Some(span), "is not a table")));
    };
    let kind = take_text(source, table, "kind")?;
    let on = take_text(source, table, "on")?;
    let timeout = take_text(source, table, "timeout")?;
    let Some(kind) = kind else {
        let message = format!("is missing: one of {}", KINDS.join(", "));
        return Err(Box::new(source.error(Some("probe.kind"), Some(span), message)));
    };
    match ProbeFile::read(kind.get_ref(), ValueDeserializer::from(probe)) {
        Some(Ok(keys)) => Ok(ProbeTable { on: on.map(Spanned::into_inner), timeout, keys }),
        Some(Err(error)) => Err(Box::new(source.toml_error("probe", &error))),
        None => {
            let message = format!("there is no kind {:?}: {}", kind.get_ref(), suggestion(kind.get_ref(), &KINDS));
            Err(Box::new(source.error(Some("probe.kind"), Some(kind.span()), message)))
        }
    }
}

fn take_text(
    source: &SourceFile,
    table: &mut DeTable<'_>,
    key: &str,
) -> Result<Option<Spanned<String>>, Box<CheckError>> {
    let Some(value) = table.remove(key) else { return Ok(None) };
    match value.get_ref().as_str() {
        Some(text) => Ok(Some(Spanned::new(value.span(), text.to_owned()))),
        None => Err(Box::new(source.error(Some(&format!("probe.{key}")), Some(value.span()), "is not a text"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ProbeSpec;

    const GOOD: &str = r#"
code = "PG-DEAD-TUPLES"
title = "Dead rows pile up"
component = "dataset-database"
profiles = ["quick"]
reversible = "yes"

[probe]
kind = "sql"
query = "SELECT 1 AS dead_percent"
timeout = "5s"

[thresholds.dead_percent]
warning = "20"
critical = "50"
unit = "%"

[judge]
each = "row"
resource = "{{ component }}/{{ row.table }}"
value = "dead_percent"
ignore_when = "row.rows < 1000"

[text]
symptom = "{{ row.table }}: {{ row.dead_percent | round(1) }} % dead rows"
cause = "Autovacuum does not keep up."
impact = "Searches slow down."
advice = "VACUUM {{ row.table }}"

[[case]]
name = "few"
rows = [{ table = "a", rows = 5000, dead_percent = 3.0 }]
outcome = "ok"

[[case]]
name = "many"
rows = [{ table = "a", rows = 5000, dead_percent = 60 }]
outcome = "critical"
resources = ["component/a"]
"#;

    fn errors(from: &str, to: &str) -> Vec<String> {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replace(from, to);
        parse_check("p", "p/X.toml", &text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_a_good_file() {
        let check = parse_check("p", "p/PG-DEAD-TUPLES.toml", GOOD).unwrap();
        assert_eq!(check.code.as_str(), "PG-DEAD-TUPLES");
        assert!(matches!(check.probe.spec, ProbeSpec::Sql(_)));
        assert_eq!(check.version.len(), 12);
        assert!(check.in_profile("quick") && check.in_profile("full") && !check.in_profile("slow"));
    }

    #[test]
    fn every_mistake_is_named_with_file_line_and_key() {
        let table = [
            ("code = \"PG-DEAD-TUPLES\"", "code = \"pg dead\"", "p/X.toml:2: code: check code \"pg dead\""),
            ("timeout = \"5s\"", "timeout = \"5 s\"", "p/X.toml:11: probe.timeout:"),
            (
                "kind = \"sql\"",
                "kind = \"sqll\"",
                "p/X.toml:9: probe.kind: there is no kind \"sqll\": did you mean `sql`?",
            ),
            ("query = ", "qery = ", "p/X.toml:10: probe: unknown field `qery` (did you mean `query`?)"),
            (
                "query = \"SELECT 1 AS dead_percent\"",
                "query = \"DELETE FROM t\"",
                "p/X.toml:10: probe.query: starts with",
            ),
            ("warning = \"20\"", "warning = \"20..\"", "p/X.toml:14: thresholds.dead_percent.warning:"),
            ("unit = \"%\"", "unti = \"%\"", "p/X.toml:16: unknown field `unti` (did you mean `unit`?)"),
            ("row.rows < 1000", "rwo.rows < 1000", "p/X.toml:22: judge.ignore_when: `rwo` is not known"),
            ("row.rows < 1000", "row.rows <", "p/X.toml:22: judge.ignore_when:"),
            ("value = \"dead_percent\"", "value = \"dead\"", "judge.value: there is no [thresholds.dead]"),
            ("{{ component }}/", "{{ component /", "p/X.toml:20: judge.resource:"),
            ("reversible = \"yes\"", "reversible = \"maybe\"", "p/X.toml:6: unknown variant `maybe`"),
            ("outcome = \"ok\"", "outcome = \"critical\"", "none of the cases is ok"),
            ("profiles = [\"quick\"]", "profiles = [\"fast\"]", "p/X.toml:5: profiles: there is no profile \"fast\""),
        ];
        for (from, to, expected) in table {
            let found = errors(from, to);
            assert!(found.iter().any(|error| error.contains(expected)), "{to}: {found:#?}");
        }
    }

    #[test]
    fn all_errors_come_at_once() {
        let text = GOOD.replace("\"20\"", "\"x\"").replace("row.rows < 1000", "rwo").replace("5s", "5");
        assert_eq!(parse_check("p", "p/X.toml", &text).unwrap_err().len(), 3);
    }

    #[test]
    fn a_huge_file_is_refused_unread() {
        let text = format!("# {}", "x".repeat(MAX_FILE_BYTES));
        assert!(parse_check("p", "p/X.toml", &text).unwrap_err()[0].to_string().contains("64 KiB"));
    }
}
