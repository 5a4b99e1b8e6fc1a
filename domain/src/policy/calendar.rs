//! When something may or may not happen: hours of the week and single stretches of days, at a fixed offset from UTC.
//!
//! Offsets are fixed on purpose: what a replay decides must not hang on a time zone table that changes. Where clocks
//! are put forward, a calendar with `+01:00` means winter's hours all year.

use super::definition::{DefinitionRefusal, refuse};
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, TimeDelta, Utc, Weekday};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const DAY_MINUTES: u16 = 24 * 60;
/// How many blackouts in a row are followed to find the end of the last.
const CHAIN_MAX: usize = 64;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    const fn of(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Mon => Self::Monday,
            Weekday::Tue => Self::Tuesday,
            Weekday::Wed => Self::Wednesday,
            Weekday::Thu => Self::Thursday,
            Weekday::Fri => Self::Friday,
            Weekday::Sat => Self::Saturday,
            Weekday::Sun => Self::Sunday,
        }
    }
}

/// A time of day to the minute, `00:00` to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// The day's beginning.
    pub const MIDNIGHT: Self = Self(0);
    /// The day's end.
    pub const END: Self = Self(DAY_MINUTES);

    fn delta(self) -> TimeDelta {
        TimeDelta::minutes(i64::from(self.0))
    }
}

/// How far a place's clocks are ahead of UTC: `+01:00`, `-03:30`, `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(try_from = "String", into = "String")]
pub struct UtcOffset(i16);

impl UtcOffset {
    fn delta(self) -> TimeDelta {
        TimeDelta::minutes(i64::from(self.0))
    }

    fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        at.naive_utc() + self.delta()
    }

    fn utc(self, local: NaiveDateTime) -> DateTime<Utc> {
        (local - self.delta()).and_utc()
    }
}

/// Two digits, a colon, two digits.
fn hours_and_minutes(text: &str) -> Option<(u16, u16)> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60).then_some((hours, minutes))
}

impl FromStr for TimeOfDay {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hours_and_minutes(text)
            .map(|(hours, minutes)| hours * 60 + minutes)
            .filter(|all| *all <= DAY_MINUTES)
            .map(Self)
            .ok_or("a time of day is HH:MM, 00:00 to 24:00")
    }
}

impl FromStr for UtcOffset {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "an offset from UTC is Z or +HH:MM or -HH:MM, at most 14 hours";
        if text == "Z" {
            return Ok(Self(0));
        }
        let (sign, rest) = match text.as_bytes().first() {
            Some(b'+') => (1, &text[1..]),
            Some(b'-') => (-1, &text[1..]),
            _ => return Err(FORM),
        };
        let (hours, minutes) = hours_and_minutes(rest).ok_or(FORM)?;
        let all = hours * 60 + minutes;
        if all > 14 * 60 { Err(FORM) } else { Ok(Self(sign * all as i16)) }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.unsigned_abs();
        if minutes == 0 { f.write_str("Z") } else { write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60) }
    }
}

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl TryFrom<String> for $name {
            type Error = &'static str;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}
as_text!(TimeOfDay UtcOffset);

const fn midnight() -> TimeOfDay {
    TimeOfDay::MIDNIGHT
}

const fn end_of_day() -> TimeOfDay {
    TimeOfDay::END
}

/// Hours of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Weekly {
    /// On these days; on every day where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// From (inclusive).
    #[serde(default = "midnight")]
    pub from: TimeOfDay,
    /// Until (exclusive). Where it is before `from`, it is on the next day.
    #[serde(default = "end_of_day")]
    pub until: TimeOfDay,
    /// By the clocks of this place.
    #[serde(default)]
    pub utc_offset: UtcOffset,
}

impl Weekly {
    fn on(&self, date: NaiveDate) -> bool {
        self.days.is_empty() || self.days.contains(&Day::of(date.weekday()))
    }

