//! The runbook file as written. What is compiled later carries its place in the file ([`Spanned`]).

use crate::check::ComponentKindName;
use domain::deployment::ComponentKind;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use toml::Spanned;

/// One runbook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunbookFile {
    /// Its name: the file's without `.toml`.
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9-]{1,64}$"))]
    pub name: Spanned<String>,
    /// One line, in the imperative, without a measured value.
    #[schemars(with = "String", length(min = 1, max = 120))]
    pub title: Spanned<String>,
    /// The codes of the checks whose findings it remedies.
    #[schemars(with = "Vec<String>", length(min = 1, max = 16))]
    pub checks: Vec<Spanned<String>>,
    /// The kind of component that it is for; that of its checks where absent.
    #[serde(default)]
    #[schemars(with = "Option<ComponentKindName>")]
    pub component: Option<ComponentKind>,
    /// Of several that apply to a finding, the lowest goes first; 100 where absent.
    #[serde(default)]
    pub preference: Option<u32>,
    /// When it applies (CEL); always where absent.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub when: Option<Spanned<String>>,
    /// Why it does not apply where `when` is false, as a template.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub otherwise: Option<Spanned<String>>,
    /// Values by name, for the steps: `{{ parameters.name }}`. A text is a template; one `{{ expression }}` keeps its
    /// type.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub parameters: BTreeMap<String, Spanned<Value>>,
    /// The steps, each after those that it depends on.
    #[serde(rename = "step")]
    #[schemars(with = "Vec<StepFile>", length(min = 1, max = 64))]
    pub steps: Vec<Spanned<StepFile>>,
    /// What must be well at the end, beside the check that raised the finding.
    #[serde(default)]
    pub post_check: PostCheckFile,
    /// The runbook's own cases: at least one with steps, and one that is refused where there is a `when`.
    #[serde(rename = "case")]
    #[schemars(with = "Vec<CaseFile>", length(min = 1))]
    pub cases: Vec<Spanned<CaseFile>>,
}

/// One step: one action on one component.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StepFile {
    /// Its name, unique in the runbook.
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9-]{1,64}$"))]
    pub name: Spanned<String>,
    /// What it does, as a template, with the values that it is about.
    #[schemars(with = "String")]
    pub title: Spanned<String>,
    /// The action, such as `postgres.analyze`.
    #[schemars(with = "String")]
    pub action: Spanned<String>,
    /// The component that it acts on, as a template that gives a name; the finding's where absent.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub component: Option<Spanned<String>>,
    /// Earlier steps that must have succeeded. Steps without dependence run in parallel.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub after: Vec<Spanned<String>>,
    /// When it is part of the plan (CEL); always where absent. Those after it then come after what it came after.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub when: Option<Spanned<String>>,
    /// What the action is told, by the names of its parameters: a value, a template, or
    /// `{ output_of = "step.output" }`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub with: BTreeMap<String, Spanned<Value>>,
    /// How long one phase (capture, apply, verify, undo) may take, such as `30s`; the action's own where absent.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub deadline: Option<Spanned<String>>,
}

/// What must be well at the end.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostCheckFile {
    /// Further checks: each must be ok as a whole, on every component of its kind that the plan touches.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 16))]
    pub checks: Vec<Spanned<String>>,
    /// How long the effect may take to show: until then a problem is measured again. `10s` where absent.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub within: Option<Spanned<String>>,
}

/// One case: a finding and its surroundings, and what must come of it: `steps` or `refused`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseFile {
    /// What it shows.
    pub name: String,
    /// The check that raised the finding; the runbook's first where absent.
    #[serde(default)]
    pub check: Option<String>,
    /// The component that it looked at.
    #[serde(default = "default_component")]
    pub component: String,
    /// What the finding is about; the component's name where absent.
    #[serde(default)]
    pub resource: Option<String>,
    /// `warning` or `critical`.
    #[serde(default)]
    pub severity: SeverityName,
    /// The evidence row.
    #[serde(default)]
    pub row: Option<Map<String, Value>>,
    /// The component's settings.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// The other components of the deployment, by name.
    #[serde(default)]
    pub components: BTreeMap<String, OtherComponent>,
    /// The steps that must come of it, in order.
    #[serde(default)]
    pub steps: Option<Vec<ExpectedStepFile>>,
    /// Text that must stand in the reason why there is no plan.
    #[serde(default)]
    pub refused: Option<String>,
}

fn default_component() -> String {
    "component".to_owned()
}

/// How bad it is.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SeverityName {
    Warning,
    #[default]
    Critical,
}

/// Another component of the deployment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherComponent {
    #[schemars(with = "ComponentKindName")]
    pub kind: ComponentKind,
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
}

/// A step that must come of a case. What is left out is not compared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedStepFile {
    pub name: String,
    #[serde(default)]
    pub action: Option<String>,
    #[serde(default)]
    pub component: Option<String>,
    #[serde(default)]
    pub after: Option<Vec<String>>,
    /// All that the action is told.
    #[serde(default)]
    pub with: Option<BTreeMap<String, Value>>,
}
