//! The daily audit logs: which days have one, and whether one has shrunk since it was last looked at.
//!
//! Files are `<folder>/<YYYY>/Date_<YYYY-MM-DD>.log`, or directly in the folder; days are those of GMT. Days before the
//! first file there is are not asked for, nor today as long as it has none: the day is not over.

use super::offsets::{OffsetKey, OffsetStore};
use super::rows::{Measured, row};
use super::{ProbeError, Run};
use crate::check::AuditSpec;
use chrono::{Days, NaiveDate};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most files looked at: a hundred years.
const MAX_FILES: usize = 40_000;

pub(super) async fn measure(
    offsets: &dyn OffsetStore,
    spec: &AuditSpec,
    run: &Run<'_>,
) -> Result<Measured, ProbeError> {
    let folder = PathBuf::from(run.target.setting(&spec.logs)?);
    let key = OffsetKey {
        deployment: run.target.deployment,
        component: run.target.component.name.clone(),
        probe: format!("{}:sizes", run.target.check),
    };
    let fail = |error: super::OffsetError| ProbeError::unreachable(error.to_string());
    let before = offsets.load(&key).await.map_err(fail)?;
    let before: Map<String, Value> = before.and_then(|state| state.as_object().cloned()).unwrap_or_default();
    let found = run.blocking(move |_| sizes(&folder)).await?;
    let today = run.target.now.date_naive();
    let measured = compare(&found, &before, today, spec.days)?;
    let cutoff = today.checked_sub_days(Days::new(u64::from(spec.days))).unwrap_or(NaiveDate::MIN);
    // The largest size ever seen is kept: a file that shrank stays a finding until it is whole again.
    let state = found.range(cutoff..).map(|(day, bytes)| {
        let day = day.to_string();
        let largest = before.get(&day).and_then(Value::as_u64).unwrap_or(0).max(*bytes);
        (day, Value::from(largest))
    });
    offsets.save(&key, Value::Object(state.collect())).await.map_err(fail)?;
    Ok(measured)
}

fn compare(
    found: &BTreeMap<NaiveDate, u64>,
    before: &Map<String, Value>,
    today: NaiveDate,
    days: u32,
) -> Result<Measured, ProbeError> {
    let Some(first) = found.keys().next() else {
        return Err(ProbeError::malformed("the folder holds no audit log (Date_YYYY-MM-DD.log)"));
    };
    let mut measured = Measured::default();
    for back in 0..=u64::from(days) {
        let Some(day) = today.checked_sub_days(Days::new(back)) else { break };
        let bytes = found.get(&day);
        if day < *first || (back == 0 && bytes.is_none()) {
            continue;
        }
        measured.rows.push(row! {
            date: day.to_string(),
            present: bytes.is_some(),
            bytes: bytes,
            previous_bytes: before.get(&day.to_string()),
            age_days: back,
        });
    }
    measured.facts = row! { first: first.to_string(), files: found.len() };
    Ok(measured)
}

/// The size of each day's file.
fn sizes(folder: &Path) -> Result<BTreeMap<NaiveDate, u64>, ProbeError> {
    let mut found = BTreeMap::new();
    let files = walkdir::WalkDir::new(folder).max_depth(2).follow_links(false);
    for entry in files.into_iter().take(MAX_FILES) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_path_buf();
            let io = error.into_io_error().unwrap_or_else(|| std::io::Error::other("a loop of links"));
            ProbeError::io(&path, &io)
        })?;
        let name = entry.file_name().to_string_lossy();
        let day = name.strip_prefix("Date_").and_then(|rest| rest.strip_suffix(".log"));
        let Some(day) = day.and_then(|day| day.parse::<NaiveDate>().ok()) else { continue };
        if let Ok(metadata) = entry.metadata() {
            found.insert(day, metadata.len());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn finds_the_gap_and_the_file_that_shrank() {
        let found = BTreeMap::from([(day("2026-11-20"), 10), (day("2026-11-21"), 20), (day("2026-11-23"), 5)]);
        let before = json!({"2026-11-23": 30}).as_object().unwrap().clone();
        let rows = compare(&found, &before, day("2026-11-24"), 14).unwrap().rows;
        let short: Vec<(&str, bool)> =
            rows.iter().map(|row| (row["date"].as_str().unwrap(), row["present"].as_bool().unwrap())).collect();
        let expected = [("2026-11-23", true), ("2026-11-22", false), ("2026-11-21", true), ("2026-11-20", true)];
        assert_eq!(short, expected);
        assert_eq!(rows[0]["previous_bytes"], 30);
        assert_eq!(rows[2]["previous_bytes"], Value::Null);
    }

    #[test]
    fn today_counts_once_it_has_a_file_and_an_empty_folder_is_an_error() {
        let found = BTreeMap::from([(day("2026-11-24"), 10)]);
        assert_eq!(compare(&found, &Map::new(), day("2026-11-24"), 3).unwrap().rows.len(), 1);
        assert!(compare(&BTreeMap::new(), &Map::new(), day("2026-11-24"), 3).is_err());
    }
}
