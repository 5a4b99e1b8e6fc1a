//! A run's progress on the terminal: a bar where somebody looks, plain lines elsewhere.

use crate::output;
use domain::Outcome;
use domain::diagnostic_run::CheckResult;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Shows how far a run has come.
pub enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// In a file or a pipe.
    Lines {
        /// How many checks were done at the last line.
        shown: u32,
    },
    /// Not at all.
    Quiet,
}

impl Progress {
    /// A bar on a terminal, plain lines elsewhere; on standard error, so that standard output holds results only.
    pub fn new(watch: bool) -> Self {
        if !watch {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { shown: 0 };
        }
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{spinner} [{bar:40.cyan/blue}] {pos}/{len} checks  {elapsed}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self::Bar(bar)
    }

    /// The checks are fixed.
    pub fn planned(&mut self, checks: u32) {
        match self {
            Self::Bar(bar) => bar.set_length(u64::from(checks)),
            Self::Lines { .. } => eprintln_line(&format!("planned {checks} checks")),
            Self::Quiet => {}
        }
    }

    /// Results came in.
    pub fn completed(&mut self, results: &[CheckResult], done: u32, planned: u32) {
        match self {
            Self::Bar(bar) => {
                for result in results.iter().filter(|result| result.outcome != Outcome::Ok) {
                    bar.println(line_of(result));
                }
                bar.set_length(u64::from(planned));
                bar.set_position(u64::from(done));
                if let Some(last) = results.last() {
                    bar.set_message(last.key.check.to_string());
                }
            }
            Self::Lines { shown } => {
                for result in results.iter().filter(|result| result.outcome != Outcome::Ok) {
                    eprintln_line(&line_of(result));
                }
                // At most some twenty lines of progress, however long the run is.
                if done == planned || done >= *shown + planned.div_ceil(20).max(1) {
                    eprintln_line(&format!("{done} of {planned} checks done"));
                    *shown = done;
                }
            }
            Self::Quiet => {}
        }
    }

    /// The run has ended.
    pub fn ended(&mut self, how: &str) {
        match self {
            Self::Bar(bar) => bar.finish_and_clear(),
            Self::Lines { .. } => eprintln_line(how),
            Self::Quiet => {}
        }
    }
}

fn line_of(result: &CheckResult) -> String {
    let what = output::opened(result.unknown_cause.as_deref().unwrap_or(&result.summary));
    format!("{} {} ({}): {what}", output::coloured(result.outcome.as_str()), result.key.check, result.key.component)
}

/// Progress that nobody reads any more is no error.
fn eprintln_line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
