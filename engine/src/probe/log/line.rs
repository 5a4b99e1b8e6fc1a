//! Lines: a time in one of many formats, then what the grammar puts before the message.

use crate::check::LogGrammar;
use chrono::{Duration, NaiveDate, NaiveDateTime, NaiveTime};
use regex::Regex;
use std::sync::LazyLock;

/// A time, with or without a date before it. The parts may be joined by what any of the locales uses.
static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^\s*(?:(\d{1,4})[-/.]\s?(\d{1,2}|[A-Za-z]{3})[-/.]\s?(\d{1,4})\.?[ T,]+)?",
        r"(\d{1,2})[:.](\d{2})[:.](\d{2})(?:[:.,](\d{1,7}))?(?:\s?([AaPp])\.?\s?[Mm]\b\.?)?"
    ))
    .ok()
});

static NAMED_DATE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(\d{4})[_.-](\d{2})[_.-](\d{2})").ok());

/// The date in a file's name, such as `TRIMWorkgroup_2026_11_24.log`.
pub(super) fn date_of_name(name: &str) -> Option<NaiveDate> {
    let found = NAMED_DATE.as_ref()?.captures(name)?;
    NaiveDate::from_ymd_opt(found[1].parse().ok()?, found[2].parse().ok()?, found[3].parse().ok()?)
}

/// Where the reading of a file stands in time: the date comes from the file's name, and goes on at midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Calendar {
    pub date: NaiveDate,
    pub last: Option<NaiveTime>,
}

impl Calendar {
    /// The date and time of a line's time. Back by more than half a day is the next day; back by less is disorder.
    fn place(&mut self, time: NaiveTime) -> NaiveDateTime {
        if self.last.is_some_and(|last| last.signed_duration_since(time) > Duration::hours(12)) {
            self.date = self.date.succ_opt().unwrap_or(self.date);
        }
        self.last = Some(time);
        self.date.and_time(time)
    }
}

/// One line that carries a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// By the server's clock and zone.
    pub at: NaiveDateTime,
    /// From the level, or the processor, on.
    pub message: &'a str,
}

/// Reads a line; `None` where it carries no time: it goes on with the message before it.
pub(super) fn read<'a>(text: &'a str, grammar: LogGrammar, calendar: &mut Calendar) -> Option<Line<'a>> {
    let found = TIME.as_ref()?.captures(text)?;
    let part = |index: usize| found.get(index).map(|part| part.as_str());
    let mut hour: u32 = part(4)?.parse().ok()?;
    match part(8).map(str::to_ascii_lowercase).as_deref() {
        Some("p") if hour < 12 => hour += 12,
        Some("a") if hour == 12 => hour = 0,
        _ => {}
    }
    let fraction = part(7).unwrap_or("0");
    let millis: u32 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let time = NaiveTime::from_hms_milli_opt(hour, part(5)?.parse().ok()?, part(6)?.parse().ok()?, millis)?;
    let at = match (part(1), part(2), part(3)) {
        (Some(a), Some(b), Some(c)) => {
            let date = date(a, b, c, calendar.date)?;
            *calendar = Calendar { date, last: Some(time) };
            date.and_time(time)
        }
        _ => calendar.place(time),
    };
    let rest = &text[found.get(0)?.end()..];
    Some(Line { at, message: message(rest, grammar) })
}

/// Three parts of a date in the order of whichever locale. Where day and month could be either, it is the date that
/// lies closer to `near`.
fn date(a: &str, b: &str, c: &str, near: NaiveDate) -> Option<NaiveDate> {
    let number = |text: &str| text.parse::<u32>().ok();
    if a.len() == 4 {
        return NaiveDate::from_ymd_opt(a.parse().ok()?, number(b)?, number(c)?);
    }
    let year: i32 = c.parse().ok()?;
    let year = if c.len() <= 2 { 2000 + year } else { year };
    let Some(second) = number(b) else {
        return NaiveDate::from_ymd_opt(year, month(b)?, number(a)?);
    };
    let first = number(a)?;
    let day_first = NaiveDate::from_ymd_opt(year, second, first);
    let month_first = NaiveDate::from_ymd_opt(year, first, second);
    let distance = |date: &NaiveDate| date.signed_duration_since(near).num_days().abs();
    day_first.into_iter().chain(month_first).min_by_key(distance)
}

fn month(name: &str) -> Option<u32> {
    const NAMES: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    NAMES.iter().position(|known| name.eq_ignore_ascii_case(known)).map(|index| index as u32 + 1)
}

