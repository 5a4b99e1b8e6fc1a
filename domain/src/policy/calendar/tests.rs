use super::*;
use chrono::{DateTime, Utc};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn weekly(days: &[Day], from: &str, until: &str, offset: &str) -> Weekly {
    Weekly {
        days: days.to_vec(),
        from: from.parse().unwrap(),
        until: until.parse().unwrap(),
        utc_offset: offset.parse().unwrap(),
    }
}

#[test]
fn hours_begin_at_once_and_end_before_their_end() {
    // 2026-01-05 is a Monday.
    let hours = weekly(&[Day::Monday], "22:00", "23:30", "Z");
    for (moment, within) in [
        ("2026-01-05T21:59:59.999Z", false),
        ("2026-01-05T22:00:00Z", true),
        ("2026-01-05T23:29:59.999Z", true),
        ("2026-01-05T23:30:00Z", false),
        ("2026-01-06T22:30:00Z", false),
    ] {
        assert_eq!(hours.contains(at(moment)), within, "{moment}");
    }
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    let nights = weekly(&[Day::Friday], "22:00", "06:00", "Z");
    for (moment, within) in [
        ("2026-01-09T05:59:00Z", false), // Friday morning is of Thursday's night
        ("2026-01-09T22:00:00Z", true),
        ("2026-01-10T00:00:00Z", true),
        ("2026-01-10T05:59:59Z", true),
        ("2026-01-10T06:00:00Z", false),
        ("2026-01-10T22:00:00Z", false),
    ] {
        assert_eq!(nights.contains(at(moment)), within, "{moment}");
    }
}

#[test]
fn whole_days_follow_the_clocks_of_the_place() {
    let sundays = weekly(&[Day::Sunday], "00:00", "24:00", "+05:30");
    for (moment, within) in [
        ("2026-01-10T18:29:59Z", false),
        ("2026-01-10T18:30:00Z", true), // Sunday 00:00 there
        ("2026-01-11T18:29:59Z", true),
        ("2026-01-11T18:30:00Z", false),
    ] {
        assert_eq!(sundays.contains(at(moment)), within, "{moment}");
    }
    // The clocks are put forward in Europe on 2026-03-29: a fixed offset does not follow.
    let hours = weekly(&[], "08:00", "09:00", "+01:00");
    for day in ["2026-03-28", "2026-03-29", "2026-03-30"] {
        assert!(hours.contains(at(&format!("{day}T07:00:00Z"))) && !hours.contains(at(&format!("{day}T08:00:00Z"))));
    }
}

#[test]
fn the_next_beginning_is_found() {
    let hours = weekly(&[Day::Monday, Day::Wednesday], "22:00", "02:00", "-03:00");
    for (moment, next) in [
        ("2026-01-05T00:00:00Z", "2026-01-06T01:00:00Z"), // Monday 22:00 there
        ("2026-01-06T01:00:00Z", "2026-01-06T01:00:00Z"),
        ("2026-01-06T01:00:01Z", "2026-01-08T01:00:00Z"),
        ("2026-01-08T01:00:01Z", "2026-01-13T01:00:00Z"),
    ] {
        assert_eq!(hours.next_beginning(at(moment)), Some(at(next)), "{moment}");
    }
    let once_a_week = weekly(&[Day::Monday], "08:00", "09:00", "Z");
    assert_eq!(once_a_week.next_beginning(at("2026-01-05T08:00:01Z")), Some(at("2026-01-12T08:00:00Z")));
}

