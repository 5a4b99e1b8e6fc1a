//! Ranges by the Nagios plugin contract: `10` (alert outside 0..10), `10:`, `~:10`, `10:20`, `@10:20` (alert inside).

use std::str::FromStr;

/// A range that says which values are fine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NagiosRange {
    /// The lower end; minus infinity for `~`.
    pub start: f64,
    /// The upper end; plus infinity where it is left out.
    pub end: f64,
    /// Alerts inside (`@`) instead of outside.
    pub inside: bool,
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a Nagios range: {reason}")]
pub struct InvalidRange {
    /// The text, cut to 80 characters.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl NagiosRange {
    /// The longest text accepted.
    pub const MAX_CHARS: usize = 64;

    /// Whether a value is to be alerted on. A value that is not a number always is.
    pub fn alerts(&self, value: f64) -> bool {
        if value.is_nan() {
            return true;
        }
        let within = value >= self.start && value <= self.end;
        within == self.inside
    }
}

impl FromStr for NagiosRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidRange { text: text.chars().take(80).collect(), reason };
        if text.len() > Self::MAX_CHARS {
            return Err(invalid("is longer than 64 characters"));
        }
        let (inside, ends) = match text.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if ends.is_empty() {
            return Err(invalid("is empty"));
        }
        let (start, end) = match ends.split_once(':') {
            None => (0.0, number(ends).ok_or_else(|| invalid("its end is not a number"))?),
            Some((start, end)) => {
                let start = match start {
                    "~" => f64::NEG_INFINITY,
                    other => number(other).ok_or_else(|| invalid("its start is neither a number nor ~"))?,
                };
                let end = match end {
                    "" => f64::INFINITY,
                    other => number(other).ok_or_else(|| invalid("its end is not a number"))?,
                };
                (start, end)
            }
        };
        if start > end {
            return Err(invalid("its start is above its end"));
        }
        Ok(Self { start, end, inside })
    }
}

/// A plain decimal number: what `f64` reads beside it (`inf`, `nan`) is no threshold.
fn number(text: &str) -> Option<f64> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
    if plain { text.parse().ok().filter(|value: &f64| value.is_finite()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_alert_as_the_contract_says() {
        let rows: [(&str, f64, bool); 16] = [
            ("10", 10.0, false),
            ("10", 10.1, true),
            ("10", -0.1, true),
            ("10:", 9.9, true),
            ("10:", 1e9, false),
            ("~:10", -1e9, false),
            ("~:10", 10.1, true),
            ("10:20", 9.0, true),
            ("10:20", 20.0, false),
            ("@10:20", 10.0, true),
            ("@10:20", 20.0, true),
            ("@10:20", 21.0, false),
            ("-5:-1", -3.0, false),
            ("0.5", 0.4, false),
            ("1e3", 999.0, false),
            ("10", f64::NAN, true),
        ];
        for (range, value, alerts) in rows {
            let parsed: NagiosRange = range.parse().unwrap();
            assert_eq!(parsed.alerts(value), alerts, "{range} of {value}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in
            ["", "@", ":", ":5", "a", "5:a", "~", "20:10", "1:2:3", "nan", "inf", "~:inf", "1e999", "0x10", " 5"]
        {
            assert!(text.parse::<NagiosRange>().is_err(), "{text:?}");
        }
    }
}
