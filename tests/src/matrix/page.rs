//! The matrix as a table and as data.

use serde_json::{Value, json};
use std::fmt::Write as _;

/// What was seen of one stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cell {
    /// Not come to.
    #[default]
    NotReached,
    /// As it must be.
    Yes,
    /// Not as it must be, and what was instead.
    No(String),
    /// It does not apply, and why.
    DoesNotApply(String),
}

impl Cell {
    fn json(&self) -> Value {
        match self {
            Self::Yes => json!(true),
            Self::No(_) | Self::NotReached => json!(false),
            Self::DoesNotApply(why) => json!(why),
        }
    }

    const fn sign(&self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No(_) => "**NO**",
            Self::NotReached => "**not reached**",
            Self::DoesNotApply(_) => "n/a",
        }
    }
}

/// One fault on its whole way.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The fault.
    pub fault: String,
    /// The check that must find it.
    pub check: String,
    /// Three runs before it raised nothing.
    pub clean: Cell,
    /// Found by its check, with a cause, and nothing else was raised.
    pub found: Cell,
    /// The dry run said of each step what it would change, the target was so when it began, and what it said is what
    /// changed.
    pub dry_run: Cell,
    /// All steps were done and verified.
    pub fixed: Cell,
    /// The check that raised the finding says that it is gone.
    pub post_check: Cell,
    /// Taken back, and each state's hash is that of before.
    pub undone: Cell,
    /// The history decides the same again.
    pub replayed: Cell,
    /// From the execution's request to the proven end, and from the undo's request to the proven end, in seconds.
    pub seconds: Option<f64>,
    /// Of the undo alone.
    pub undo_seconds: Option<f64>,
    /// By which runbook.
    pub runbook: Option<String>,
}

impl Row {
    fn cells(&self) -> [(&'static str, &Cell); 7] {
        [
            ("clean", &self.clean),
            ("found", &self.found),
            ("dry_run", &self.dry_run),
            ("fixed", &self.fixed),
            ("post_check", &self.post_check),
            ("undone", &self.undone),
            ("replayed", &self.replayed),
        ]
    }

    /// Whether every stage is as it must be or does not apply.
    pub fn holds(&self) -> bool {
        self.cells().iter().all(|(_, cell)| matches!(cell, Cell::Yes | Cell::DoesNotApply(_)))
    }

    /// What was not as it must be.
    pub fn misses(&self) -> Vec<String> {
        let missed = |(stage, cell): &(&str, &Cell)| match cell {
            Cell::No(what) => Some(format!("{stage}: {what}")),
            Cell::NotReached => Some(format!("{stage}: not reached")),
            _ => None,
        };
        self.cells().iter().filter_map(missed).collect()
    }
}

/// As data: true, false, or the reason why it does not apply.
pub fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let mut object = serde_json::Map::new();
        object.insert("fault".to_owned(), json!(row.fault));
        object.insert("check".to_owned(), json!(row.check));
        for (stage, cell) in row.cells() {
            object.insert(stage.to_owned(), cell.json());
        }
        object.insert("seconds".to_owned(), json!(row.seconds.map(rounded)));
        Value::Object(object)
    };
    Value::Array(rows.iter().map(row).collect())
}

/// How long each remediation and its undo took, as data: what `make bench` holds to its bars.
pub fn times(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "fault": row.fault,
            "seconds": row.seconds.map(rounded),
            "undo_seconds": row.undo_seconds.map(rounded),
        })
    };
    Value::Array(rows.iter().map(row).collect())
}

/// As one line on the terminal.
pub fn terminal(row: &Row) -> String {
    let cells = row.cells().map(|(stage, cell)| match cell {
        Cell::Yes => format!("{stage} yes"),
        Cell::No(_) => format!("{stage} NO"),
        Cell::NotReached => format!("{stage} -"),
        Cell::DoesNotApply(_) => format!("{stage} n/a"),
    });
    let seconds = row.seconds.map(|seconds| format!("{seconds:.2} s")).unwrap_or_default();
    let mut text = format!("{:<28} {:<26} {}  {seconds}", row.fault, row.check, cells.join("  "));
    for miss in row.misses() {
        let _ = write!(text, "\n    {miss}");
    }
    text
}

/// As a page.
pub fn markdown(rows: &[Row]) -> String {
    let held = rows.iter().filter(|row| row.holds()).count();
    let remedied = rows.iter().filter(|row| row.fixed == Cell::Yes).count();
    let mut text = format!(
        "# The fault matrix\n\nEach fault of the lab (a double of a Content Manager deployment on real parts) on its whole \
         way. Written by `make matrix`; the same as data is `fault-matrix.json`.\n\n\
         {held} of {} faults hold in every stage that applies; {remedied} are put right by the platform.{}\n\n",
        rows.len(),
        figures(rows)
    );
    text.push_str(
        "- **clean**: three runs of all checks before it raised nothing\n\
         - **found**: its check raised it, with a cause, and nothing unexpected was raised beside it\n\
         - **dry run**: each step said what it would change, read from the target; the target was still so when it \
         began; and, read again at the end, what it had said is what has changed\n\
         - **fixed**: every step was done and verified\n\
         - **post-check**: the check that raised the finding says that it is gone\n\
         - **undone**: taken back; the hash of each state is that of before\n\
         - **replayed**: the history folds to the same state, and policy and saga decide the same at every event\n\n",
    );
    text.push_str(
        "| fault | check | runbook | clean | found | dry run | fixed | post-check | undone | replayed | seconds |\n",
    );
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---:|\n");
    for row in rows {
        let cells = row.cells().map(|(_, cell)| cell.sign());
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            row.fault,
            row.check,
            row.runbook.as_deref().unwrap_or("-"),
            cells.join(" | "),
            row.seconds.map(|seconds| format!("{seconds:.2}")).unwrap_or_default()
        );
    }
    notes(rows, &mut text);
    text
}

fn notes(rows: &[Row], text: &mut String) {
    let misses: Vec<_> = rows.iter().filter(|row| !row.holds()).collect();
    if !misses.is_empty() {
        text.push_str("\n## Misses\n\n");
        for row in misses {
            let _ = writeln!(text, "- **{}**: {}", row.fault, row.misses().join("; "));
        }
    }
    text.push_str("\n## What does not apply, and why\n\n");
    for row in rows {
        let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
        for (stage, cell) in row.cells() {
            let Cell::DoesNotApply(why) = cell else { continue };
            match told.iter_mut().find(|(known, _)| known == why) {
                Some((_, stages)) => stages.push(stage),
                None => told.push((why, vec![stage])),
            }
        }
        for (why, stages) in told {
            let _ = writeln!(text, "- {} ({}): {why}", row.fault, stages.join(", "));
        }
    }
}

fn figures(rows: &[Row]) -> String {
    let mut seconds: Vec<f64> = rows.iter().filter_map(|row| row.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let Some(longest) = seconds.last() else { return String::new() };
    let median = seconds[seconds.len() / 2];
    let ratios = rows.iter().filter_map(|row| Some(row.undo_seconds? / row.seconds?));
    let worst = ratios.fold(0.0_f64, f64::max);
    format!(
        " From the request to execute to the proven end: median {median:.2} s, longest {longest:.2} s; the undo took \
         at most {worst:.2} times its forward time."
    )
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
