//! What `cmdiag export` is told.

use anyhow::{Result, anyhow};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use export::log::manifest::Format;
use export::log::partition::Partition;
use export::report::RunForm;
use export::table::Table;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// The event log, as CloudEvents or Parquet in a folder with a manifest
    ///
    /// Into a folder that holds such an export already it goes on after its last event, be it that the one before was
    /// stopped or that the log has grown. Files appear only once they are whole, and are never written again.
    Events(EventsArgs),
    /// Check an exported folder against its manifest, with neither database nor network; exit code 1 if it differs
    Verify {
        /// The folder
        folder: PathBuf,
        /// A key that must have signed the checkpoint beside it: a verifier key, or a file with one a line
        #[arg(long, value_name = "KEY")]
        key: Vec<String>,
    },
    /// One run as SARIF 2.1.0, JUnit XML or a page to print
    Run(RunArgs),
    /// Findings, results or runs as CSV
    Table(TableArgs),
    /// A period as a page to print: what was done and by whom, what was approved, stopped and refused
    Audit(AuditArgs),
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// The folder; `-` writes CloudEvents to standard output
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// The form of the files
    #[arg(long = "as", value_enum, default_value_t = EventsForm::CloudEvents)]
    pub form: EventsForm,
    /// Compress CloudEvents by Zstandard (Parquet always is)
    #[arg(long)]
    pub compress: bool,
    /// Where files end: with the day (UTC), or after so many positions
    #[arg(long, value_enum, default_value_t = By::Day)]
    pub by: By,
    /// The most events of one file
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub file_events: u64,
    /// Only events after this position
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub after: i64,
    /// Only events up to this position (default: the newest)
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
    pub until: Option<i64>,
}

/// The form of exported events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventsForm {
    /// CloudEvents 1.0, a JSON document a line
    #[value(name = "cloudevents")]
    CloudEvents,
    /// Parquet, a row an event
    Parquet,
}

/// Where files end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// With the day (UTC) on which events were recorded
    Day,
    /// After so many positions
    Positions,
}

impl EventsArgs {
    pub fn form(&self) -> Format {
        match (self.form, self.compress) {
            (EventsForm::CloudEvents, false) => Format::CloudEvents,
            (EventsForm::CloudEvents, true) => Format::CloudEventsZstd,
            (EventsForm::Parquet, _) => Format::Parquet,
        }
    }

    pub fn partition(&self) -> Partition {
        match self.by {
            By::Day => Partition::Day { file_events_max: self.file_events },
            By::Positions => Partition::Positions { size: self.file_events },
        }
    }
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A run's id, or a deployment: its newest run that has ended
    pub run: String,
    /// The form of the report
    #[arg(long = "as", value_enum, default_value_t = ReportForm::Html)]
    pub form: ReportForm,
    /// With SARIF: compare with this run of the same deployment (an id), or with the one before (`previous`)
    #[arg(long, value_name = "RUN")]
    pub base: Option<String>,
    /// The file; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

/// The form of a run's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// A page to print
    Html,
    /// SARIF 2.1.0
    Sarif,
    /// JUnit XML: what could not be measured is an error
    Junit,
}

impl From<ReportForm> for RunForm {
    fn from(form: ReportForm) -> Self {
        match form {
            ReportForm::Html => Self::Html,
            ReportForm::Sarif => Self::Sarif,
            ReportForm::Junit => Self::Junit,
        }
    }
}

#[derive(Debug, Args)]
pub struct TableArgs {
    /// Which table
    #[arg(value_enum)]
    pub table: TableName,
    /// Only of this deployment (name or id)
    #[arg(long)]
    pub deployment: Option<String>,
    /// Only results of this run (an id, or a deployment: its newest run that has ended)
    #[arg(long)]
    pub run: Option<String>,
    /// Runs asked for, findings last seen, at or after this day or time (2026-01-31 or 2026-01-31T08:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Runs asked for before this day or time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The file; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableName {
    /// Findings as they are now
    Findings,
    /// What each check of each run gave
    Results,
    /// Runs
    Runs,
}

impl From<TableName> for Table {
    fn from(name: TableName) -> Self {
        match name {
            TableName::Findings => Self::Findings,
            TableName::Results => Self::Results,
            TableName::Runs => Self::Runs,
        }
    }
}

#[derive(Debug, Args)]
pub struct AuditArgs {
    /// From this day or time on (2026-01-31 or 2026-01-31T08:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub since: String,
    /// Until before this day or time (default: now)
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The file; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

/// A day (its beginning, UTC) or a moment.
pub fn moment(text: &str) -> Result<DateTime<Utc>> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let moment = DateTime::parse_from_rfc3339(text).map(|moment| moment.with_timezone(&Utc));
    moment.map_err(|_| anyhow!("{text:?} is neither a day (2026-01-31) nor a time (2026-01-31T08:00:00Z)"))
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn days_and_moments_are_understood() {
        assert_eq!(moment("2026-01-31").unwrap().to_rfc3339(), "2026-01-31T00:00:00+00:00");
        assert_eq!(moment("2026-01-31T08:00:00+02:00").unwrap().to_rfc3339(), "2026-01-31T06:00:00+00:00");
        assert!(moment("yesterday").unwrap_err().to_string().contains("2026-01-31"));
    }
}