    /// The stretch that begins on this day, in UTC.
    fn stretch(&self, date: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
        let midnight = NaiveDateTime::from(date);
        let next_day = if self.until <= self.from { TimeDelta::days(1) } else { TimeDelta::zero() };
        let from = self.utc_offset.utc(midnight + self.from.delta());
        (from, self.utc_offset.utc(midnight + self.until.delta() + next_day))
    }

    /// The end of the stretch that holds this moment.
    fn end_if_within(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = self.utc_offset.local(at).date();
        let begins = [today.pred_opt(), Some(today)].into_iter().flatten().filter(|date| self.on(*date));
        begins
            .map(|date| self.stretch(date))
            .filter(|(from, until)| *from <= at && at < *until)
            .map(|(_, end)| end)
            .max()
    }

    /// Whether this moment is within.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.end_if_within(at).is_some()
    }

    /// When it begins next, at or after this moment.
    pub fn next_beginning(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = self.utc_offset.local(at).date();
        let dates = today.iter_days().take(9).filter(|date| self.on(*date));
        dates.map(|date| self.stretch(date).0).find(|from| *from >= at)
    }

    pub(super) fn check(&self) -> Result<(), DefinitionRefusal> {
        if self.from == self.until {
            return refuse("a stretch of hours begins when it ends");
        }
        if self.from == TimeOfDay::END {
            return refuse("a stretch of hours begins at 24:00: that is 00:00 of the next day");
        }
        if self.days.len() > 7 {
            return refuse("a stretch of hours names more than seven days");
        }
        Ok(())
    }
}

/// Single days, from the first to the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Days {
    /// The first day.
    pub first: NaiveDate,
    /// The last day; it is part of it.
    pub last: NaiveDate,
    /// From then on, on the first day.
    #[serde(default = "midnight")]
    pub from: TimeOfDay,
    /// Until then, on the last day (exclusive).
    #[serde(default = "end_of_day")]
    pub until: TimeOfDay,
    /// By the clocks of this place.
    #[serde(default)]
    pub utc_offset: UtcOffset,
}

impl Days {
    fn bounds(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let moment = |date: NaiveDate, time: TimeOfDay| self.utc_offset.utc(NaiveDateTime::from(date) + time.delta());
        (moment(self.first, self.from), moment(self.last, self.until))
    }
}

/// A time in which nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Blackout {
    /// Why.
    pub reason: String,
    /// When.
    pub when: When,
}

/// When a blackout is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Every week.
    Weekly(Weekly),
    /// Once.
    Days(Days),
}

impl Blackout {
    fn end_if_within(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.when {
            When::Weekly(weekly) => weekly.end_if_within(at),
            When::Days(days) => {
                let (from, until) = days.bounds();
                (from <= at && at < until).then_some(until)
            }
        }
    }

    /// Whether this moment is within.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.end_if_within(at).is_some()
    }

    pub(super) fn check(&self) -> Result<(), DefinitionRefusal> {
        match &self.when {
            When::Weekly(weekly) => weekly.check(),
            When::Days(days) => {
                // Keeps all arithmetic on dates far from the ends of what can be said.
                let years = 1970..=2500;
                if !years.contains(&days.first.year()) || !years.contains(&days.last.year()) {
                    return refuse("a blackout's days are before 1970 or after 2500");
                }
                let (from, until) = days.bounds();
                if until <= from { refuse("a blackout ends before it begins") } else { Ok(()) }
            }
        }
    }
}

/// The first blackout that holds this moment, and when that one and all that follow without a gap are over.
pub fn in_force(blackouts: &[Blackout], at: DateTime<Utc>) -> Option<(&Blackout, DateTime<Utc>)> {
    let first = blackouts.iter().find(|blackout| blackout.contains(at))?;
    let mut end = at;
    for _ in 0..CHAIN_MAX {
        match blackouts.iter().filter_map(|blackout| blackout.end_if_within(end)).max() {
            Some(later) => end = later,
            None => break,
        }
    }
    Some((first, end))
}

#[cfg(test)]
mod tests;
