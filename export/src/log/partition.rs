//! Where a file ends.

use crate::event::StoredEvent;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// Where a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Partition {
    /// With the day (UTC) on which events were recorded, or when the file is full. A clock that was set back gives a
    /// day more than one file: positions stay in order.
    Day {
        /// Full after so many events.
        file_events_max: u64,
    },
    /// After each so many positions, counted from the log's beginning: the same events are in the same file whenever
    /// the export was begun.
    Positions {
        /// So many.
        size: u64,
    },
}

/// Which part of the export an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Day(NaiveDate),
    Range(i64),
}

impl Partition {
    pub(crate) fn place_of(self, event: &StoredEvent) -> Place {
        match self {
            Self::Day { .. } => Place::Day(event.recorded_at.date_naive()),
            Self::Positions { size } => {
                Place::Range((event.position - 1) / i64::try_from(size.max(1)).unwrap_or(i64::MAX))
            }
        }
    }

    pub(crate) fn file_events_max(self) -> u64 {
        match self {
            Self::Day { file_events_max } => file_events_max.max(1),
            Self::Positions { size } => size.max(1),
        }
    }
}

impl Place {
    /// Where in the folder a file of this part stands. Days are folders named as Hive names them, so that readers of
    /// Parquet leave out days that were not asked for.
    pub(crate) fn path(self, first: i64, last: i64, extension: &str) -> String {
        let name = format!("events-{first:012}-{last:012}.{extension}");
        match self {
            Self::Day(day) => format!("date={day}/{name}"),
            Self::Range(_) => name,
        }
    }
}

/// The first position in the name of a file of ours; `None` for any other file.
pub(crate) fn first_of(name: &str) -> Option<i64> {
    let (first, rest) = name.strip_prefix("events-")?.split_once('-')?;
    let (last, extension) = rest.split_once('.')?;
    let number = |text: &str| (text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(());
    number(first).and(number(last))?;
    ["jsonl", "jsonl.zst", "parquet"].contains(&extension).then(|| first.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_strangers_are_left_alone() {
        let day = NaiveDate::from_ymd_opt(2026, 1, 5).unwrap();
        let path = Place::Day(day).path(7, 1_234_567_890_123, "parquet");
        assert_eq!(path, "date=2026-01-05/events-000000000007-1234567890123.parquet");
        assert_eq!(first_of(path.rsplit('/').next().unwrap()), Some(7));
        assert_eq!(first_of(&Place::Range(3).path(301, 400, "jsonl.zst")), Some(301));
        for stranger in ["events.parquet", "events-1-2.parquet", "events-000000000001-00000000000x.jsonl", "notes.txt"]
        {
            assert_eq!(first_of(stranger), None, "{stranger}");
        }
    }
}
