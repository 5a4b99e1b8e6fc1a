//! Writes a bundle: beside its place first, and to its place when it is whole.

use super::lines::{CheckpointLine, End, EventLine, Manifest, SealLine};
use super::{FORMAT, VERSION};
use crate::keys::KeyHistory;
use crate::store::Seal;
use crate::{AuditError, store};
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use serde::Serialize;
use sqlx::PgPool;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use zstd::stream::write::Encoder;

/// Rows of seals of one page.
const SEALS: i64 = 32;
/// Level 3 packs events to about a seventh, at some hundred MB a second.
const LEVEL: i32 = 3;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Events.
    pub events: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

struct Output {
    encoder: Encoder<'static, BufWriter<File>>,
    path: PathBuf,
}

impl Output {
    fn line(&mut self, line: &impl Serialize) -> Result<(), AuditError> {
        let written = serde_json::to_writer(&mut self.encoder, line).map_err(std::io::Error::from);
        let written = written.and_then(|()| self.encoder.write_all(b"\n"));
        written.map_err(AuditError::file(format!("write {}", self.path.display())))
    }
}

/// Writes all that is sealed (`until`: up to this position, as far as rows of seals are whole); tells `progress`
/// how many events are written, of how many.
pub async fn write_bundle(
    pool: &PgPool,
    file: &Path,
    until: Option<u64>,
    now: DateTime<Utc>,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Written, AuditError> {
    let origin = store::origin(pool).await?;
    let sealed = store::sealed_to(pool).await?;
    let end = end_of_last_seal(pool, sealed.min(until.unwrap_or(sealed))).await?;
    let part = file.with_extension("part");
    let shown = part.display().to_string();
    let io = || AuditError::file(format!("write {shown}"));
    let created = File::create(&part).map_err(io())?;
    let mut encoder = Encoder::new(BufWriter::with_capacity(1 << 20, created), LEVEL).map_err(io())?;
    encoder.include_checksum(true).map_err(io())?;
    let mut output = Output { encoder, path: part.clone() };
    output.line(&manifest(pool, origin, end, now).await?)?;
    let (mut at, mut checkpoints) = (0, 0);
    while at < end {
        let seals = store::seals(pool, at, SEALS).await?;
        if seals.is_empty() {
            return Err(AuditError::Missing(format!("the seals after position {at} are missing")));
        }
        for seal in seals.iter().filter(|seal| seal.last <= end) {
            checkpoints += write_sealed(pool, &mut output, at, seal).await?;
            at = seal.last.max(at + 1);
        }
        progress(at, end);
        if seals.iter().any(|seal| seal.last > end) {
            break;
        }
    }
    output.line(&End { kind: "end".to_owned(), events: at, checkpoints })?;
    let buffered = output.encoder.finish().map_err(io())?;
    let written = buffered.into_inner().map_err(|error| io()(error.into_error()))?;
    written.sync_all().map_err(io())?;
    let bytes = written.metadata().map_err(io())?.len();
    std::fs::rename(&part, file).map_err(AuditError::file(format!("move {shown} to {}", file.display())))?;
    Ok(Written { events: at, checkpoints, bytes })
}

/// A row of seals is not divided.
async fn end_of_last_seal(pool: &PgPool, until: u64) -> Result<u64, AuditError> {
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT last_position FROM cmdiag.audit_seals WHERE last_position <= $1 AND first_position <= $1 \
         ORDER BY first_position DESC LIMIT 1",
    )
    .bind(until as i64)
    .fetch_optional(pool)
    .await?;
    Ok(last.unwrap_or(0) as u64)
}

async fn manifest(pool: &PgPool, origin: String, end: u64, made_at: DateTime<Utc>) -> Result<Manifest, AuditError> {
    let mut keys = KeyHistory::default();
    for (position, payload) in store::key_events(pool, end).await? {
        // Whether they hold is for the verifier; here a broken one is only not listed.
        let _ = keys.apply(position, &payload);
    }
    let keys = keys.all().iter().map(|key| key.key.verifier_key(&origin)).collect();
    Ok(Manifest {
        kind: "manifest".to_owned(),
        format: FORMAT.to_owned(),
        version: VERSION,
        origin,
        made_at,
        events: end,
        keys,
    })
}

/// The events of a row of seals, the row, and the checkpoints that end with it; how many of those.
async fn write_sealed(pool: &PgPool, output: &mut Output, after: u64, seal: &Seal) -> Result<u64, AuditError> {
    let mut rows = std::pin::pin!(store::events(pool, after, seal.last, i64::MAX as usize));
    while let Some(row) = rows.try_next().await? {
        output.line(&EventLine::of(&store::stored(&row)?))?;
    }
    output.line(&SealLine::of(seal))?;
    let notes = store::notes_between(pool, after, seal.last).await?;
    for note in &notes {
        output.line(&CheckpointLine { kind: "checkpoint".to_owned(), note: note.clone() })?;
    }
    Ok(notes.len() as u64)
}
