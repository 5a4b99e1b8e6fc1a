//! Prints results: tables for people, JSON for programs.

use crate::cli::Format;
use anyhow::Result;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use domain::TenantId;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use vault::Vault;

/// What names are opened with before they are shown; nothing until a platform is connected.
static VAULT: OnceLock<(Vault, TenantId)> = OnceLock::new();

/// Has what is printed from here on opened with this vault.
pub fn open_with(vault: Vault, tenant: TenantId) {
    // One process connects to one platform; should it ever connect again, to the same one.
    let _ = VAULT.set((vault, tenant));
}

/// A text as it is shown: the one place where the command line knows a sealed name again.
pub fn opened(text: &str) -> Cow<'_, str> {
    open_as(text, false)
}

fn open_as(text: &str, is_json: bool) -> Cow<'_, str> {
    let known = VAULT.get().filter(|(vault, _)| vault.is_on() && text.contains(domain::personal::SEALED));
    let (Some((vault, tenant)), Ok(runtime)) = (known, tokio::runtime::Handle::try_current()) else {
        return Cow::Borrowed(text);
    };
    let opened = tokio::task::block_in_place(|| {
        runtime.block_on(async {
            if is_json { vault.open_json(tenant, text).await } else { vault.open(tenant, text).await }
        })
    });
    opened.unwrap_or_else(|error| {
        tracing::warn!(%error, "names stay sealed");
        Cow::Borrowed(text)
    })
}

/// Prints one document as pretty JSON.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    written(&open_as(&text, true))
}

/// Prints a document as the history has it, names sealed as they are: who verifies it needs these very bytes.
pub fn verbatim_json(value: &impl Serialize) -> Result<()> {
    written(&serde_json::to_string_pretty(value)?)
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
        table.add_row(row(item).iter().map(|cell| opened(cell)));
    }
    line(&table.to_string())
}

/// Prints one line to standard output. A reader that has gone (`| head`) is no error of ours.
pub fn line(text: &str) -> Result<()> {
    written(&opened(text))
}

fn written(text: &str) -> Result<()> {
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
