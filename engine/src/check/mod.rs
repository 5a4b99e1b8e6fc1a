//! Checks as data: one TOML file a check.
//!
//! [`file`] is the file as written, [`parse`] reads it, [`compile`] turns it into a [`Check`] in which every
//! expression, template, range, regular expression and statement has been compiled; whatever is wrong is a
//! [`CheckError`] that points into the file. What a file can not get wrong any more is judged by its own cases
//! (`pack::cases`).
//!
//! Conditions are CEL over `row`, `rows`, `count`, `facts`, `settings`, `component`, `now` (seconds) and `limit`. CEL
//! does not mix whole and decimal numbers in arithmetic: write `double(row.a) / double(row.b)`; comparisons may mix
//! them. Settings are texts: `int(settings.port)`. A column that is missing, or null where a number is needed, makes
//! the row `Unknown`, never `Ok`; `has(row.x)` and `row.x != null` ask first.
//!
//! Texts are minijinja templates over the same names, with two filters beside the usual ones: `bytes` (`1.5 GiB`) and
//! `duration` (seconds as `2 h 5 min`).

mod compile;
mod diagnostic;
mod expression;
mod file;
mod log_keys;
mod parse;
mod probe_keys;
mod product_version;
mod schema;
mod span_of_time;
mod sql_text;
mod template;

pub use diagnostic::CheckError;
pub use expression::{Expression, ExpressionError};
pub use file::{Case, CaseExpectation, CaseMeasurement, Empty, Reversible};
pub use log_keys::{LogGrammar, LogSpec};
pub use parse::parse_check;
pub use probe_keys::{
    AuditSpec, CommandSpec, HttpCompare, HttpMethod, HttpSpec, ProbeSpec, SqlSpec, StoreMode, StoreSpec,
};
pub use product_version::{ProductVersion, VersionRequirement};
pub use schema::check_file_schema;
pub use sql_text::SqlText;
pub use template::{TemplateError, Templates};

pub(crate) use diagnostic::{SourceFile, place_within, suggestion};
pub(crate) use expression::{Scope, cel_map, cel_value};
pub(crate) use file::ComponentKindName;
pub(crate) use span_of_time::parse as span_of_time;
pub(crate) use template::{cut, template_environment};

use crate::judge::Range;
use domain::deployment::ComponentKind;
use domain::finding::Hysteresis;
use domain::{CheckCode, Outcome};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The largest check file accepted, in bytes.
pub const MAX_FILE_BYTES: usize = 64 * 1024;

/// A check, ready to run and to judge.
#[derive(Debug)]
pub struct Check {
    /// Its code, such as `CM-STORE-NEAR-CAPACITY`.
    pub code: CheckCode,
    /// Its title.
    pub title: String,
    /// The pack that it belongs to.
    pub pack: String,
    /// The first 12 hex digits of the SHA-256 of its file.
    pub version: String,
    /// The SHA-256 of its file, in hex.
    pub digest: String,
    /// The text of its file.
    pub source: Arc<str>,
    /// Its file, as shown in errors.
    pub file: String,
    /// The kind of component that it looks at.
    pub component: ComponentKind,
    /// The versions of the product that it is for; all where none are given.
    pub versions: Option<VersionRequirement>,
    /// The number in the domain's list of failure modes.
    pub failure_mode: Option<u8>,
    /// The profiles that it is part of, beside `full`.
    pub profiles: Vec<String>,
    /// Whether the remedy can be undone.
    pub reversible: Reversible,
    /// How to measure.
    pub probe: ProbePlan,
    /// The columns whose values are personal.
    pub personal: Vec<String>,
    /// Its own thresholds, by the column that they bound.
    pub thresholds: BTreeMap<String, Threshold>,
    /// How to judge.
    pub judge: JudgeRules,
    /// What to say.
    pub texts: Templates,
    /// How soon findings open and resolve.
    pub hysteresis: Hysteresis,
    /// Its own cases.
    pub cases: Vec<Case>,
}

/// How a check measures.
#[derive(Debug)]
pub struct ProbePlan {
    /// The settings key that names the component whose connection is used; the check's own component where absent.
    pub on: Option<String>,
    /// How long the measurement may take.
    pub timeout: Duration,
    /// The probe and its keys.
    pub spec: ProbeSpec,
}

/// The bounds of one column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Threshold {
    /// Outside of it is a warning.
    pub warning: Option<Range>,
    /// Outside of it is critical.
    pub critical: Option<Range>,
    /// The unit, for people.
    pub unit: Option<String>,
}

/// How a check judges, compiled.
#[derive(Debug)]
pub struct JudgeRules {
    /// Whether each row is judged, or the measurement as a whole.
    pub each: Each,
    /// The columns compared with the thresholds of the same names.
    pub value: Vec<String>,
    /// When it is critical.
    pub critical_when: Option<Expression>,
    /// When it is a warning.
    pub warning_when: Option<Expression>,
    /// When the measurement itself says that it could not measure.
    pub unknown_when: Option<Expression>,
    /// Which rows are not considered at all.
    pub ignore_when: Option<Expression>,
    /// The columns recorded as metrics.
    pub metric: Vec<String>,
    /// What no rows at all mean.
    pub empty: Outcome,
}

/// What an observation is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    /// One possible observation a row.
    Row,
    /// One possible observation of the measurement as a whole.
    All,
}

impl Check {
    /// Whether the check belongs to a profile. `full` is every check.
    pub fn in_profile(&self, profile: &str) -> bool {
        profile == FULL_PROFILE || self.profiles.iter().any(|own| own == profile)
    }
}

/// The profile of every check.
pub const FULL_PROFILE: &str = "full";
/// The profiles that a check may name.
pub const PROFILES: [&str; 2] = ["quick", FULL_PROFILE];
