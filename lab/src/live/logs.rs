//! The logs: written continuously, in their own folders and files, with a history of a day from the start.

use crate::control::Switch;
use crate::error::LabError;
use crate::layout::{Folders, WORKGROUP_SERVERS, read_json, write_atomically, write_json};
use crate::live::grammar::{self, Grammar};
use chrono::{DateTime, Duration, Local, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How much is made up for the first start, or filled in after a pause.
const HISTORY: Duration = Duration::hours(24);
/// The web log is put aside at this size.
const ROTATE_BYTES: u64 = 10 << 20;
/// Older files of a day each are removed.
const KEEP_DAYS: i64 = 15;
/// A flood goes on with so many lines a second.
const FLOOD_RATE: i64 = 2;
/// The most lines of a flood that are filled in for the time in which nothing was written.
const FLOOD_FILLED_IN_MAX: i64 = 400;

/// One log.
#[derive(Debug)]
struct Log {
    name: String,
    folder: PathBuf,
    /// Start of the file's name; the date follows where it is daily.
    stem: &'static str,
    daily: bool,
    grammar: Grammar,
    /// Seconds between lines, live and in the history.
    period_s: i64,
    history_period_s: i64,
}

impl Log {
    fn file(&self, at: DateTime<Local>) -> PathBuf {
        let date = if self.daily { at.format("_%Y_%m_%d.log").to_string() } else { String::new() };
        self.folder.join(format!("{}{date}", self.stem))
    }

    /// Its files, those put aside included.
    fn files(&self) -> Result<Vec<PathBuf>, LabError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(LabError::io("list", &self.folder))? {
            let path = entry.map_err(LabError::io("list", &self.folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(self.stem) {
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// A flood in force.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Flood {
    log: String,
    message: String,
}

/// All logs.
pub struct Logs {
    folders: Folders,
    all: Vec<Log>,
    last: BTreeMap<String, DateTime<Utc>>,
    silent: Vec<String>,
    floods: Vec<Flood>,
}

impl Logs {
    /// Makes the folders, and knows again which floods an earlier process had begun.
    pub fn open(folders: &Folders) -> Result<Self, LabError> {
        let mut logs = Vec::new();
        for wgs in WORKGROUP_SERVERS {
            logs.push(daily(folders, wgs, wgs.to_owned(), "TRIMWorkgroup", Grammar::Workgroup, (2, 20)));
            logs.push(daily(folders, wgs, format!("ldap-{wgs}"), "LDAP", Grammar::Ldap, (60, 300)));
        }
        logs.push(daily(folders, "events", "events".to_owned(), "TRIMEvent_D1", Grammar::Event, (2, 20)));
        logs.push(daily(folders, "events", "ldap-events".to_owned(), "LDAP", Grammar::Ldap, (60, 300)));
        let web = daily(folders, "web", "web".to_owned(), "log-file.txt", Grammar::Log4net, (3, 20));
        logs.push(Log { daily: false, ..web });
        for log in &logs {
            std::fs::create_dir_all(&log.folder).map_err(LabError::io("create", &log.folder))?;
        }
        let floods = read_json(&floods_file(folders))?.unwrap_or_default();
        Ok(Self { folders: folders.clone(), all: logs, last: BTreeMap::new(), silent: Vec::new(), floods })
    }

    /// Fills in the time since the last line, so that no log looks abandoned.
    pub fn catch_up(&mut self, now: DateTime<Utc>) -> Result<(), LabError> {
        for log in self.all.iter().filter(|log| !self.silent.contains(&log.name)) {
            let mut newest = now - HISTORY;
            for path in log.files()? {
                let written =
                    path.metadata().and_then(|meta| meta.modified()).map_err(LabError::io("look at", &path))?;
                newest = newest.max(DateTime::from(written));
                remove_if_old(&path, log, now)?;
            }
            let mut lines = Lines::default();
            let mut at = newest + Duration::seconds(log.history_period_s);
            while at < now {
                // Not every line in the same millisecond of its second.
                let odd = Duration::milliseconds(at.timestamp() * 37 % 900);
                let local = DateTime::<Local>::from((at + odd).min(now));
                let line = grammar::healthy(log.grammar, local, at.timestamp() / log.history_period_s);
                lines.add(log.file(local), local, &line);
                at += Duration::seconds(log.history_period_s);
            }
            lines.write()?;
            // A flood that is in force has gone on meanwhile, too.
            let poured = ((now - newest).num_seconds() * FLOOD_RATE).clamp(0, FLOOD_FILLED_IN_MAX);
            for flood in self.floods.iter().filter(|flood| flood.log == log.name) {
                self.pour(flood, poured, now)?;
            }
        }
        self.write_due(now, true)
    }

    /// Stops writing exactly these logs.
    pub fn silence(&mut self, switches: &[Switch]) {
        let silent = switches.iter().filter_map(|switch| match switch {
            Switch::LogSilent { log } => Some(log.clone()),
            _ => None,
        });
        self.silent = silent.collect();
    }

    /// Brings floods and silence into force. A flood that ends is taken out of the files again.
    pub fn apply(&mut self, switches: &[Switch], now: DateTime<Utc>) -> Result<(), LabError> {
        let before = std::mem::take(&mut self.silent);
        self.silence(switches);
        let woken = before.iter().any(|log| !self.silent.contains(log));
        let mut wanted = Vec::new();
        for switch in switches {
            if let Switch::LogFlood { log, burst, message } = switch {
                wanted.push((Flood { log: log.clone(), message: message.clone() }, *burst));
            }
        }
        let ended: Vec<Flood> = self.floods.iter().filter(|&f| wanted.iter().all(|(w, _)| w != f)).cloned().collect();
        for (flood, burst) in &wanted {
            if !self.floods.contains(flood) {
                self.pour(flood, i64::from(*burst), now)?;
            }
        }
        self.floods = wanted.into_iter().map(|(flood, _)| flood).collect();
        // Written before the files are cleaned: a crash in between repeats the cleaning.
        let kept: Vec<&Flood> = self.floods.iter().chain(&ended).collect();
        write_json(&floods_file(&self.folders), &kept)?;
        for flood in &ended {
            self.drain(flood)?;
        }
        write_json(&floods_file(&self.folders), &self.floods)?;
        if woken { self.write_due(now, true) } else { Ok(()) }
    }

    /// Writes what is due.
    pub fn tick(&mut self, now: DateTime<Utc>) -> Result<(), LabError> {
        for flood in self.floods.clone() {
            self.pour(&flood, FLOOD_RATE, now)?;
        }
        self.write_due(now, false)
    }

    fn write_due(&mut self, now: DateTime<Utc>, all: bool) -> Result<(), LabError> {
        let local = DateTime::<Local>::from(now);
        for log in self.all.iter().filter(|log| !self.silent.contains(&log.name)) {
            let due = self.last.get(&log.name).is_none_or(|last| (now - *last).num_seconds() >= log.period_s);
            if due || all {
                rotate(log, local)?;
                let mut lines = Lines::default();
                lines.add(
                    log.file(local),
                    local,
                    &grammar::healthy(log.grammar, local, now.timestamp() / log.period_s),
                );
                lines.write()?;
                self.last.insert(log.name.clone(), now);
            }
        }
        Ok(())
    }

    fn pour(&self, flood: &Flood, count: i64, now: DateTime<Utc>) -> Result<(), LabError> {
        let log = self.log(&flood.log)?;
        let local = DateTime::<Local>::from(now);
        let mut lines = Lines::default();
        for n in 0..count {
            lines.add(log.file(local), local, &grammar::flood(log.grammar, local, n, &flood.message));
        }
        lines.write()
    }

    /// Takes a flood's lines out of the log, leaving all others as they are.
    fn drain(&self, flood: &Flood) -> Result<(), LabError> {
        for path in self.log(&flood.log)?.files()? {
            let text = std::fs::read_to_string(&path).map_err(LabError::io("read", &path))?;
            if text.contains(&flood.message) {
                let kept: String = text.split_inclusive('\n').filter(|line| !line.contains(&flood.message)).collect();
                write_atomically(&path, kept.as_bytes(), 0o644)?;
            }
        }
        Ok(())
    }

    fn log(&self, name: &str) -> Result<&Log, LabError> {
        let found = self.all.iter().find(|log| log.name == name);
        found.ok_or_else(|| LabError::Options(format!("there is no log {name:?}")))
    }
}

fn daily(folders: &Folders, of: &str, name: String, stem: &'static str, grammar: Grammar, period: (i64, i64)) -> Log {
    Log { name, folder: folders.logs(of), stem, daily: true, grammar, period_s: period.0, history_period_s: period.1 }
}

fn floods_file(folders: &Folders) -> PathBuf {
    folders.root().join("logs/floods.json")
}

fn rotate(log: &Log, at: DateTime<Local>) -> Result<(), LabError> {
    let path = log.file(at);
    if !log.daily && path.metadata().is_ok_and(|meta| meta.len() > ROTATE_BYTES) {
        std::fs::rename(&path, log.folder.join(format!("{}.1", log.stem))).map_err(LabError::io("rename", path))?;
    }
    Ok(())
}

fn remove_if_old(path: &Path, log: &Log, now: DateTime<Utc>) -> Result<(), LabError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let date = name.strip_prefix(log.stem).and_then(|rest| NaiveDate::parse_from_str(rest, "_%Y_%m_%d.log").ok());
    if date.is_some_and(|date| (now.date_naive() - date).num_days() > KEEP_DAYS) {
        std::fs::remove_file(path).map_err(LabError::io("remove", path))?;
    }
    Ok(())
}

/// Lines by the file they belong to, so that each file is opened once.
#[derive(Default)]
struct Lines(BTreeMap<PathBuf, Pending>);

struct Pending {
    text: String,
    newest: DateTime<Local>,
}

impl Lines {
    fn add(&mut self, file: PathBuf, at: DateTime<Local>, line: &str) {
        let pending = self.0.entry(file).or_insert_with(|| Pending { text: String::new(), newest: at });
        pending.text.push_str(line);
        pending.newest = at;
    }

    /// Opened for each write: files may be put aside or replaced by faults at any time. A file is as old as its newest
    /// line, also where the line is of the past.
    fn write(self) -> Result<(), LabError> {
        for (path, pending) in self.0 {
            let mut options = std::fs::OpenOptions::new();
            let opened = options.create(true).append(true).open(&path);
            let mut file = opened.map_err(LabError::io("open", &path))?;
            file.write_all(pending.text.as_bytes()).map_err(LabError::io("append to", &path))?;
            file.set_modified(pending.newest.into()).map_err(LabError::io("set the time of", &path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_gone_on_while_nothing_was_running() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::new(folder.path());
        let message = "a message of its own".to_owned();
        let lines = |logs: &Logs| -> usize {
            let files = logs.log("wgs-1").unwrap().files().unwrap();
            files.iter().map(|path| std::fs::read_to_string(path).unwrap().matches(&message).count()).sum()
        };
        let now = Utc::now();
        let mut logs = Logs::open(&folders).unwrap();
        logs.catch_up(now).unwrap();
        let flood = Switch::LogFlood { log: "wgs-1".to_owned(), burst: 5, message: message.clone() };
        logs.apply(&[flood], now).unwrap();
        assert_eq!(lines(&logs), 5);
        let mut logs = Logs::open(&folders).unwrap();
        logs.catch_up(now + Duration::minutes(30)).unwrap();
        assert_eq!(lines(&logs), 5 + usize::try_from(FLOOD_FILLED_IN_MAX).unwrap());
    }
}
