//! The audit log: one tab-delimited file a day, in GMT.

use crate::error::LabError;
use crate::layout::Folders;
use crate::store;
use chrono::{DateTime, Datelike as _, Duration, NaiveDate, Utc};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How many days there are on the first start.
const DAYS: i64 = 14;
/// Between two lines of the past.
const PAST_PERIOD: Duration = Duration::minutes(20);
/// Between two lines while the lab is up.
const PERIOD: Duration = Duration::seconds(15);

/// Writes the audit log.
pub struct AuditLog {
    folder: PathBuf,
    last: Option<DateTime<Utc>>,
}

impl AuditLog {
    /// Nothing is written yet.
    pub fn new(folders: &Folders) -> Self {
        Self { folder: folders.audit_logs(), last: None }
    }

    /// The file of one day.
    pub fn file(folder: &Path, day: NaiveDate) -> PathBuf {
        folder.join(day.year().to_string()).join(format!("Date_{}.log", day.format("%Y-%m-%d")))
    }

    /// Writes what is due; first, files for the days since the newest one. Days before that stay as they are: what a
    /// fault has removed is not filled in.
    pub fn tick(&mut self, now: DateTime<Utc>) -> Result<(), LabError> {
        let today = now.date_naive();
        if self.last.is_none_or(|last| last.date_naive() != today) {
            let oldest = today - Duration::days(DAYS - 1);
            let mut day = newest_day(&self.folder)?.map_or(oldest, |newest| oldest.max(newest + Duration::days(1)));
            while day <= today {
                write_day(&self.folder, day, now)?;
                day += Duration::days(1);
            }
        } else if self.last.is_some_and(|last| now - last < PERIOD) {
            return Ok(());
        }
        let path = Self::file(&self.folder, today);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(&path).map_err(LabError::io("open", &path))?;
        file.write_all(line(now).as_bytes()).map_err(LabError::io("append to", &path))?;
        self.last = Some(now);
        Ok(())
    }

    /// After a silence, the next tick fills in what is missing.
    pub fn forget_last(&mut self) {
        self.last = None;
    }
}

fn newest_day(folder: &Path) -> Result<Option<NaiveDate>, LabError> {
    let mut newest = None;
    let Ok(years) = std::fs::read_dir(folder) else { return Ok(None) };
    for year in years {
        let year = year.map_err(LabError::io("list", folder))?.path();
        for file in std::fs::read_dir(&year).map_err(LabError::io("list", &year))? {
            let name = file.map_err(LabError::io("list", &year))?.file_name();
            let day = name.to_str().and_then(|name| NaiveDate::parse_from_str(name, "Date_%Y-%m-%d.log").ok());
            newest = newest.max(day);
        }
    }
    Ok(newest)
}

/// A whole day, or as much of it as has passed.
fn write_day(folder: &Path, day: NaiveDate, now: DateTime<Utc>) -> Result<(), LabError> {
    let start = day.and_time(chrono::NaiveTime::MIN).and_utc();
    let end = (start + Duration::days(1)).min(now);
    let mut text = String::new();
    let mut at = start + Duration::seconds(7);
    let mut newest = start;
    while at < end {
        text.push_str(&line(at));
        newest = at;
        at += PAST_PERIOD;
    }
    let path = AuditLog::file(folder, day);
    if let Some(year) = path.parent() {
        std::fs::create_dir_all(year).map_err(LabError::io("create", year))?;
    }
    store::write_file(&path, text.as_bytes(), 0o644, newest.into())
}

/// `<GMT>\t<event>\t<object type>\t<uri>\t<login>\t<detail>`
fn line(at: DateTime<Utc>) -> String {
    let n = at.timestamp() / 5;
    let event = ["Record viewed", "Document extracted", "Record modified", "Logon", "Search run"][(n % 5) as usize];
    format!(
        "{}\t{event}\tRecord\t{}\tDOUBLE\\user{}\tdouble of an audit event\n",
        at.format("%Y-%m-%d %H:%M:%S"),
        1 + n % 500,
        21 + n % 200
    )
}
