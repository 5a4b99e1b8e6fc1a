//! Turns a check file into a [`Check`]: whatever can be compiled is compiled here, and all problems are given at once.

use super::diagnostic::{CheckError, SourceFile, place_within, suggestion};
use super::expression::Expression;
use super::file::{
    Case, CaseExpectation, CaseFile, CaseMeasurement, CheckFile, Empty, JudgeFile, OneOrMany, TextFile, ThresholdFile,
};
use super::parse::ProbeTable;
use super::template::Templates;
use super::{Check, JudgeRules, PROFILES, ProbePlan, ProbeSpec, Threshold, span_of_time};
use crate::judge::Range as NagiosRange;
use chrono::{DateTime, TimeZone, Utc};
use domain::finding::Hysteresis;
use domain::{CheckCode, Outcome};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// How long a measurement may take where the file does not say, and at most.
const TIMEOUT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(10));
const MAX_METRICS: usize = 16;
const MAX_PERSONAL: usize = 16;

pub(super) fn compile(
    pack: &str,
    source: &SourceFile,
    file: CheckFile,
    probe: ProbeTable,
) -> Result<Check, Vec<CheckError>> {
    let mut c = Compiler { source, errors: Vec::new() };
    let code = c.spanned("code", &file.code, |text| CheckCode::new(text).map_err(|error| error.to_string()));
    c.check_title(&file.title);
    let versions = file.versions.as_ref().and_then(|text| c.spanned("versions", text, str::parse));
    let profiles = c.profiles(file.profiles);
    let probe = c.probe(probe);
    let personal = c.personal(file.personal);
    let thresholds = c.thresholds(file.thresholds);
    let mut texts = Templates::default();
    let judge = c.judge(file.judge, &thresholds, &mut texts);
    c.texts(&file.text, &mut texts);
    let cases = c.cases(file.cases);
    let default = Hysteresis::default();
    let hysteresis = Hysteresis {
        open_after: file.hysteresis.open_after.unwrap_or(default.open_after).clamp(1, 20),
        resolve_after: file.hysteresis.resolve_after.unwrap_or(default.resolve_after).clamp(1, 20),
        flap_from: file.hysteresis.flap_from.unwrap_or(default.flap_from),
        flap_until: file.hysteresis.flap_until.unwrap_or(default.flap_until),
    };
    let digest = hex::encode(Sha256::digest(source.text.as_bytes()));
    match (code, probe) {
        (Some(code), Some(probe)) if c.errors.is_empty() => Ok(Check {
            code,
            title: file.title.into_inner(),
            pack: pack.to_owned(),
            version: digest[..12].to_owned(),
            digest,
            source: Arc::clone(&source.text),
            file: source.name.clone(),
            component: file.component,
            versions,
            failure_mode: file.failure_mode,
            profiles,
            reversible: file.reversible,
            probe,
            personal,
            thresholds,
            judge,
            texts,
            hysteresis,
            cases,
        }),
        _ => Err(c.errors),
    }
}

struct Compiler<'a> {
    source: &'a SourceFile,
    errors: Vec<CheckError>,
}

