//! One row before the check's rules.

use super::{Effective, Subject};
use crate::check::{Check, Each, Expression, Scope, cel_map, cel_value};
use crate::probe::{Measurement, Row};
use cel::Value as Cel;
use domain::{Outcome, ResourceName};
use minijinja::Value as Text;
use minijinja::value::Serde;
use serde_json::Value;
use std::sync::Arc;

/// What the rules say of a row.
pub(super) enum Verdict {
    /// It is not considered.
    Ignored,
    /// It is within bounds.
    Good,
    /// It is not.
    Bad(Outcome),
    /// It can not be told; why.
    Unknown(String),
}

/// The check, its rules and the names in force, turned to one row after the other.
pub(super) struct Bench<'a> {
    pub(super) check: &'a Check,
    pub(super) subject: Subject<'a>,
    measurement: &'a Measurement,
    limits: &'a Effective,
    scope: Scope<'static>,
    base: TextBase,
    row: Option<&'a Row>,
}

/// What the texts share from row to row, converted once.
struct TextBase {
    rows: Text,
    facts: Text,
    settings: Text,
    limit: Text,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        check: &'a Check,
        subject: Subject<'a>,
        measurement: &'a Measurement,
        limits: &'a Effective,
    ) -> Self {
        let rows = &measurement.rows;
        let evaluations = if check.judge.each == Each::Row { rows.len() } else { 1 };
        let limit = limits.to_json();
        let mut scope = Scope::new(rows.len(), evaluations);
        let settings: Row = subject.settings.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        scope.set("rows", Cel::List(Arc::new(rows.iter().map(cel_map).collect())));
        scope.set("count", Cel::Int(rows.len() as i64));
        scope.set("facts", cel_map(&measurement.facts));
        scope.set("settings", cel_map(&settings));
        scope.set("component", subject.component.into());
        scope.set("now", Cel::Int(subject.now.timestamp()));
        scope.set("limit", cel_value(&limit));
        let base = TextBase {
            rows: Text::from(Serde(rows)),
            facts: Text::from(Serde(&measurement.facts)),
            settings: Text::from(Serde(&settings)),
            limit: Text::from(Serde(&limit)),
        };
        Self { check, subject, measurement, limits, scope, base, row: None }
    }

    /// Turns to a row; none means the measurement as a whole.
    pub(super) fn turn_to(&mut self, row: Option<&'a Row>) {
        self.row = row;
        self.scope.set("row", row.map_or(Cel::Null, cel_map));
    }

    /// What the rules say of the row turned to.
    pub(super) fn verdict(&self) -> Verdict {
        let rules = &self.check.judge;
        match self.holds(rules.ignore_when.as_ref()) {
            Ok(true) => return Verdict::Ignored,
            Ok(false) => {}
            Err(cause) => return Verdict::Unknown(cause),
        }
        match self.holds(rules.unknown_when.as_ref()) {
            Ok(true) => return Verdict::Unknown(self.unknown_text()),
            Ok(false) => {}
            Err(cause) => return Verdict::Unknown(cause),
        }
        let mut worst = Outcome::Ok;
        let mut trouble: Option<String> = None;
        let mut note = |said: Result<Outcome, String>| match said {
            Ok(outcome) => worst = worst.worse(outcome),
            Err(cause) => {
                trouble.get_or_insert(cause);
            }
        };
        let when = |holds: Result<bool, String>, outcome| holds.map(|yes| if yes { outcome } else { Outcome::Ok });
        note(when(self.holds(rules.critical_when.as_ref()), Outcome::Critical));
        note(when(self.holds(rules.warning_when.as_ref()), Outcome::Warning));
        for column in &rules.value {
            note(self.compare(column));
        }
        match (worst, trouble) {
            // Critical is as bad as it gets: what could not be told can not change it.
            (Outcome::Critical, _) => Verdict::Bad(Outcome::Critical),
            (_, Some(cause)) => Verdict::Unknown(cause),
            (Outcome::Ok, None) => Verdict::Good,
            (outcome, None) => Verdict::Bad(outcome),
        }
    }

    fn holds(&self, condition: Option<&Expression>) -> Result<bool, String> {
        condition.map_or(Ok(false), |condition| condition.is_true(&self.scope).map_err(|error| error.to_string()))
    }

    fn compare(&self, column: &str) -> Result<Outcome, String> {
        let value = self.number(column)?;
        let threshold = self.limits.get(column).ok_or_else(|| format!("there is no threshold {column:?}"))?;
        Ok(if threshold.critical.is_some_and(|range| range.alerts(value)) {
            Outcome::Critical
        } else if threshold.warning.is_some_and(|range| range.alerts(value)) {
            Outcome::Warning
        } else {
            Outcome::Ok
        })
    }

    /// The number in a column of the row turned to; of the measurement as a whole also a fact, or `count`.
    pub(super) fn number(&self, column: &str) -> Result<f64, String> {
        let of_row = self.row.and_then(|row| row.get(column));
        let of_whole = || match self.check.judge.each {
            Each::Row => None,
            Each::All => self.measurement.facts.get(column),
        };
        match of_row.or_else(of_whole) {
            Some(Value::Number(number)) => number.as_f64().ok_or_else(|| format!("{column:?} is too large a number")),
            Some(Value::Null) => Err(format!("column {column:?} is null: it was not measured")),
            Some(_) => Err(format!("column {column:?} is not a number")),
            None if column == "count" && self.check.judge.each == Each::All => Ok(self.measurement.rows.len() as f64),
            None => Err(format!("the measurement has no column {column:?}")),
        }
    }

    /// What the row turned to is about.
    pub(super) fn resource(&self) -> Result<ResourceName, String> {
        let context = self.text_context(self.row, Outcome::Ok);
        let text = self.check.texts.render("resource", &context, ResourceName::MAX_CHARS);
        let text = text.map_err(|error| format!("the resource can not be named: {error}"))?;
        ResourceName::new(text).map_err(|error| format!("the resource can not be named: {error}"))
    }

    fn unknown_text(&self) -> String {
        let context = self.text_context(self.row, Outcome::Unknown);
        let given = self.check.texts.has("unknown").then(|| self.check.texts.render("unknown", &context, 2_000));
        match given {
            Some(Ok(text)) => text,
            _ => "the measurement says of itself that it could not measure".to_owned(),
        }
    }

    /// The names that texts may use.
    pub(super) fn text_context(&self, row: Option<&Row>, outcome: Outcome) -> Text {
        minijinja::context! {
            row => Text::from(Serde(row)),
            rows => self.base.rows.clone(),
            count => self.measurement.rows.len(),
            facts => self.base.facts.clone(),
            settings => self.base.settings.clone(),
            limit => self.base.limit.clone(),
            component => self.subject.component,
            now => self.subject.now.to_rfc3339(),
            outcome => outcome.as_str(),
        }
    }
}
