//! Shares and spans of time, as people write them and without rounding that differs from machine to machine.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A share between 0 and 1, kept in millionths: what is stored is what is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(u32);

impl Share {
    /// How many millionths are a whole.
    pub const WHOLE: u32 = 1_000_000;

    /// So many millionths; more than a whole is a whole.
    pub const fn millionths(millionths: u32) -> Self {
        Self(if millionths > Self::WHOLE { Self::WHOLE } else { millionths })
    }

    /// As millionths.
    pub const fn as_millionths(self) -> u32 {
        self.0
    }

    /// As a number from 0 to 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl TryFrom<f64> for Share {
    type Error = &'static str;
    fn try_from(share: f64) -> Result<Self, Self::Error> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self((share * f64::from(Self::WHOLE)).round() as u32))
        } else {
            Err("a share is between 0 and 1")
        }
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.as_f64()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded down: nothing is shown to have reached what it has not.
        write!(f, "{}.{} %", self.0 / 10_000, self.0 / 1_000 % 10)
    }
}

/// A span of time in whole seconds, written `90s`, `15m`, `8h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u32);

impl Span {
    /// The longest span: 366 days.
    pub const MAX: Self = Self(366 * 86_400);

    /// So many seconds; more than [`Span::MAX`] is that.
    pub const fn seconds(seconds: u32) -> Self {
        Self(if seconds > Self::MAX.0 { Self::MAX.0 } else { seconds })
    }

    /// In seconds.
    pub const fn as_seconds(self) -> u32 {
        self.0
    }

    /// As a difference of times.
    pub fn delta(self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.0))
    }
}

impl FromStr for Span {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a span of time is a number and s, m, h or d, such as 15m; at most 366d";
        let Some(unit) = text.chars().last() else { return Err(FORM) };
        let seconds: u32 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(FORM),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FORM);
        }
        let number: u32 = digits.parse().map_err(|_| FORM)?;
        let all = number.checked_mul(seconds).ok_or(FORM)?;
        if all > Self::MAX.0 { Err(FORM) } else { Ok(Self(all)) }
    }
}

impl TryFrom<String> for Span {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (seconds, unit) in [(86_400, 'd'), (3_600, 'h'), (60, 'm')] {
            if self.0 > 0 && self.0.is_multiple_of(seconds) {
                return write!(f, "{}{unit}", self.0 / seconds);
            }
        }
        write!(f, "{}s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, seconds, written) in [
            ("90s", 90, "90s"),
            ("15m", 900, "15m"),
            ("60m", 3_600, "1h"),
            ("8h", 28_800, "8h"),
            ("366d", 31_622_400, "366d"),
            ("0s", 0, "0s"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.as_seconds(), span.to_string().as_str()), (seconds, written));
        }
        for text in ["", "5", "s", "-1s", "+1s", "1.5h", "367d", "99999999999d", "5w", "5ä", "1 h"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_share_survives_its_stored_form() {
        for millionths in (0..=Share::WHOLE).step_by(7) {
            let share = Share::millionths(millionths);
            let stored = serde_json::to_string(&share).unwrap();
            assert_eq!(serde_json::from_str::<Share>(&stored).unwrap(), share);
        }
        for stored in ["-0.1", "1.1", "null"] {
            assert!(serde_json::from_str::<Share>(stored).is_err(), "{stored}");
        }
        assert_eq!(Share::millionths(899_999).to_string(), "89.9 %");
    }
}
