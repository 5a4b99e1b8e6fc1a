//! The check file as written. Texts that are compiled later carry their place in the file ([`Spanned`]).

use super::Each;
use domain::Outcome;
use domain::deployment::ComponentKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use toml::Spanned;

/// One check. The `[probe]` table is read apart, by its `kind`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckFile {
    /// The check's code: the file's name without `.toml`.
    #[schemars(with = "String", regex(pattern = r"^[A-Z0-9-]{1,64}$"))]
    pub code: Spanned<String>,
    /// One line, without a measured value.
    #[schemars(with = "String", length(min = 1, max = 120))]
    pub title: Spanned<String>,
    /// The kind of component that it looks at.
    #[schemars(with = "ComponentKindName")]
    pub component: ComponentKind,
    /// The versions of the product that it is for, such as `>=9.4` or `>=10, <25`.
    #[schemars(with = "Option<String>")]
    #[serde(default)]
    pub versions: Option<Spanned<String>>,
    /// The number in the list of Content Manager's failure modes.
    #[serde(default)]
    #[schemars(range(min = 1, max = 45))]
    pub failure_mode: Option<u8>,
    /// The profiles that it is part of: `quick`, `full`. Every check is part of `full`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub profiles: Option<Vec<Spanned<String>>>,
    /// Whether the platform can undo the remedy.
    pub reversible: Reversible,
    /// The columns that tell who somebody is: logins, names, files that are named after people. Their values are sealed
    /// as soon as they are measured, where the platform has a master key: conditions can compare them with each other
    /// and with nothing else.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 16))]
    pub personal: Vec<Spanned<String>>,
    /// Bounds by column; a deployment may override them.
    #[serde(default)]
    pub thresholds: BTreeMap<String, ThresholdFile>,
    /// How to judge.
    pub judge: JudgeFile,
    /// What to say.
    pub text: TextFile,
    /// How soon findings open and resolve.
    #[serde(default)]
    pub hysteresis: HysteresisFile,
    /// The check's own cases: at least one that is ok and one that is not.
    #[serde(rename = "case")]
    #[schemars(with = "Vec<CaseFile>", length(min = 2))]
    pub cases: Vec<Spanned<CaseFile>>,
}

/// Whether the platform can undo the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reversible {
    /// By a recorded before-image.
    Yes,
    /// It can not be undone.
    No,
    /// The remedy reverses itself, such as a restart.
    #[serde(rename = "self")]
    Itself,
    /// There is no remedy: the check only reports.
    None,
}

/// The bounds of one column, as Nagios ranges: an alert if the value is outside (`80`, `5:`, `~:10`, `10:20`), or
/// inside with `@` (`@10:20`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ThresholdFile {
    #[schemars(with = "Option<String>")]
    pub warning: Option<Spanned<String>>,
    #[schemars(with = "Option<String>")]
    pub critical: Option<Spanned<String>>,
    /// The unit, for people.
    pub unit: Option<String>,
}

/// How to judge. Conditions are CEL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgeFile {
    /// One possible observation a row, or one of the measurement as a whole.
    pub each: Each,
    /// What the observation is about, as a template: stable, never the text of a message.
    #[schemars(with = "String")]
    pub resource: Spanned<String>,
    /// The column, or columns, compared with the thresholds of the same names.
    #[serde(default)]
    pub value: Option<OneOrMany>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub critical_when: Option<Spanned<String>>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub warning_when: Option<Spanned<String>>,
    /// The measurement itself says that it could not measure.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub unknown_when: Option<Spanned<String>>,
    /// The row is not considered at all.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub ignore_when: Option<Spanned<String>>,
    /// The column, or columns, also recorded as metrics.
    #[serde(default)]
    pub metric: Option<OneOrMany>,
    /// What no rows at all mean: `ok` unless it says `unknown`.
    #[serde(default)]
    pub empty: Empty,
}

/// What no rows at all mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// Nothing is wrong.
    #[default]
    Ok,
    /// It could not be measured.
    Unknown,
}

/// One name or a list of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

/// The texts, as templates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TextFile {
    /// What is seen, in one line with the measured value.
    #[schemars(with = "String")]
    pub symptom: Spanned<String>,
    /// Why, as far as is known.
    #[schemars(with = "String")]
    pub cause: Spanned<String>,
    /// What it means for users and records.
    #[schemars(with = "String")]
    pub impact: Spanned<String>,
    /// What to do.
    #[schemars(with = "String")]
    pub advice: Spanned<String>,
    /// Why it could not be measured, where `unknown_when` says so.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub unknown: Option<Spanned<String>>,
}

/// How soon findings open and resolve.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HysteresisFile {
    /// Problems in a row before a finding opens.
    #[schemars(range(min = 1, max = 20))]
    pub open_after: Option<u32>,
    /// Good measurements in a row before it resolves.
    #[schemars(range(min = 1, max = 20))]
    pub resolve_after: Option<u32>,
    /// Changes among the last 20 observations from which on it flaps.
    pub flap_from: Option<u32>,
    /// Changes at or below which it no longer flaps.
    pub flap_until: Option<u32>,
}

/// One case: a measurement, or an error of the probe, and what must come of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseFile {
    /// What it shows.
    pub name: String,
    /// The measured rows.
    #[serde(default)]
    pub rows: Option<Vec<Map<String, Value>>>,
    /// The measurement's facts.
    #[serde(default)]
    pub facts: Map<String, Value>,
    /// An error of the probe, in place of rows.
    #[serde(default)]
    pub error: Option<String>,
    /// What must come of it.
    pub outcome: OutcomeName,
    /// The resources that must be reported, worst first.
    #[serde(default)]
    pub resources: Option<Vec<String>>,
    /// The component's name.
    #[serde(default = "default_component")]
    pub component: String,
    /// The component's settings.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// The time of the judgement (RFC 3339); 2026-01-01T12:00:00Z where absent.
    #[serde(default)]
    pub now: Option<String>,
}

fn default_component() -> String {
    "component".to_owned()
}

/// One case of a check.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The line of the file that it starts at.
    pub line: usize,
    /// What was measured, or why it could not be.
    pub measured: Result<CaseMeasurement, String>,
    /// The component's name.
    pub component: String,
    /// The component's settings.
    pub settings: BTreeMap<String, String>,
    /// The time of the judgement.
    pub now: chrono::DateTime<chrono::Utc>,
    /// What must come of it.
    pub expected: CaseExpectation,
}

/// What a case says was measured.
#[derive(Debug, Clone)]
pub struct CaseMeasurement {
    /// The rows.
    pub rows: Vec<Map<String, Value>>,
    /// The facts.
    pub facts: Map<String, Value>,
}

/// What must come of a case.
#[derive(Debug, Clone)]
pub struct CaseExpectation {
    /// The outcome.
    pub outcome: Outcome,
    /// The resources reported, worst first, where the case names them.
    pub resources: Option<Vec<String>>,
}

/// An outcome, for the schema.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OutcomeName {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl From<OutcomeName> for Outcome {
    fn from(name: OutcomeName) -> Self {
        match name {
            OutcomeName::Ok => Self::Ok,
            OutcomeName::Warning => Self::Warning,
            OutcomeName::Critical => Self::Critical,
            OutcomeName::Unknown => Self::Unknown,
        }
    }
}

/// The kinds of component, for the schema only: the domain knows nothing of schemas.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "its variants are read by the schema's derive alone")]
pub(crate) enum ComponentKindName {
    DatasetDatabase,
    WorkgroupServer,
    DocumentStore,
    ContentIndex,
    WebTier,
    EventProcessor,
    Host,
    Cache,
}
