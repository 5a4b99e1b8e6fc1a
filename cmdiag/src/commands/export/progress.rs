//! How far a long export has come: a bar where somebody looks, some lines elsewhere, on standard error.

use export::log::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};

/// Shows how far an export has come.
pub struct ExportProgress {
    bar: Option<ProgressBar>,
    from: Option<i64>,
    shown: i64,
}

/// At most so many lines, however long the export is.
const LINES: i64 = 20;
/// An export of fewer events is over before anybody has read a line.
const LONG: i64 = 50_000;

impl ExportProgress {
    /// A bar on a terminal, lines elsewhere.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("[{bar:40.cyan/blue}] {pos}/{len} events  {per_sec}  {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
            bar
        });
        Self { bar, from: None, shown: 0 }
    }

    /// An export of the log has come so far.
    pub fn at(&mut self, progress: Progress) {
        self.from.get_or_insert(progress.from);
        self.of(progress.position, progress.until);
    }

    /// A position was reached, of the last one.
    pub fn of(&mut self, position: i64, last: i64) {
        let from = *self.from.get_or_insert(position.saturating_sub(1));
        let (done, all) = (position - from, last - from);
        if let Some(bar) = &self.bar {
            bar.set_length(all.max(0) as u64);
            bar.set_position(done.max(0) as u64);
        } else if all >= LONG && (done == all || done >= self.shown + all / LINES) {
            self.shown = done;
            // Progress that nobody reads any more is no error.
            let _ = writeln!(std::io::stderr().lock(), "{done} of {all} events");
        }
    }

    /// It has ended.
    pub fn ended(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
