//! A measurement as it was judged: all that its judgement rested on but the time (which the result carries), so that it
//! can be judged anew, by the same check or by another one.
//!
//! Nothing in it changes from one measurement to the next but what was measured: equal measurements are stored once.

use super::EVIDENCE_BYTES_MAX;
use crate::check::{Check, Threshold};
use crate::judge::{Effective, ThresholdOverride as Given};
use crate::probe::{Measurement, Row};
use chrono::{DateTime, Utc};
use domain::deployment::{Component, DeploymentState, ThresholdOverride};
use domain::{CheckCode, ComponentName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The form of the record that is written now.
const FORM: u32 = 1;

/// The bounds of one column in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Outside of it is a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Outside of it is critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<String>,
    /// The unit, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A measurement and what its judgement rested on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgedMeasurement {
    /// The form of this record.
    pub form: u32,
    /// The check that judged.
    pub check: CheckCode,
    /// Its version: how the digest of its file begins.
    pub version: String,
    /// The SHA-256 of its file, which is evidence like this.
    pub definition: String,
    /// Its pack.
    pub pack: String,
    /// The pack's version.
    pub pack_version: String,
    /// The component that was looked at.
    pub component: ComponentName,
    /// The component's settings then.
    pub settings: BTreeMap<String, String>,
    /// The deployment's own thresholds for the check then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, ThresholdOverride>,
    /// The thresholds in force: the check's own, with these overrides.
    pub thresholds: BTreeMap<String, Bounds>,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What is true of the measurement as a whole.
    pub facts: Row,
    /// Whether there was more than the probe may give.
    pub truncated: bool,
}

/// Why a record can not be judged anew.
#[derive(Debug, thiserror::Error)]
pub enum NotJudgeable {
    /// It is none, or of another form.
    #[error("what is stored is not a judged measurement")]
    NoRecord(#[source] serde_json::Error),
    /// It was too large to be stored whole.
    #[error("the measurement was larger than what is stored whole")]
    Cut,
    /// It is of a form that this version does not know.
    #[error("the record has form {0}, which this version does not know")]
    Form(u32),
}

/// What a stored piece may be: a record, or the start of one that was too large.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Record(Box<JudgedMeasurement>),
    Cut {
        #[serde(rename = "whole_sha256")]
        _digest: serde::de::IgnoredAny,
    },
}

impl JudgedMeasurement {
    /// A measurement that is about to be judged.
    pub fn new(
        check: &Check,
        pack_version: &str,
        component: &Component,
        overrides: BTreeMap<String, ThresholdOverride>,
        limits: &Effective,
        measurement: &Measurement,
    ) -> Self {
        let bounds = |threshold: &Threshold| Bounds {
            warning: threshold.warning.as_ref().map(ToString::to_string),
            critical: threshold.critical.as_ref().map(ToString::to_string),
            unit: threshold.unit.clone(),
        };
        Self {
            form: FORM,
            check: check.code.clone(),
            version: check.version.clone(),
            definition: check.digest.clone(),
            pack: check.pack.clone(),
            pack_version: pack_version.to_owned(),
            component: component.name.clone(),
            settings: component.settings.clone(),
            overrides,
            thresholds: limits.iter().map(|(name, threshold)| (name.to_owned(), bounds(threshold))).collect(),
            rows: measurement.rows.clone(),
            facts: measurement.facts.clone(),
            truncated: measurement.truncated,
        }
    }

    /// Reads a stored record.
    pub fn read(bytes: &[u8]) -> Result<Self, NotJudgeable> {
        match serde_json::from_slice(bytes).map_err(NotJudgeable::NoRecord)? {
            Stored::Record(record) if record.form == FORM => Ok(*record),
            Stored::Record(record) => Err(NotJudgeable::Form(record.form)),
            Stored::Cut { .. } => Err(NotJudgeable::Cut),
        }
    }

    /// The record as it is stored, and the measurement as whoever reads it back has it. That one is judged: the last
    /// digit of a decimal number may change on its way through text, and no judgement may rest on a digit that nobody
    /// can read again. The measurement is as it was where it is too large to be stored whole.
    pub fn stored(self, measurement: Measurement) -> (Vec<u8>, Measurement) {
        // Maps of texts to JSON values: it always serialises.
        let bytes = serde_json::to_vec(&self).unwrap_or_default();
        if bytes.len() > EVIDENCE_BYTES_MAX {
            return (bytes, measurement);
        }
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(read) => (bytes, Measurement { rows: read.rows, facts: read.facts, ..measurement }),
            Err(_) => (bytes, measurement),
        }
    }

    /// The measurement, as a probe would have given it.
    pub fn measurement(&self, taken_at: DateTime<Utc>) -> Measurement {
        Measurement {
            rows: self.rows.clone(),
            facts: self.facts.clone(),
            truncated: self.truncated,
            taken_at,
            duration: Duration::ZERO,
        }
    }
}

/// The deployment's own thresholds for a check.
pub fn overrides_of(check: &CheckCode, deployment: &DeploymentState) -> BTreeMap<String, ThresholdOverride> {
    deployment.overrides.get(check).cloned().unwrap_or_default()
}

/// The thresholds in force of a check under overrides; the error says why that can not be.
pub fn in_force(check: &Check, overrides: &BTreeMap<String, ThresholdOverride>) -> Result<Effective, String> {
    Effective::overridden(
        check,
        overrides.iter().map(|(threshold, given)| Given {
            threshold,
            warning: given.warning.as_deref(),
            critical: given.critical.as_deref(),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> JudgedMeasurement {
        serde_json::from_value(json!({
            "form": 1, "check": "C-1", "version": "0123456789ab", "definition": "0123456789abcdef", "pack": "p",
            "pack_version": "1", "component": "store-1", "settings": {}, "thresholds": {},
            "rows": [{"used": 0.1}], "facts": {}, "truncated": false
        }))
        .unwrap()
    }

    #[test]
    fn a_record_comes_back_and_what_is_none_says_so() {
        let measurement = record().measurement(DateTime::UNIX_EPOCH);
        let (bytes, read) = record().stored(measurement.clone());
        assert_eq!((JudgedMeasurement::read(&bytes).unwrap(), read), (record(), measurement));
        let other = JudgedMeasurement { form: 2, ..record() };
        let read = |value: serde_json::Value| JudgedMeasurement::read(value.to_string().as_bytes()).unwrap_err();
        assert!(matches!(read(json!(other)), NotJudgeable::Form(2)));
        let cut = json!({"truncated": true, "whole_bytes": 9, "whole_sha256": "ab", "start": "{"});
        assert!(matches!(read(cut), NotJudgeable::Cut));
        let old = json!({"rows": [], "facts": {}, "taken_at": "2026-01-01T00:00:00Z"});
        assert!(matches!(read(old), NotJudgeable::NoRecord(_)));
    }

    #[test]
    fn what_is_judged_is_what_is_read_back() {
        // These change by one unit in the last place on the way through text with serde_json's own reading.
        for value in [0.1 + 0.2, 1.0 / 3.0, 5e-324, f64::MAX, 123_456.789_012_345_67] {
            let mut first = record();
            first.rows = vec![Row::from_iter([("used".to_owned(), json!(value))])];
            let measurement = first.measurement(DateTime::UNIX_EPOCH);
            let (bytes, judged) = first.stored(measurement);
            let again = JudgedMeasurement::read(&bytes).unwrap();
            assert_eq!(judged.rows, again.rows, "{value}");
        }
    }
}
