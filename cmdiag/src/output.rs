//! Prints results: tables for people, JSON for programs.

use crate::cli::Format;
use anyhow::Result;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Prints one document as pretty JSON.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    line(&text)
}

/// Prints rows as a table, or the items behind them as JSON.
pub fn list<T: Serialize>(format: Format, header: &[&str], items: &[T], row: impl Fn(&T) -> Vec<String>) -> Result<()> {
    if format == Format::Json {
        return json(&items);
    }
    if items.is_empty() {
        return line("nothing to show");
    }
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    if table.width().is_none() {
        // In a pipe: wide enough that no id is broken in two.
        table.set_width(200);
    }
    for item in items {
        table.add_row(row(item));
    }
    line(&table.to_string())
}

/// Prints one line to standard output. A reader that has gone (`| head`) is no error of ours.
pub fn line(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The word in the colour of its outcome, on a terminal that wants colours.
pub fn coloured(outcome: &str) -> String {
    let colour = match outcome {
        "ok" | "resolved" | "completed" | "found" => "32",
        "warning" | "false" => "33",
        "critical" | "missed" => "31",
        "unknown" => "35",
        _ => return outcome.to_owned(),
    };
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\u{1b}[{colour}m{outcome}\u{1b}[0m")
    } else {
        outcome.to_owned()
    }
}

/// Text wrapped to a width, each line indented.
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut current = String::new();
        for word in paragraph.split_whitespace() {
            if !current.is_empty() && current.chars().count() + word.chars().count() + 1 > width {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines.join(&format!("\n{indent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_every_word() {
        let text = "one two three four five";
        let wrapped = wrapped(text, 9, "  ");
        assert_eq!(wrapped, "one two\n  three\n  four five");
    }
}
