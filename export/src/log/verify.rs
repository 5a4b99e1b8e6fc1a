//! Checks an export against its manifest: with nothing but the folder.

use super::folder::ours;
use super::manifest::{Format, ListedFile, Manifest};
use crate::error::ExportError;
use crate::event::StoredEvent;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Row, RowAccessor};
use parquet::schema::parser::parse_message_type;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A line longer than this is none of ours: an append is far smaller.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// So many faults are told; there may be more.
const FAULTS_MAX: usize = 100;

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What the folder says of itself.
    pub manifest: Manifest,
    /// What is wrong, at most a hundred lines; empty where nothing is.
    pub faults: Vec<String>,
}

/// Checks the folder: every listed file is there, with its size, its SHA-256 and its events, position by position
/// without a gap; nothing of ours lies beside them; counts add up. Blocks: for a thread of its own.
pub fn verify(folder: &Path) -> Result<Verdict, ExportError> {
    let manifest = Manifest::read(folder)?;
    let manifest = manifest.ok_or_else(|| ExportError::unreadable(&folder.join("manifest.json"), "there is none"))?;
    let mut faults = Faults(Vec::new());
    let mut next = manifest.after + 1;
    for file in &manifest.files {
        if file.first_position != next {
            faults.say(format!("{}: it begins at position {}, not at {next}", file.path, file.first_position));
        }
        next = file.last_position + 1;
        if !is_plain(&file.path) {
            faults.say(format!("{:?} leads out of the folder", file.path));
            continue;
        }
        if let Err(fault) = check_file(folder, manifest.format, file) {
            faults.say(format!("{}: {fault}", file.path));
        }
    }
    let events: u64 = manifest.files.iter().map(|file| file.events).sum();
    if events != manifest.events || i64::try_from(events) != Ok(manifest.last_position - manifest.after) {
        faults.say(format!("the manifest counts {} events, its files {events}", manifest.events));
    }
    let last = manifest.files.last().map_or(manifest.after, |file| file.last_position);
    if last != manifest.last_position {
        faults.say(format!("the manifest ends at {}, its last file at {last}", manifest.last_position));
    }
    for path in ours(folder)? {
        if !manifest.files.iter().any(|file| file.path == path) {
            faults.say(format!("{path}: the manifest does not list it"));
        }
    }
    Ok(Verdict { manifest, faults: faults.0 })
}

/// Hands on the events of a Parquet export, in order, up to a position. Blocks, as [`verify`] does.
pub fn rows(
    folder: &Path,
    manifest: &Manifest,
    until: i64,
    take: &mut dyn FnMut(&StoredEvent),
) -> Result<(), ExportError> {
    for file in manifest.files.iter().filter(|file| file.first_position <= until && is_plain(&file.path)) {
        let path = folder.join(&file.path);
        let opened = File::open(&path).map_err(|error| ExportError::file("read", &path, error))?;
        for row in SerializedFileReader::new(opened)?.get_row_iter(None)? {
            let event = stored(&row?).map_err(|error| ExportError::unreadable(&path, &error))?;
            if event.position > until {
                return Ok(());
            }
            take(&event);
        }
    }
    Ok(())
}

/// A row as the event that it was; columns as [`super::parquet_file::SCHEMA`] has them.
fn stored(row: &Row) -> Result<StoredEvent, String> {
    let number = |column| row.get_long(column).map_err(|error| error.to_string());
    let text = |column| row.get_string(column).cloned().map_err(|error| error.to_string());
    let micros = row.get_timestamp_micros(1).map_err(|error| error.to_string())?;
    Ok(StoredEvent {
        position: number(0)?,
        recorded_at: DateTime::from_timestamp_micros(micros).ok_or("a time out of range")?,
        aggregate_type: text(2)?,
        aggregate_id: text(3)?,
        sequence: number(4)?,
        event_id: text(5)?.parse().map_err(|error| format!("an event's id: {error}"))?,
        event_type: text(6)?,
        event_version: text(7)?,
        payload: text(14)?,
        metadata: text(15)?,
    })
}

struct Faults(Vec<String>);

impl Faults {
    fn say(&mut self, fault: String) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(fault);
        }
    }
}

/// A manifest may come from anybody: it names files of its own folder only.
fn is_plain(path: &str) -> bool {
    let path = Path::new(path);
    path.components().count() <= 2 && path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn check_file(folder: &Path, format: Format, file: &ListedFile) -> Result<(), String> {
    let path = folder.join(&file.path);
    let (sha256, bytes) = digest_of(&path).map_err(|error| error.to_string())?;
    if bytes != file.bytes {
        return Err(format!("it has {bytes} bytes, not {}", file.bytes));
    }
    if sha256 != file.sha256 {
        return Err(format!("its SHA-256 is {sha256}, not {}", file.sha256));
    }
    let mut expected = file.first_position;
    let mut take = |position: i64| {
        if position != expected {
            return Err(format!("position {position} stands where {expected} must"));
        }
        expected += 1;
        Ok(())
    };
    match format {
        Format::CloudEvents => check_lines(BufReader::new(open(&path)?), &mut take)?,
        Format::CloudEventsZstd => {
            let decoder = zstd::Decoder::new(open(&path)?).map_err(|error| error.to_string())?;
            check_lines(BufReader::new(decoder), &mut take)?;
        }
        Format::Parquet => check_rows(&path, &mut take)?,
    }
    let found = expected - file.first_position;
    if expected != file.last_position + 1 || i64::try_from(file.events) != Ok(found) {
        return Err(format!("it holds {found} events, not {}", file.events));
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| error.to_string())
}

fn digest_of(path: &PathBuf) -> io::Result<(String, u64)> {
    let (mut file, mut digest, mut bytes) = (File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hex::encode(digest.finalize()), bytes)),
            read => {
                digest.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    specversion: &'a str,
    position: &'a str,
    payloadsha256: &'a str,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<&'a str>,
}

fn check_lines(mut lines: impl BufRead, take: &mut dyn FnMut(i64) -> Result<(), String>) -> Result<(), String> {
    let mut text = String::new();
    loop {
        text.clear();
        let read = lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut text).map_err(|error| error.to_string())?;
        if read == 0 {
            return Ok(());
        }
        if !text.ends_with('\n') {
            return Err("its last line does not end".to_owned());
        }
        let line: Line = serde_json::from_str(&text).map_err(|error| format!("a line is no CloudEvent: {error}"))?;
        let position = line.position.parse().map_err(|_| format!("{:?} is no position", line.position))?;
        take(position)?;
        let payload = match (line.data, line.data_base64) {
            (Some(data), None) => Sha256::digest(data.get()),
            (None, Some(text)) => {
                Sha256::digest(STANDARD.decode(text).map_err(|error| format!("position {position}: {error}"))?)
            }
            _ => return Err(format!("position {position} has no data, or has it twice")),
        };
        if line.specversion != "1.0" || hex::encode(payload) != line.payloadsha256 {
            return Err(format!("position {position}: its data is not what its payloadsha256 says"));
        }
    }
}

fn check_rows(path: &Path, take: &mut dyn FnMut(i64) -> Result<(), String>) -> Result<(), String> {
    let in_words = |error: parquet::errors::ParquetError| error.to_string();
    let reader = SerializedFileReader::new(open(path)?).map_err(in_words)?;
    let only = parse_message_type("message event { REQUIRED INT64 position; }").map_err(in_words)?;
    for row in reader.get_row_iter(Some(only)).map_err(in_words)? {
        take(row.and_then(|row| row.get_long(0)).map_err(in_words)?)?;
    }
    Ok(())
}
