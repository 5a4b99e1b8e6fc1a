//! The thresholds in force: a check's own, with a deployment's overrides.

use super::Range;
use crate::check::{Check, Threshold};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A deployment's own bounds for one threshold of one check; what is absent stays the check's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThresholdOverride<'a> {
    /// The threshold's name.
    pub threshold: &'a str,
    /// Its range for a warning.
    pub warning: Option<&'a str>,
    /// Its range for critical.
    pub critical: Option<&'a str>,
}

/// The thresholds in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective(BTreeMap<String, Threshold>);

impl Effective {
    /// The check's own.
    pub fn own(check: &Check) -> Self {
        Self(check.thresholds.clone())
    }

    /// The check's own with overrides. An override that is no range, or of no threshold, is an error: judging by the
    /// check's own bounds instead would not be what the operator asked for.
    pub fn overridden<'a>(
        check: &Check,
        overrides: impl IntoIterator<Item = ThresholdOverride<'a>>,
    ) -> Result<Self, String> {
        let mut all = check.thresholds.clone();
        for given in overrides {
            let name = given.threshold;
            let own = all.get_mut(name).ok_or_else(|| format!("the overridden threshold {name:?} does not exist"))?;
            let parse = |text: &str| {
                text.parse::<Range>()
                    .map_err(|error| format!("the override of threshold {name:?} does not do: {error}"))
            };
            if let Some(text) = given.warning {
                own.warning = Some(parse(text)?);
            }
            if let Some(text) = given.critical {
                own.critical = Some(parse(text)?);
            }
        }
        Ok(Self(all))
    }

    /// Each threshold by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Threshold)> {
        self.0.iter().map(|(name, threshold)| (name.as_str(), threshold))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Threshold> {
        self.0.get(name)
    }

    /// As `limit` for conditions and texts: `limit.NAME.critical` is the bound that counts.
    pub(super) fn to_json(&self) -> Value {
        let bound = |range: Option<Range>| range.map_or(Value::Null, |range| number(range.bound()));
        let text = |range: Option<Range>| range.map_or(Value::Null, |range| json!(range.to_string()));
        let all: Map<String, Value> = self
            .0
            .iter()
            .map(|(name, threshold)| {
                let limit = json!({
                    "warning": bound(threshold.warning),
                    "critical": bound(threshold.critical),
                    "warning_range": text(threshold.warning),
                    "critical_range": text(threshold.critical),
                    "unit": threshold.unit.clone().unwrap_or_default(),
                });
                (name.clone(), limit)
            })
            .collect();
        Value::Object(all)
    }
}

/// Whole bounds are whole numbers, so that texts show `80` and not `80.0`.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9.0e15 { json!(value as i64) } else { json!(value) }
}