/// What comes after the thread, the dataset and the numbers that the grammar puts before the message.
fn message(rest: &str, grammar: LogGrammar) -> &str {
    let rest = rest.trim_start();
    match grammar {
        LogGrammar::Log4net => match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((_, after)) => after.trim(),
            None => rest.trim(),
        },
        LogGrammar::Workgroup | LogGrammar::Event => {
            let Some(rest) = after(rest, is_number) else { return rest.trim() };
            let rest = after(rest, is_dataset).unwrap_or(rest);
            let rest = after(rest, is_number).unwrap_or(rest);
            after(rest, is_number).unwrap_or(rest).trim()
        }
        LogGrammar::Ldap => {
            let rest = after(rest, is_number).unwrap_or(rest);
            after(rest, is_dataset).unwrap_or(rest).trim()
        }
    }
}

/// The text after its first word, where the word is of the kind.
fn after(text: &str, kind: fn(&str) -> bool) -> Option<&str> {
    let (word, rest) = text.split_once(char::is_whitespace)?;
    kind(word).then(|| rest.trim_start())
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// A dataset's two characters, or what stands there where there is no dataset: `-x-`, `--`.
fn is_dataset(word: &str) -> bool {
    let two =
        word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-');
    two || (word.len() == 3 && word.starts_with('-') && word.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar() -> Calendar {
        Calendar { date: date_of_name("TRIMWorkgroup_2026_11_24.log").unwrap(), last: None }
    }

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").unwrap()
    }

    #[test]
    fn reads_each_grammar() {
        let table = [
            (LogGrammar::Workgroup, "10:15:30:123 4242 D1 0 0 Error: message", "Error: message"),
            (
                LogGrammar::Event,
                "10:15:30:123 4242 D1 0 0 ContentIndex: (workgroup notification) : Received 5 events",
                "ContentIndex: (workgroup notification) : Received 5 events",
            ),
            (LogGrammar::Log4net, "2026-11-24 10:15:30,123 [12] ERROR message", "ERROR message"),
            (LogGrammar::Ldap, "10:15:30:123 4242 -x- Failed to bind: 49", "Failed to bind: 49"),
            (LogGrammar::Workgroup, "10:15:30:123 plain words", "plain words"),
        ];
        for (grammar, text, message) in table {
            let line = read(text, grammar, &mut calendar()).unwrap();
            assert_eq!((line.at, line.message), (at("2026-11-24 10:15:30.123"), message), "{text}");
        }
    }

    #[test]
    fn reads_the_times_of_many_locales() {
        let texts = [
            "22:05:09:007 m",
            "22:05:09.007 m",
            "22:05:09,007 m",
            "22.05.09.007 m",
            "10:05:09:007 PM m",
            "10:05:09:007 p.m. m",
            "24/11/2026 22:05:09.007 m",
            "11/24/2026 10:05:09.007 PM m",
            "24.11.2026 22:05:09,007 m",
            "24-11-2026 22:05:09.007 m",
            "24-Nov-2026 22:05:09.007 m",
            "24/11/26 22:05:09.007 m",
            "2026/11/24 22:05:09.007 m",
            "2026-11-24T22:05:09.007 m",
            "24. 11. 2026 22:05:09.007 m",
            "2026.11.24. 22:05:09.007 m",
        ];
        for text in texts {
            let line = read(text, LogGrammar::Workgroup, &mut calendar());
            assert_eq!(line, Some(Line { at: at("2026-11-24 22:05:09.007"), message: "m" }), "{text}");
        }
        assert_eq!(read("12:00:00:000 AM m", LogGrammar::Ldap, &mut calendar()).unwrap().at, at("2026-11-24 00:00:00"));
    }

    #[test]
    fn day_and_month_that_could_be_either_lie_near_the_file() {
        let mut near = Calendar { date: NaiveDate::from_ymd_opt(2026, 4, 3).unwrap(), last: None };
        for text in ["03/04/2026 10:00:00 m", "04/03/2026 10:00:00 m"] {
            let line = read(text, LogGrammar::Workgroup, &mut near).unwrap();
            assert_eq!(line.at, at("2026-04-03 10:00:00"), "{text}");
        }
    }

    #[test]
    fn goes_on_at_midnight_and_bears_disorder() {
        let mut calendar = calendar();
        let mut next = |text: &str| read(text, LogGrammar::Workgroup, &mut calendar).unwrap().at;
        assert_eq!(next("23:59:59:900 m"), at("2026-11-24 23:59:59.9"));
        assert_eq!(next("23:59:59:100 m"), at("2026-11-24 23:59:59.1"));
        assert_eq!(next("00:00:01:000 m"), at("2026-11-25 00:00:01"));
        assert_eq!(next("10:00:00:000 m"), at("2026-11-25 10:00:00"));
    }

    #[test]
    fn a_line_without_a_time_goes_on_with_the_one_before() {
        for text in ["   at System.Web.Page()", "", "Error: 10:15", "99:99:99:000 x"] {
            assert_eq!(read(text, LogGrammar::Log4net, &mut calendar()), None, "{text}");
        }
    }
}
