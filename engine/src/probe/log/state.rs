//! What a log probe keeps from run to run: how far it has read each file, and what it counted, by time.
//!
//! Counts are kept in buckets of time for as long as the window reaches, so that they do not get lost between runs just
//! because the reading has gone on; the state is one value that says all.

use super::line::Calendar;
use chrono::{NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many buckets a window has at most.
const BUCKETS: i64 = 60;
/// The most different messages kept of one probe.
const MAX_SHAPES: usize = 500;
/// What messages beyond that are counted under.
pub(super) const FURTHER: &str = "(further messages)";
const MAX_SAMPLE_CHARS: usize = 300;

/// All files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LogState {
    pub files: Vec<FileState>,
}

/// One file, known by its device and inode, and by how it begins: names and inodes are used again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FileState {
    pub name: String,
    pub device: u64,
    pub inode: u64,
    /// The hash of the first `head_bytes` bytes.
    pub head: String,
    pub head_bytes: u64,
    /// Up to here it has been read: always the start of a line.
    pub offset: u64,
    pub date: Option<NaiveDate>,
    pub last: Option<NaiveTime>,
    /// The newest line's time, in milliseconds since 1970.
    pub newest_ms: Option<i64>,
    /// Lines by bucket.
    pub lines: BTreeMap<i64, u64>,
    pub counts: Vec<Count>,
}

/// One message's shape under one pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Count {
    pub pattern: String,
    pub shape: String,
    /// The latest of these messages as it was written.
    pub sample: String,
    pub first_ms: i64,
    pub last_ms: i64,
    /// How many, by bucket.
    pub buckets: BTreeMap<i64, u64>,
}

/// How time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units come last in a name")]
pub(super) struct Window {
    pub now_ms: i64,
    pub length_ms: i64,
    bucket_ms: i64,
}

impl Window {
    pub(super) fn new(now_ms: i64, length: std::time::Duration) -> Self {
        let length_ms = (length.as_millis() as i64).max(60_000);
        Self { now_ms, length_ms, bucket_ms: (length_ms / BUCKETS).max(60_000) }
    }

    fn bucket(self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.bucket_ms)
    }

    /// The first bucket that still counts.
    pub(super) fn first_bucket(self) -> i64 {
        self.bucket(self.now_ms - self.length_ms)
    }

    fn starts_at(self, bucket: i64) -> i64 {
        bucket * self.bucket_ms
    }
}

impl FileState {
    /// Where the reading stands in time.
    pub(super) fn calendar(&self, otherwise: NaiveDate) -> Calendar {
        Calendar { date: self.date.unwrap_or(otherwise), last: self.last }
    }

    pub(super) fn keep(&mut self, calendar: Calendar) {
        self.date = Some(calendar.date);
        self.last = calendar.last;
    }

    /// Counts a line, within the window or not: what is too old is dropped by [`Self::forget`].
    pub(super) fn line(&mut self, at_ms: i64, window: Window) {
        self.newest_ms = self.newest_ms.max(Some(at_ms));
        let bucket = window.bucket(at_ms);
        if bucket >= window.first_bucket() {
            *self.lines.entry(bucket).or_insert(0) += 1;
        }
    }

    /// Counts a message under a pattern.
    pub(super) fn message(&mut self, pattern: &str, shape: &str, message: &str, at_ms: i64, window: Window) {
        let bucket = window.bucket(at_ms);
        if bucket < window.first_bucket() {
            return;
        }
        let known = |counts: &[Count], shape: &str| {
            counts.iter().position(|count| count.shape == shape && count.pattern == pattern)
        };
        let mut shape = shape;
        let mut found = known(&self.counts, shape);
        if found.is_none() && self.counts.len() >= MAX_SHAPES {
            shape = FURTHER;
            found = known(&self.counts, shape);
        }
        let index = found.unwrap_or_else(|| {
            self.counts.push(Count {
                pattern: pattern.to_owned(),
                shape: shape.to_owned(),
                sample: String::new(),
                first_ms: at_ms,
                last_ms: at_ms,
                buckets: BTreeMap::new(),
            });
            self.counts.len() - 1
        });
        let count = &mut self.counts[index];
        count.first_ms = count.first_ms.min(at_ms);
        if at_ms >= count.last_ms || count.sample.is_empty() {
            count.last_ms = count.last_ms.max(at_ms);
            count.sample = crate::check::cut(message, MAX_SAMPLE_CHARS);
        }
        *count.buckets.entry(bucket).or_insert(0) += 1;
    }

    /// Drops what the window has left behind.
    pub(super) fn forget(&mut self, window: Window) {
        let first = window.first_bucket();
        self.lines.retain(|bucket, _| *bucket >= first);
        for count in &mut self.counts {
            count.buckets.retain(|bucket, _| *bucket >= first);
            if let Some(bucket) = count.buckets.keys().next() {
                count.first_ms = count.first_ms.max(window.starts_at(*bucket));
            }
        }
        self.counts.retain(|count| !count.buckets.is_empty());
    }

    /// Whether there is anything left that counts.
    pub(super) fn counts_for_something(&self) -> bool {
        !self.lines.is_empty() || !self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn counts_stay_for_the_window_and_go_with_it() {
        let hour = Duration::from_hours(1);
        let mut file = FileState::default();
        let start = 1_000_000 * 60_000;
        let window = Window::new(start, hour);
        for minute in 0..10 {
            file.message("error", "Error: #", "Error: 1", start - minute * 60_000, window);
            file.line(start - minute * 60_000, window);
        }
        file.message("error", "Error: #", "too old", start - 7_200_000, window);
        file.forget(window);
        assert_eq!(file.counts[0].buckets.values().sum::<u64>(), 10);

        let later = Window::new(start + 3_600_000 - 5 * 60_000, hour);
        file.forget(later);
        assert_eq!(file.counts[0].buckets.values().sum::<u64>(), 6);
        assert_eq!(file.counts[0].first_ms, start - 5 * 60_000);

        file.forget(Window::new(start + 7_200_000, hour));
        assert!(!file.counts_for_something());
        assert_eq!(file.newest_ms, Some(start));
    }

    #[test]
    fn the_number_of_shapes_is_bounded_and_nothing_goes_uncounted() {
        let mut file = FileState::default();
        let window = Window::new(0, Duration::from_hours(1));
        for index in 0..MAX_SHAPES * 2 {
            file.message("p", &format!("{index}"), "m", 0, window);
        }
        assert_eq!(file.counts.len(), MAX_SHAPES + 1);
        let all: u64 = file.counts.iter().flat_map(|count| count.buckets.values()).sum();
        assert_eq!(all, MAX_SHAPES as u64 * 2);
    }
}
