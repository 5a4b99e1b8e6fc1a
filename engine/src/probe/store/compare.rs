//! The folder beside the list: pure functions of both.

use super::listing::{Counters, Listing};
use super::walk::{FoundFile, Walk};
use crate::probe::rows::{Measured, row};
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Finds files by what the dataset calls them. Windows does not tell upper from lower case.
pub(super) struct Index<'a> {
    by_name: HashMap<String, &'a FoundFile>,
    by_path: HashMap<String, &'a FoundFile>,
}

impl<'a> Index<'a> {
    pub(super) fn of(walk: &'a Walk, listing: &Listing) -> Self {
        let paths = listing.files.iter().any(|file| file.resid.contains('/'));
        let names = listing.files.iter().any(|file| !file.resid.contains('/'));
        let map = |wanted: bool, key: fn(&FoundFile) -> &str| {
            let files = walk.files.iter().filter(|_| wanted);
            files.map(|file| (key(file).to_ascii_lowercase(), file)).collect()
        };
        Self { by_name: map(names, FoundFile::name), by_path: map(paths, |file| &file.relative) }
    }

    pub(super) fn find(&self, resid: &str) -> Option<&'a FoundFile> {
        let map = if resid.contains('/') { &self.by_path } else { &self.by_name };
        map.get(&resid.to_ascii_lowercase()).copied()
    }
}

/// Files that the dataset expects and the folder lacks.
pub(super) fn missing(walk: &Walk, listing: &Listing, now: DateTime<Utc>, max_rows: usize) -> Measured {
    let index = Index::of(walk, listing);
    let mut measured = Measured::default();
    let mut missing = 0_u64;
    for file in &listing.files {
        // A file that came after the walk went past its folder is not missing: the disk has the last word.
        if index.find(&file.resid).is_some() || walk.root.join(&*file.resid).exists() {
            continue;
        }
        missing += 1;
        if measured.rows.len() == max_rows {
            measured.truncated = true;
            continue;
        }
        measured.rows.push(row! {
            resource: &*file.resid,
            record_uri: file.record_uri,
            recorded_bytes: file.bytes,
            age_s: file.modified_s.map(|at| now.timestamp() - at),
        });
    }
    measured.facts = row! { files_expected: listing.files.len(), files_found: walk.files.len(), missing: missing };
    measured
}

/// Files that the folder has and the dataset does not know, if they are old enough: a file is written before its row.
pub(super) fn orphans(
    walk: &Walk,
    listing: &Listing,
    now: DateTime<Utc>,
    min_age: Duration,
    max_rows: usize,
) -> Measured {
    let known: HashSet<String> = listing.files.iter().map(|file| file.resid.to_ascii_lowercase()).collect();
    let is_known = |file: &FoundFile| {
        known.contains(&file.name().to_ascii_lowercase()) || known.contains(&file.relative.to_ascii_lowercase())
    };
    let mut measured = Measured::default();
    let (mut orphans, mut bytes, mut young) = (0_u64, 0_u64, 0_u64);
    for file in walk.files.iter().filter(|file| !is_known(file)) {
        let age_s = now.timestamp() - file.modified_s;
        if age_s < min_age.as_secs() as i64 {
            young += 1;
            continue;
        }
        orphans += 1;
        bytes += file.bytes;
        if measured.rows.len() == max_rows {
            measured.truncated = true;
            continue;
        }
        measured.rows.push(row! { resource: &*file.relative, bytes: file.bytes, age_s: age_s });
    }
    measured.facts = row! {
        files_expected: listing.files.len(), files_found: walk.files.len(),
        orphans: orphans, orphan_bytes: bytes, too_young: young,
    };
    measured
}

/// How many files each folder holds, the fullest first. Those that no longer fit are the emptiest: nothing is lost.
pub(super) fn layout(walk: &Walk, max_rows: usize) -> Measured {
    let mut folders: Vec<(&String, &u64)> = walk.folders.iter().collect();
    folders.sort_by_key(|(_, files)| std::cmp::Reverse(**files));
    Measured {
        rows: folders.iter().take(max_rows).map(|(folder, files)| row! { folder: folder, files: files }).collect(),
        facts: row! { folders: folders.len(), files_found: walk.files.len() },
        truncated: false,
    }
}

/// The store's recorded counters beside what is there; the drifts are without sign.
pub(super) fn counters(walk: &Walk, recorded: Counters) -> Measured {
    let items = walk.files.len() as i64;
    let bytes: i64 = walk.files.iter().map(|file| file.bytes as i64).sum();
    Measured::one(row! {
        recorded_items: recorded.items,
        actual_items: items,
        recorded_bytes: recorded.bytes,
        actual_bytes: bytes,
        items_drift: (items - recorded.items).abs(),
        bytes_drift: (bytes - recorded.bytes).abs(),
    })
}
