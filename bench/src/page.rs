//! `performance.json`, and the page that is made from it.

use crate::benchmarks::ALL;
use crate::figure::Figure;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What limits a figure, by its id: written by people who looked.
const NOTES: &str = include_str!("../notes.toml");

/// Puts new figures in the place of their benchmarks' old ones, and makes the page anew.
pub fn write(docs: &Path, new: &[Figure]) -> Result<()> {
    let file = docs.join("performance.json");
    let old: Vec<Figure> = match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{}", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    };
    let renewed = |figure: &Figure| new.iter().any(|other| other.benchmark() == figure.benchmark());
    let mut figures: Vec<Figure> = old.into_iter().filter(|figure| !renewed(figure)).collect();
    figures.extend(new.iter().cloned());
    figures.sort_by_key(|figure| ALL.iter().position(|benchmark| benchmark.name == figure.benchmark()));
    let json = serde_json::to_string_pretty(&figures)? + "\n";
    std::fs::write(&file, json).with_context(|| format!("write {}", file.display()))?;
    let page = docs.join("performance.md");
    std::fs::write(&page, page_of(&figures, &notes()?)).with_context(|| format!("write {}", page.display()))
}

fn notes() -> Result<BTreeMap<String, String>> {
    toml::from_str(NOTES).context("bench/notes.toml")
}

fn page_of(figures: &[Figure], notes: &BTreeMap<String, String>) -> String {
    let mut page = String::from(
        "# Performance\n\nMade from [performance.json](performance.json) by `make bench`, which measures every bar of \
         the platform side by side with its peers in one run (`make bench BENCH=\"append replay\"` measures some \
         of them anew; `target/release/bench --list` lists them). The servers are private ones with the platform's own \
         defaults, durable (`fsync`), and the load comes from the same machine: every figure shares its cores with the \
         database and with whatever drives it.\n",
    );
    summary(&mut page, figures);
    for benchmark in ALL {
        let own: Vec<&Figure> = figures.iter().filter(|figure| figure.benchmark() == benchmark.name).collect();
        let Some(first) = own.first() else { continue };
        // Writing to a String can not fail.
        let _ = write!(page, "\n## {}: {}\n\n{}\n\n", benchmark.name, benchmark.title, benchmark.how);
        page.push_str("| what | measured | bar | met |\n|---|---:|---:|---|\n");
        for figure in &own {
            let bar = figure.bar.as_deref().unwrap_or("none");
            let _ = writeln!(page, "| {} | {} | {bar} | {} |", figure.what, figure.shown(), verdict(figure));
        }
        page.push('\n');
        for figure in own.iter().filter(|figure| !figure.beside.is_empty()) {
            let _ = writeln!(page, "- `{}`: {}.", figure.id, figure.beside);
        }
        for figure in &own {
            if let Some(note) = notes.get(&figure.id) {
                let _ = write!(page, "\n`{}`: {note}\n", figure.id);
            } else if figure.met == Some(false) {
                let _ = write!(page, "\n`{}` misses its bar; why is not known yet.\n", figure.id);
            }
        }
        let _ = write!(page, "\nMeasured on {}, by `target/release/bench {}`.\n", first.measured_on, benchmark.name);
    }
    page
}

fn summary(page: &mut String, figures: &[Figure]) {
    let (met, missed): (Vec<_>, Vec<_>) =
        figures.iter().filter(|figure| figure.met.is_some()).partition(|figure| figure.met == Some(true));
    let missed: Vec<String> = missed.iter().map(|figure| format!("`{}` ({})", figure.id, figure.shown())).collect();
    let _ = write!(page, "\nOf {} bars, {} are met.", met.len() + missed.len(), met.len());
    if !missed.is_empty() {
        let _ = write!(page, " Not met: {}; what limits them is said below.", missed.join(", "));
    }
    page.push('\n');
}

fn verdict(figure: &Figure) -> &'static str {
    match figure.met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_figures_are_renewed_and_the_page_names_what_is_missed() {
        let folder = std::env::temp_dir().join(format!("bench-page-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let first = [
            Figure::at_least("replay.rate", "replay", (50.0, 100.0), "events/s"),
            Figure::at_least("append.1x1-bare", "append", (1.0, 0.9), "x"),
        ];
        write(&folder, &first).unwrap();
        write(&folder, &[Figure::at_least("replay.rate", "replay", (60.0, 100.0), "events/s")]).unwrap();
        let json: Vec<Figure> =
            serde_json::from_str(&std::fs::read_to_string(folder.join("performance.json")).unwrap()).unwrap();
        assert_eq!(json.iter().map(|figure| figure.value).collect::<Vec<_>>(), [1.0, 60.0]);
        let page = std::fs::read_to_string(folder.join("performance.md")).unwrap();
        assert!(page.contains("Of 2 bars, 1 are met."), "{page}");
        assert!(page.contains("| append | 1 x | >= 0.9 | yes |"), "{page}");
        assert!(page.contains("**no**"), "{page}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_note_is_of_a_benchmark_that_there_is() {
        for id in notes().unwrap().keys() {
            assert!(ALL.iter().any(|benchmark| id.starts_with(&format!("{}.", benchmark.name))), "{id}");
        }
    }
}
