//! `cmdiag what-if`: stored measurements judged anew. Nothing is measured.

use crate::cli::Format;
use crate::commands::find_deployment;
use crate::commands::packs::explained;
use crate::output;
use crate::platform::{Platform, WhatIfs};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use engine::pack::Packs;
use engine::what_if::{Changes, FindingDifference, Life, Progress, Question, Report};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct WhatIfArgs {
    /// The deployment whose runs are judged anew (name or id)
    #[arg(long)]
    pub deployment: String,
    /// A changed check file, or a folder of packs; without any change all is judged as it was
    #[arg(long, value_name = "FILE")]
    pub pack: Vec<PathBuf>,
    /// Another threshold: `CHECK[/THRESHOLD]=WARNING[,CRITICAL]`, Nagios ranges
    #[arg(long, value_name = "CHECK=RANGE")]
    pub threshold: Vec<String>,
    /// Only runs asked for at that time or later, such as 2026-01-31 or 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<DateTime<Utc>>,
    /// Only runs asked for before
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<DateTime<Utc>>,
    /// At most so many runs
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub runs: u32,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

/// A time, or a day: its beginning, in UTC.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || text.parse::<NaiveDate>().ok().and_then(|day| day.and_hms_opt(0, 0, 0)).map(|day| day.and_utc());
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    time.ok().or_else(day).ok_or_else(|| format!("{text:?} is neither a day nor a time such as 2026-01-31T08:00:00Z"))
}

/// Prints what would have been found.
pub async fn run(platform: &Platform, format: Format, arguments: &WhatIfArgs) -> Result<()> {
    let deployment = find_deployment(platform, &arguments.deployment).await?.id;
    let question = Question {
        deployment,
        since: arguments.since,
        until: arguments.until,
        changes: changes(arguments)?,
        runs_max: arguments.runs as usize,
    };
    let what_ifs = WhatIfs::new(platform, platform.queries.clone());
    let bar = if arguments.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut shown = |now: Progress| {
        let at = now.at.format("%Y-%m-%d %H:%M");
        bar.set_message(format!("{} runs, {} results looked at, at {at}", now.runs, now.results));
    };
    let report = what_ifs.engine().ask(&question, &mut shown).await;
    bar.finish_and_clear();
    let report = report?;
    if format == Format::Json { output::json(&report) } else { print(&report, question.changes.is_empty()) }
}

fn changes(arguments: &WhatIfArgs) -> Result<Changes> {
    let mut changes = Changes::default();
    for path in &arguments.pack {
        if path.is_dir() {
            let packs = Packs::load(path).map_err(|errors| explained(&errors))?;
            for check in packs.checks() {
                changes.add_check(Arc::clone(check))?;
            }
            continue;
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        changes.add_check_file("what-if", &path.display().to_string(), &text)?;
    }
    for text in &arguments.threshold {
        changes.add_threshold(text.parse()?)?;
    }
    if changes.is_empty() && !(arguments.pack.is_empty() && arguments.threshold.is_empty()) {
        bail!("there is no check in what was given");
    }
    Ok(changes)
}

fn print(report: &Report, as_it_was: bool) -> Result<()> {
    let undecided: u64 = report.undecided.iter().map(|one| one.results).sum();
    output::line(&format!(
        "{} runs, {} results: {} judged anew, {} would have come out otherwise, {} had not been measured, {undecided} \
         can not be judged anew (as of position {}; nothing was measured)",
        report.runs, report.results, report.judged, report.differing, report.unmeasured, report.as_of
    ))?;
    output::line(&format!(
        "findings: {} raised in addition, {} vanished, {} with another life, {} not decidable, {} as they were",
        report.raised, report.vanished, report.changed, report.not_decidable, report.unchanged
    ))?;
    if as_it_was && report.is_reproduced() {
        output::line("the check versions in force reproduce what is stored, with 0 differences")?;
    }
    if !report.findings.is_empty() {
        let header = ["would be", "check", "resource", "was", "would have been", "symptom"];
        output::list(Format::Table, &header, &report.findings, row)?;
    }
    for one in &report.undecided {
        output::line(&format!("not decidable: {} × {}: {}", one.results, one.check, one.reason))?;
    }
    for code in &report.never_ran {
        output::line(&format!("not decidable: {code} has no result here: what it would have seen, nobody measured"))?;
    }
    if let Some(at) = report.stopped_at {
        output::line(&format!("stopped before the run of {at}: --runs says how many are read"))?;
    }
    Ok(())
}

fn row(one: &FindingDifference) -> Vec<String> {
    let verdict = serde_json::to_value(one.verdict).ok().and_then(|word| word.as_str().map(str::to_owned));
    vec![
        verdict.unwrap_or_default().replace('_', " "),
        one.check.to_string(),
        one.resource.to_string(),
        life(&one.actual),
        life(&one.hypothetical),
        one.symptom.clone().unwrap_or_default(),
    ]
}

fn life(life: &Life) -> String {
    let mut turns: Vec<String> = life
        .moments
        .iter()
        .take(4)
        .map(|moment| {
            let kind = serde_json::to_value(moment.kind).ok().and_then(|word| word.as_str().map(str::to_owned));
            let severity = moment.severity.map_or("", domain::Outcome::as_str);
            let at = moment.at.format("%Y-%m-%d %H:%M:%S");
            format!("{} {severity} {at}", kind.unwrap_or_default().replace('_', " "))
        })
        .collect();
    if life.was_open {
        turns.insert(0, "open before".to_owned());
    }
    if life.moments.len() > 4 {
        turns.push(format!("and {} more", life.moments.len() - 4));
    }
    if turns.is_empty() { "-".to_owned() } else { turns.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn a_day_begins_at_midnight_and_a_time_is_a_time() {
        assert_eq!(time("2026-01-31").unwrap().to_rfc3339(), "2026-01-31T00:00:00+00:00");
        assert_eq!(time("2026-01-31T09:00:00+01:00").unwrap().to_rfc3339(), "2026-01-31T08:00:00+00:00");
        for wrong in ["", "yesterday", "2026-13-01", "2026-01-31 08:00"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
