//! A measured figure, with the bar that it is held to.

use crate::machine::Machine;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One entry of `performance.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// Which: the benchmark's name, a dot, and what of it.
    pub id: String,
    /// What was measured.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// Its unit; `x` is a ratio.
    pub unit: String,
    /// What it must be, such as `>= 2.5`; none where it stands for itself.
    pub bar: Option<String>,
    /// Whether it is.
    pub met: Option<bool>,
    /// When, and on what machine.
    pub measured_on: String,
    /// What was measured beside it in the same run: percentiles, the peers' figures.
    #[serde(default)]
    pub beside: String,
}

impl Figure {
    fn new(id: &str, what: &str, value: f64, unit: &str) -> Self {
        Self {
            id: id.to_owned(),
            what: what.to_owned(),
            value: rounded(value),
            unit: unit.to_owned(),
            bar: None,
            met: None,
            measured_on: String::new(),
            beside: String::new(),
        }
    }

    /// A figure without a bar.
    pub fn plain(id: &str, what: &str, value: f64, unit: &str) -> Self {
        Self::new(id, what, value, unit)
    }

    /// A figure that should be at least so much.
    pub fn at_least(id: &str, what: &str, (value, bar): (f64, f64), unit: &str) -> Self {
        Self { bar: Some(format!(">= {bar}")), met: Some(value >= bar), ..Self::new(id, what, value, unit) }
    }

    /// A figure that should be at most so much.
    pub fn at_most(id: &str, what: &str, (value, bar): (f64, f64), unit: &str) -> Self {
        Self { bar: Some(format!("<= {bar}")), met: Some(value <= bar), ..Self::new(id, what, value, unit) }
    }

    /// A figure that should be below so much.
    pub fn below(id: &str, what: &str, (value, bar): (f64, f64), unit: &str) -> Self {
        Self { bar: Some(format!("< {bar}")), met: Some(value < bar), ..Self::new(id, what, value, unit) }
    }

    /// What was measured beside it.
    #[must_use]
    pub fn beside(mut self, text: impl Into<String>) -> Self {
        self.beside = text.into();
        self
    }

    /// When and where, and what share of the machine others took just before or after.
    #[must_use]
    pub fn measured_on(mut self, machine: &Machine, others: f64) -> Self {
        self.measured_on = format!("{}, others took {:.0} % of it", machine.measured_on(), 100.0 * others);
        self
    }

    /// The benchmark that it belongs to.
    pub fn benchmark(&self) -> &str {
        self.id.split('.').next().unwrap_or_default()
    }

    /// The value with its unit.
    pub fn shown(&self) -> String {
        let value = self.value;
        let number = if value >= 1_000.0 { grouped(value) } else { value.to_string() };
        if self.unit.is_empty() { number } else { format!("{number} {}", self.unit) }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.met {
            Some(true) => "met   ",
            Some(false) => "MISSED",
            None => "      ",
        };
        let bar = self.bar.as_deref().unwrap_or("-");
        write!(f, "   {verdict} {:<28} {:>16}  (bar {bar})  {}", self.id, self.shown(), self.beside)
    }
}

/// Three digits that mean something, whatever the size.
fn rounded(value: f64) -> f64 {
    let scale = if value.abs() >= 100.0 {
        1.0
    } else if value.abs() >= 1.0 {
        100.0
    } else {
        1_000.0
    };
    (value * scale).round() / scale
}

/// With commas between thousands.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_judge_both_ways() {
        assert_eq!(Figure::at_least("a.b", "", (2.5, 2.5), "x").met, Some(true));
        assert_eq!(Figure::at_least("a.b", "", (2.49, 2.5), "x").met, Some(false));
        assert_eq!(Figure::at_most("a.b", "", (51.0, 50.0), "ms").met, Some(false));
        assert_eq!(Figure::below("a.b", "", (2.0, 2.0), "s").met, Some(false));
        assert_eq!(Figure::plain("a.b", "", 1.0, "").met, None);
        assert_eq!(Figure::plain("a.b", "", 1.0, "").benchmark(), "a");
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(Figure::plain("a", "", 12_345.6, "events/s").shown(), "12,346 events/s");
        assert_eq!(Figure::plain("a", "", 2.5134, "x").shown(), "2.51 x");
    }
}
