//! Ranges by the Nagios plugin guidelines: an alert if the value is outside, or inside where the range starts with `@`.

use schemars::JsonSchema;
use std::fmt;
use std::str::FromStr;

/// A range of values that are fine (or, with `@`, that are not).
#[derive(Debug, Clone, Copy, PartialEq, JsonSchema)]
pub struct Range {
    /// From here on, inclusive; negative infinity for `~`.
    pub start: f64,
    /// Up to here, inclusive; infinity where absent.
    pub end: f64,
    /// Alert inside instead of outside.
    pub inside: bool,
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a range such as 80, 5:, ~:10, 10:20 or @10:20: {reason}")]
pub struct RangeError {
    text: String,
    reason: &'static str,
}

impl Range {
    /// Whether the value alerts. Not-a-number alerts always: it is no value within any range.
    pub fn alerts(&self, value: f64) -> bool {
        let within = self.start <= value && value <= self.end;
        value.is_nan() || within == self.inside
    }

    /// The bound that counts: the upper one, or the lower one where there is no upper one.
    pub fn bound(&self) -> f64 {
        if self.end.is_finite() { self.end } else { self.start }
    }
}

impl FromStr for Range {
    type Err = RangeError;
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let fail = |reason| RangeError { text: text.chars().take(40).collect(), reason };
        let number = |part: &str| -> Result<f64, RangeError> {
            // "inf", "nan" and "1e5" parse as f64, and are no Nagios numbers.
            let plain = part.bytes().all(|b| b.is_ascii_digit() || b"+-.".contains(&b));
            part.parse::<f64>().ok().filter(|n| plain && n.is_finite()).ok_or_else(|| fail("not a number"))
        };
        let (inside, body) = match text.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (start, end) = match body.split_once(':') {
            None => (0.0, number(body)?),
            Some((low, high)) => (
                match low {
                    "~" => f64::NEG_INFINITY,
                    "" => 0.0,
                    low => number(low)?,
                },
                if high.is_empty() { f64::INFINITY } else { number(high)? },
            ),
        };
        if start > end {
            return Err(fail("it starts above its end"));
        }
        Ok(Self { start, end, inside })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inside {
            f.write_str("@")?;
        }
        if self.start == f64::NEG_INFINITY {
            f.write_str("~:")?;
        } else if self.start != 0.0 || self.end.is_infinite() {
            write!(f, "{}:", self.start)?;
        }
        if self.end.is_finite() { write!(f, "{}", self.end) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn alerts_as_the_guidelines_say() {
        // The table of the guidelines, and its edges.
        let table: &[(&str, &[f64], &[f64])] = &[
            ("10", &[-0.1, 10.1], &[0.0, 10.0]),
            ("10:", &[9.9, f64::NEG_INFINITY], &[10.0, f64::INFINITY]),
            ("~:10", &[10.1], &[f64::NEG_INFINITY, -5.0, 10.0]),
            ("10:20", &[9.0, 21.0], &[10.0, 20.0]),
            ("@10:20", &[10.0, 15.0, 20.0], &[9.9, 20.1]),
            ("@0", &[0.0], &[1.0, -1.0]),
            (":5", &[-1.0, 6.0], &[0.0, 5.0]),
            ("-10:-5", &[-11.0, 0.0], &[-10.0, -5.0]),
            ("0.5:1.5", &[0.4], &[1.0]),
        ];
        for (text, alerts, fine) in table {
            let range: Range = text.parse().unwrap();
            alerts.iter().for_each(|value| assert!(range.alerts(*value), "{text} {value}"));
            fine.iter().for_each(|value| assert!(!range.alerts(*value), "{text} {value}"));
            assert!(range.alerts(f64::NAN), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_range() {
        for text in ["", "@", ":", "x", "20:10", "10..20", "inf", "nan", "1e5", "10:20:30", "~", "10:~", " 10"] {
            let parsed = text.parse::<Range>();
            // ":" is 0 to infinity by the guidelines' defaults; everything else is a mistake.
            assert_eq!(parsed.is_ok(), text == ":", "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn print_and_parse_round_trip(a in -1.0e9_f64..1.0e9, b in -1.0e9_f64..1.0e9, shape in 0..4_u8, inside: bool) {
            let (low, high) = (a.min(b), a.max(b));
            let (start, end) = match shape {
                0 => (low, high),
                1 => (low, f64::INFINITY),
                2 => (f64::NEG_INFINITY, high),
                _ => (0.0, high.abs()),
            };
            let range = Range { start, end, inside };
            prop_assert_eq!(range.to_string().parse::<Range>().unwrap(), range);
        }

        #[test]
        fn an_inverted_range_alerts_exactly_where_the_plain_one_does_not(
            low in -100.0_f64..100.0, width in 0.0_f64..50.0, value in -200.0_f64..200.0,
        ) {
            let plain = Range { start: low, end: low + width, inside: false };
            let inverted = Range { inside: true, ..plain };
            prop_assert_ne!(plain.alerts(value), inverted.alerts(value));
        }
    }
}
