//! The log as files in a folder: CloudEvents or Parquet, by day or by position, with a manifest.
//!
//! Read in this order: [`manifest`] (what the folder says of itself), [`partition`] (where a file ends), [`folder`]
//! (how a file comes to be), [`cloud_events`] and [`parquet_file`] (what is in it), [`verify`].
//!
//! Invariants. A file is seen under its name only once it is whole and on the disk. The manifest lists it only after
//! that, and is itself replaced as a whole. Files are never written again: an export into the same folder goes on after
//! the last event that the manifest lists, be it because the one before was killed or because the log has grown.

pub mod cloud_events;
pub mod folder;
pub mod manifest;
pub mod parquet_file;
pub mod partition;
pub mod proof;
pub mod verify;

use crate::error::ExportError;
use crate::event::{EventSource, StoredEvent};
use crate::output::Output;
use chrono::{DateTime, Utc};
use folder::{Folder, HashedFile, Written};
use manifest::{Format, ListedFile, Manifest};
use partition::{Partition, Place};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// What to export, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogExport {
    /// Into this folder.
    pub folder: PathBuf,
    /// In this form.
    pub format: Format,
    /// Where files end.
    pub partition: Partition,
    /// After this position: the first event is the next one. A folder that has an export goes on after its last.
    pub after: i64,
    /// Up to this position; up to the newest event at the start where none is given.
    pub until: Option<i64>,
}

/// How far an export has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last event written.
    pub position: i64,
    /// Where it began.
    pub from: i64,
    /// Where it will end.
    pub until: i64,
    /// Whole files so far, those of earlier exports into the folder among them.
    pub files: usize,
}

/// Exports the log. Returns the manifest, which is in the folder as well.
pub async fn export(
    source: &dyn EventSource,
    wish: &LogExport,
    now: DateTime<Utc>,
    progress: &mut (dyn FnMut(Progress) + Send),
    stop: &CancellationToken,
) -> Result<Manifest, ExportError> {
    let head = source.head().await?;
    let until = wish.until.map_or(head, |until| until.min(head));
    let opening = wish.clone();
    let mut exporter = tokio::task::spawn_blocking(move || Exporter::open(&opening, now)).await??;
    let from = exporter.last;
    while exporter.last < until {
        if stop.is_cancelled() {
            tokio::task::spawn_blocking(move || drop(exporter)).await?;
            return Err(ExportError::Stopped);
        }
        let page = source.page(exporter.last, until).await?;
        // Compressing and writing are no work for the runtime's own threads.
        exporter = tokio::task::spawn_blocking(move || exporter.take(&page)).await??;
        let files = exporter.manifest.files.len();
        progress(Progress { position: exporter.last, from, until, files });
    }
    tokio::task::spawn_blocking(move || exporter.finish()).await?
}

/// Writes events as CloudEvents, a line each, to an output: for a pipe. Returns how many.
pub async fn stream(
    source: &dyn EventSource,
    after: i64,
    until: Option<i64>,
    output: &mut Output,
) -> Result<u64, ExportError> {
    let head = source.head().await?;
    let until = until.map_or(head, |until| until.min(head));
    let (mut last, mut count, mut gathered) = (after, 0, Vec::new());
    while last < until {
        for event in source.page(last, until).await? {
            cloud_events::write_line(&event, &mut gathered)?;
            last = event.position;
            count += 1;
        }
        output.take(&mut gathered).await?;
    }
    Ok(count)
}

/// What writes the events of one file.
pub(crate) trait EventWriter: Send {
    fn write(&mut self, event: &StoredEvent) -> Result<(), ExportError>;
    fn finish(self: Box<Self>) -> Result<HashedFile, ExportError>;
}

/// A file that is being written.
struct Open {
    writer: Box<dyn EventWriter>,
    place: Place,
    first: i64,
    events: u64,
    recorded: (DateTime<Utc>, DateTime<Utc>),
}

struct Exporter {
    folder: Folder,
    manifest: Manifest,
    partition: Partition,
    open: Option<Open>,
    last: i64,
}

impl Exporter {
    fn open(wish: &LogExport, now: DateTime<Utc>) -> Result<Self, ExportError> {
        let folder = Folder::open(&wish.folder)?;
        let manifest = match Manifest::read(&wish.folder)? {
            Some(manifest) => manifest.goes_on(&wish.folder, wish, now)?,
            None => Manifest::begin(wish, now),
        };
        folder.remove_unlisted(&manifest)?;
        let last = manifest.last_position;
        Ok(Self { folder, manifest, partition: wish.partition, open: None, last })
    }

    fn take(mut self, page: &[StoredEvent]) -> Result<Self, ExportError> {
        for event in page {
            let place = self.partition.place_of(event);
            let ends = self
                .open
                .as_ref()
                .is_some_and(|open| open.place != place || open.events >= self.partition.file_events_max());
            if ends {
                self.close()?;
            }
            let open = match &mut self.open {
                Some(open) => open,
                None => self.open.insert(self.folder.begin(self.manifest.format, place, event)?),
            };
            open.writer.write(event)?;
            open.events += 1;
            open.recorded.0 = open.recorded.0.min(event.recorded_at);
            open.recorded.1 = open.recorded.1.max(event.recorded_at);
            self.last = event.position;
        }
        Ok(self)
    }

    /// The file under way is whole: it gets its name, then its line in the manifest.
    fn close(&mut self) -> Result<(), ExportError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { writer, place, first, events, recorded } = open;
        let Written { sha256, bytes, partial } = writer.finish()?.finish()?;
        let path = place.path(first, self.last, self.manifest.format.extension());
        self.folder.put_in_place(&partial, &path)?;
        self.manifest.list(ListedFile {
            path,
            sha256,
            bytes,
            events,
            first_position: first,
            last_position: self.last,
            first_recorded_at: recorded.0,
            last_recorded_at: recorded.1,
        });
        self.manifest.write(self.folder.path())
    }

    fn finish(mut self) -> Result<Manifest, ExportError> {
        self.close()?;
        self.manifest.write(self.folder.path())?;
        Ok(self.manifest)
    }
}

impl Folder {
    fn begin(&self, format: Format, place: Place, event: &StoredEvent) -> Result<Open, ExportError> {
        let file = self.partial()?;
        let writer: Box<dyn EventWriter> = match format {
            Format::CloudEvents => Box::new(cloud_events::Lines::plain(file)),
            Format::CloudEventsZstd => Box::new(cloud_events::Lines::packed(file)?),
            Format::Parquet => Box::new(parquet_file::ParquetFile::new(file)?),
        };
        Ok(Open { writer, place, first: event.position, events: 0, recorded: (event.recorded_at, event.recorded_at) })
    }
}