impl Compiler<'_> {
    fn problem(&mut self, key: &str, span: Option<Range<usize>>, message: impl Into<String>) {
        let error = self.source.error(Some(key), span, message);
        self.errors.push(error);
    }

    /// Compiles a text at its place.
    fn spanned<T>(
        &mut self,
        key: &str,
        text: &Spanned<String>,
        compile: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        compile(text.get_ref()).map_err(|message| self.problem(key, Some(text.span()), message)).ok()
    }

    fn check_title(&mut self, title: &Spanned<String>) {
        let chars = title.get_ref().chars().count();
        if chars == 0 || chars > 120 || title.get_ref().contains('\n') {
            self.problem("title", Some(title.span()), "is not one line of 1 to 120 characters");
        }
    }

    fn profiles(&mut self, given: Option<Vec<Spanned<String>>>) -> Vec<String> {
        let mut profiles = Vec::new();
        for profile in given.into_iter().flatten() {
            if PROFILES.contains(&profile.get_ref().as_str()) {
                profiles.push(profile.into_inner());
            } else {
                let hint = suggestion(profile.get_ref(), &PROFILES);
                let message = format!("there is no profile {:?}: {hint}", profile.get_ref());
                self.problem("profiles", Some(profile.span()), message);
            }
        }
        profiles
    }

    fn personal(&mut self, given: Vec<Spanned<String>>) -> Vec<String> {
        let mut personal: Vec<String> = Vec::new();
        for column in given {
            let wrong = match column.get_ref().as_str() {
                "" => Some("is empty"),
                name if personal.iter().any(|earlier| earlier == name) => Some("is named twice"),
                _ if personal.len() >= MAX_PERSONAL => Some("is one too many: at most 16"),
                _ => None,
            };
            match wrong {
                Some(message) => self.problem("personal", Some(column.span()), message),
                None => personal.push(column.into_inner()),
            }
        }
        personal
    }

    fn probe(&mut self, table: ProbeTable) -> Option<ProbePlan> {
        let timeout = match &table.timeout {
            None => Some(TIMEOUT.0),
            Some(text) => self.spanned("probe.timeout", text, |text| match span_of_time::parse(text)? {
                span if span.is_zero() || span > TIMEOUT.1 => Err("is not within 1ms and 10m".to_owned()),
                span => Ok(span),
            }),
        };
        let spec: Option<ProbeSpec> =
            table.keys.compile(&mut |key, span, message| self.problem(&format!("probe.{key}"), Some(span), message));
        Some(ProbePlan { on: table.on, timeout: timeout?, spec: spec? })
    }

    fn thresholds(&mut self, given: BTreeMap<String, ThresholdFile>) -> BTreeMap<String, Threshold> {
        let mut thresholds = BTreeMap::new();
        for (name, bounds) in given {
            let mut range = |level: &str, text: Option<Spanned<String>>| -> Option<NagiosRange> {
                let key = format!("thresholds.{name}.{level}");
                self.spanned(&key, &text?, |text| text.parse::<NagiosRange>().map_err(|error| error.to_string()))
            };
            let warning = range("warning", bounds.warning);
            let critical = range("critical", bounds.critical);
            thresholds.insert(name, Threshold { warning, critical, unit: bounds.unit });
        }
        thresholds
    }

    fn judge(
        &mut self,
        file: JudgeFile,
        thresholds: &BTreeMap<String, Threshold>,
        texts: &mut Templates,
    ) -> JudgeRules {
        self.template("judge.resource", "resource", &file.resource, texts);
        let value = file.value.map_or_else(Vec::new, OneOrMany::into_vec);
        for column in value.iter().filter(|column| !thresholds.contains_key(*column)) {
            self.problem("judge.value", None, format!("there is no [thresholds.{column}]"));
        }
        let metric = file.metric.map_or_else(Vec::new, OneOrMany::into_vec);
        if metric.len() > MAX_METRICS {
            self.problem("judge.metric", None, format!("names more than {MAX_METRICS} columns"));
        }
        let rules = JudgeRules {
            each: file.each,
            value,
            critical_when: self.condition("judge.critical_when", file.critical_when.as_ref()),
            warning_when: self.condition("judge.warning_when", file.warning_when.as_ref()),
            unknown_when: self.condition("judge.unknown_when", file.unknown_when.as_ref()),
            ignore_when: self.condition("judge.ignore_when", file.ignore_when.as_ref()),
            metric,
            empty: match file.empty {
                Empty::Ok => Outcome::Ok,
                Empty::Unknown => Outcome::Unknown,
            },
        };
        let can_alert = rules.critical_when.is_some() || rules.warning_when.is_some() || !rules.value.is_empty();
        if self.errors.is_empty() && !can_alert {
            self.problem("judge", None, "can not fail: give value, critical_when or warning_when");
        }
        rules
    }

    fn condition(&mut self, key: &str, text: Option<&Spanned<String>>) -> Option<Expression> {
        let text = text?;
        let compiled = Expression::compile(text.get_ref());
        compiled.map_err(|(message, place)| self.problem(key, Some(self.within(text, place..place + 1)), message)).ok()
    }

    fn template(&mut self, key: &str, name: &str, text: &Spanned<String>, texts: &mut Templates) {
        if text.get_ref().trim().is_empty() {
            self.problem(key, Some(text.span()), "is empty");
        } else if let Err(error) = texts.add(name, text.get_ref()) {
            let span = error.range.map_or_else(|| text.span(), |range| self.within(text, range));
            self.problem(key, Some(span), error.message);
        }
    }

    fn within(&self, text: &Spanned<String>, range: Range<usize>) -> Range<usize> {
        place_within(&self.source.text, text, range)
    }

    fn texts(&mut self, file: &TextFile, texts: &mut Templates) {
        for (name, text) in
            [("symptom", &file.symptom), ("cause", &file.cause), ("impact", &file.impact), ("advice", &file.advice)]
        {
            self.template(&format!("text.{name}"), name, text, texts);
        }
        if let Some(unknown) = &file.unknown {
            self.template("text.unknown", "unknown", unknown, texts);
        }
    }

    fn cases(&mut self, given: Vec<Spanned<CaseFile>>) -> Vec<Case> {
        let mut cases = Vec::new();
        for case in given {
            let span = case.span();
            match compile_case(case.into_inner(), self.source.line(span.start)) {
                Ok(case) => cases.push(case),
                Err((name, message)) => self.problem(&format!("case {name:?}"), Some(span), message),
            }
        }
        let outcomes: Vec<Outcome> = cases.iter().map(|case| case.expected.outcome).collect();
        if self.errors.is_empty() && !outcomes.contains(&Outcome::Ok) {
            self.problem("case", None, "none of the cases is ok");
        }
        if self.errors.is_empty() && !outcomes.iter().any(|o| matches!(o, Outcome::Warning | Outcome::Critical)) {
            self.problem("case", None, "none of the cases is a warning or critical: can the check fail?");
        }
        cases
    }
}

fn compile_case(case: CaseFile, line: usize) -> Result<Case, (String, String)> {
    let name = case.name;
    let fail = |message: &str| Err((name.clone(), message.to_owned()));
    let outcome = Outcome::from(case.outcome);
    let measured = match (case.rows, case.error) {
        (Some(rows), None) => Ok(CaseMeasurement { rows, facts: case.facts }),
        (None, Some(_)) if outcome != Outcome::Unknown => return fail("an error of the probe is always unknown"),
        (None, Some(error)) => Err(error),
        _ => return fail("needs either rows or error"),
    };
    let now = match case.now.as_deref().map(DateTime::parse_from_rfc3339) {
        None => Utc.with_ymd_and_hms(2026, 1, 1, 12, 0, 0).single().unwrap_or_default(),
        Some(Ok(now)) => now.with_timezone(&Utc),
        Some(Err(_)) => return fail("now is not a time such as 2026-01-01T12:00:00Z"),
    };
    let settings = case.settings.into_iter().map(|(key, value)| match value {
        Value::String(text) => (key, text),
        other => (key, other.to_string()),
    });
    Ok(Case {
        line,
        measured,
        component: case.component,
        settings: settings.collect(),
        now,
        expected: CaseExpectation { outcome, resources: case.resources },
        name,
    })
}
