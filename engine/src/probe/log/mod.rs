//! Log files: what they say, counted by the shape of the message.
//!
//! The reading goes on where it ended last time, through rotation, truncation and midnight; what it counted is kept
//! as long as the window reaches ([`state`]). A line is matched by all patterns in one pass. The files are opened for
//! reading only and never locked: their writer does not notice.

mod files;
mod line;
mod shape;
mod state;

use super::offsets::{OffsetKey, OffsetStore};
use super::rows::{Measured, row};
use super::{ProbeError, Row, Run};
use crate::check::LogSpec;
use chrono::{DateTime, SecondsFormat};
use files::Reading;
use state::{Count, FileState, LogState, Window};
use std::collections::HashMap;
use std::path::PathBuf;

/// The most messages given; the rarest are left out first.
const MAX_ROWS: usize = 300;

pub(super) async fn measure(offsets: &dyn OffsetStore, spec: &LogSpec, run: &Run<'_>) -> Result<Measured, ProbeError> {
    let target = run.target;
    let folder = PathBuf::from(target.setting(&spec.logs)?);
    let offset_ms = match target.optional("utc_offset_minutes") {
        None => 0,
        Some(text) => {
            let minutes: i64 = text.trim().parse().map_err(|_| {
                ProbeError::configuration(format!("setting \"utc_offset_minutes\" is {text:?}, and no whole number"))
            })?;
            minutes * 60_000
        }
    };
    let key = OffsetKey {
        deployment: target.deployment,
        component: target.component.name.clone(),
        probe: format!("{}:{}", target.check, fingerprint(spec)),
    };
    // Without the state more is read again, and nothing is counted twice: the counts are part of it.
    let before: LogState = match offsets.load(&key).await {
        Ok(state) => state.and_then(|state| serde_json::from_value(state).ok()).unwrap_or_default(),
        Err(error) => {
            tracing::warn!(component = %target.component.name, %error, "reading logs from their start");
            LogState::default()
        }
    };
    let window = Window::new(target.now.timestamp_millis(), spec.window);
    let owned = spec.clone();
    let (state, measured) = run
        .blocking(move |stop| {
            let files = files::list(&folder, &owned.files)?;
            let reading = Reading { spec: &owned, window, offset_ms, stop };
            let state = reading.read_on(&files, before)?;
            let bytes = files.iter().map(|file| file.bytes).sum();
            let measured = to_rows(&state, window, files.len(), bytes);
            Ok((serde_json::to_value(&state), measured))
        })
        .await?;
    let state = state.map_err(|error| ProbeError::internal(format!("the state of the logs: {error}")))?;
    if let Err(error) = offsets.save(&key, state).await {
        tracing::warn!(component = %target.component.name, %error, "the next run reads these lines again");
    }
    Ok(measured)
}

/// Changed keys start afresh: counts of other patterns would be wrong.
fn fingerprint(spec: &LogSpec) -> String {
    use sha2::{Digest, Sha256};
    let text = format!(
        "{:?}|{:?}|{:?}|{:?}|{:?}",
        spec.files,
        spec.grammar,
        spec.window,
        spec.names,
        spec.patterns.patterns()
    );
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

fn to_rows(state: &LogState, window: Window, files: usize, bytes: u64) -> Measured {
    let mut merged: HashMap<(&str, &str), Merged<'_>> = HashMap::new();
    for file in &state.files {
        for count in &file.counts {
            let new = || Merged { count: 0, first_ms: count.first_ms, latest: count, file };
            let one = merged.entry((&count.pattern, &count.shape)).or_insert_with(new);
            one.count += count.buckets.values().sum::<u64>();
            one.first_ms = one.first_ms.min(count.first_ms);
            if count.last_ms > one.latest.last_ms {
                (one.latest, one.file) = (count, file);
            }
        }
    }
    let window_s = window.length_ms / 1_000;
    let mut all: Vec<Merged<'_>> = merged.into_values().collect();
    all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name().cmp(&b.name())));
    let mut rows = vec![about_the_log(state, window, files, bytes)];
    let shapes = all.len();
    rows.extend(all.iter().take(MAX_ROWS).map(|one| one.to_row(window_s)));
    Measured { rows, facts: row! { shapes: shapes, files: files }, truncated: shapes > MAX_ROWS }
}

struct Merged<'a> {
    count: u64,
    first_ms: i64,
    latest: &'a Count,
    file: &'a FileState,
}

impl Merged<'_> {
    fn name(&self) -> (&str, &str) {
        (&self.latest.shape, &self.latest.pattern)
    }

    fn to_row(&self, window_s: i64) -> Row {
        row! {
            pattern: self.latest.pattern, message: self.latest.shape, count: self.count,
            first: time(Some(self.first_ms)), last: time(Some(self.latest.last_ms)), file: self.file.name,
            sample: self.latest.sample, window_s: window_s,
        }
    }
}

/// The row that says when the log was last written to.
fn about_the_log(state: &LogState, window: Window, files: usize, bytes: u64) -> Row {
    let newest_ms = state.files.iter().filter_map(|file| file.newest_ms).max();
    let lines: u64 = state.files.iter().flat_map(|file| file.lines.values()).sum();
    row! {
        pattern: "_log", lines: lines, newest: time(newest_ms),
        newest_age_s: newest_ms.map(|at| (window.now_ms - at) as f64 / 1e3),
        files: files, bytes: bytes, window_s: window.length_ms / 1_000,
        message: None::<&str>, count: 0, first: None::<&str>, last: None::<&str>, file: None::<&str>,
        sample: None::<&str>,
    }
}

fn time(at_ms: Option<i64>) -> Option<String> {
    let at = DateTime::from_timestamp_millis(at_ms?)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Millis, true))
}