/// Minute by minute, against a plain reading of the same words.
#[test]
fn every_minute_of_three_weeks_is_judged_as_said() {
    let day_names = [Day::Monday, Day::Tuesday, Day::Wednesday, Day::Thursday, Day::Friday, Day::Saturday, Day::Sunday];
    let cases = [
        (vec![Day::Tuesday, Day::Sunday], "23:15", "00:45", "+02:00"),
        (vec![], "06:00", "05:00", "-11:30"),
        (vec![Day::Saturday], "00:00", "24:00", "+14:00"),
        (vec![Day::Wednesday], "12:00", "12:01", "Z"),
    ];
    for (days, from, until, offset) in cases {
        let hours = weekly(&days, from, until, offset);
        let minutes = |text: &str| text[..2].parse::<i64>().unwrap() * 60 + text[3..].parse::<i64>().unwrap();
        let (begin, end) = (minutes(from), minutes(until));
        let ahead = match offset {
            "Z" => 0,
            "+02:00" => 120,
            "-11:30" => -690,
            _ => 840,
        };
        for minute in 0..3 * 7 * 1_440 {
            let moment = at("2026-01-05T00:00:00Z") + TimeDelta::minutes(minute);
            let local = minute + ahead;
            let named = |day: i64| days.is_empty() || days.contains(&day_names[day.rem_euclid(7) as usize]);
            let (day, of_day) = (local.div_euclid(1_440), local.rem_euclid(1_440));
            let said = if begin < end {
                named(day) && begin <= of_day && of_day < end
            } else {
                (named(day) && of_day >= begin) || (named(day - 1) && of_day < end)
            };
            assert_eq!(hours.contains(moment), said, "{from} to {until} at {moment}");
        }
    }
}

fn blackout(reason: &str, when: When) -> Blackout {
    Blackout { reason: reason.to_owned(), when }
}

fn days(first: &str, last: &str, offset: &str) -> Days {
    Days {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
        from: TimeOfDay::MIDNIGHT,
        until: TimeOfDay::END,
        utc_offset: offset.parse().unwrap(),
    }
}

#[test]
fn a_blackout_ends_where_the_last_of_a_chain_ends() {
    let calendar = [
        blackout("holidays", When::Days(days("2026-12-24", "2026-12-26", "+01:00"))),
        blackout("weekend", When::Weekly(weekly(&[Day::Sunday], "00:00", "24:00", "+01:00"))),
        blackout(
            "migration",
            When::Days(Days { until: "18:00".parse().unwrap(), ..days("2027-01-05", "2027-01-05", "Z") }),
        ),
    ];
    let found = |moment: &str| in_force(&calendar, at(moment)).map(|(blackout, end)| (blackout.reason.clone(), end));
    assert_eq!(found("2026-12-23T22:59:59Z"), None);
    // 2026-12-27 is a Sunday.
    let end = at("2026-12-27T23:00:00Z");
    assert_eq!(found("2026-12-23T23:00:00Z"), Some(("holidays".to_owned(), end)));
    assert_eq!(found("2026-12-26T23:00:00Z"), Some(("weekend".to_owned(), end)));
    assert_eq!(found("2026-12-27T23:00:00Z"), None);
    assert_eq!(found("2027-01-05T17:59:59Z"), Some(("migration".to_owned(), at("2027-01-05T18:00:00Z"))));
    assert_eq!(found("2027-01-05T18:00:00Z"), None);
}

#[test]
fn a_blackout_without_an_end_is_followed_for_a_bounded_time() {
    let always = [blackout("for ever", When::Weekly(weekly(&[], "00:00", "24:00", "Z")))];
    let moment = at("2026-01-05T08:00:00Z");
    let (_, end) = in_force(&always, moment).unwrap();
    assert!(end > moment && end < moment + TimeDelta::days(70));
}

#[test]
fn times_and_offsets_are_read_and_written() {
    for text in ["00:00", "09:05", "24:00"] {
        assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
    }
    for text in ["Z", "+01:00", "-03:30", "+14:00", "-00:30"] {
        assert_eq!(text.parse::<UtcOffset>().unwrap().to_string(), text);
    }
    for text in ["24:01", "9:00", "12:60", "12", "", "+1:00", "1200", "１2:00"] {
        assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
    }
    for text in ["", "01:00", "+15:00", "+1:00", "+0100", "UTC", "ä"] {
        assert!(text.parse::<UtcOffset>().is_err(), "{text}");
    }
}

#[test]
fn what_can_not_be_is_refused() {
    assert!(weekly(&[], "10:00", "10:00", "Z").check().is_err());
    assert!(weekly(&[], "24:00", "10:00", "Z").check().is_err());
    assert!(weekly(&[], "22:00", "06:00", "Z").check().is_ok());
    assert!(blackout("x", When::Days(days("2026-12-26", "2026-12-24", "Z"))).check().is_err());
    assert!(blackout("x", When::Days(days("+12026-12-26", "+12026-12-27", "Z"))).check().is_err());
}
