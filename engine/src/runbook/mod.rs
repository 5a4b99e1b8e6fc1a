//! Runbooks as data: one TOML file a runbook, in `packs/<pack>/runbooks/`.
//!
//! A runbook composes actions into a plan: which checks it remedies, when it applies, what each action is told.
//! [`file`] is the file as written, [`parse`] reads and compiles it, [`plan`] makes a [`domain::remediation::Plan`]
//! of it for one finding: a pure function, tried by the runbook's own cases.
//!
//! Conditions are CEL, texts and values are minijinja, both over the same names: `row` (the evidence row of the
//! finding's last sighting), `resource` (what the finding is about), `subject` (the same without its leading
//! `<component>/`), `component` (its name), `settings` (its settings, texts), `severity` (`warning` or `critical`),
//! `check`, `components` (all of the deployment, by name, each with `kind` and `settings`) and, in steps,
//! `parameters`. A value whose whole text is one `{{ expression }}` keeps its type: a number stays a number. What is
//! not there is an error, and then there is no plan: a runbook never acts on a guess.

mod cases;
mod file;
mod parse;
mod plan;
mod schema;
mod value;

pub use cases::run_runbook_cases;
pub use parse::parse_runbook;
pub use plan::{Refused, Situation};
pub use schema::runbook_file_schema;

pub(crate) use parse::pack_mistakes;

use crate::check::Expression;
use crate::probe::Row;
use domain::deployment::{Component, ComponentKind};
use domain::{ActionName, CheckCode, ComponentName, Outcome, ResourceName, RunbookName, StepName};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use value::{TextTemplate, ValueTemplate};

/// How long the effect may take to show at the end, where a runbook does not say.
const WITHIN: Duration = Duration::from_secs(10);
/// The longest that it may say.
const WITHIN_MAX: Duration = Duration::from_mins(30);
/// The longest that one phase of a step may take.
const DEADLINE_MAX: Duration = Duration::from_hours(6);
/// Where a runbook stands among those of one check, where it does not say.
const PREFERENCE: u32 = 100;

/// A runbook, ready to plan.
#[derive(Debug)]
pub struct Runbook {
    /// Its name: the file's.
    pub name: RunbookName,
    /// In words.
    pub title: String,
    /// The pack that it belongs to.
    pub pack: String,
    /// The first 12 hex digits of the SHA-256 of its file.
    pub version: String,
    /// Its file, as shown in errors.
    pub file: String,
    /// The checks whose findings it remedies.
    pub checks: Vec<CheckCode>,
    /// The kind of component that it is for; that of the checks where it does not say.
    pub component: Option<ComponentKind>,
    /// Of several that apply, the lowest goes first.
    pub preference: u32,
    when: Option<Expression>,
    otherwise: Option<TextTemplate>,
    parameters: BTreeMap<String, ValueTemplate>,
    steps: Vec<Step>,
    further_checks: Vec<CheckCode>,
    within: Duration,
    /// Its own cases.
    pub cases: Vec<RunbookCase>,
}

impl Runbook {
    /// The actions that its steps name, in their order.
    pub fn actions(&self) -> impl Iterator<Item = &ActionName> {
        self.steps.iter().map(|step| &step.action)
    }
}

#[derive(Debug)]
struct Step {
    name: StepName,
    title: TextTemplate,
    action: ActionName,
    component: Option<TextTemplate>,
    after: BTreeSet<StepName>,
    when: Option<Expression>,
    with: BTreeMap<String, Given>,
    deadline: Option<Duration>,
}

/// What a step's action is told.
#[derive(Debug)]
enum Given {
    Value(ValueTemplate),
    OutputOf { step: StepName, output: String },
}

/// One case of a runbook: a sighting, and what must come of it.
#[derive(Debug)]
pub struct RunbookCase {
    /// What it shows.
    pub name: String,
    /// The line of the file that it starts at.
    pub line: usize,
    check: CheckCode,
    component: ComponentName,
    resource: ResourceName,
    severity: Outcome,
    row: Option<Row>,
    components: BTreeMap<ComponentName, Component>,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    Steps(Vec<ExpectedStep>),
    Refused(String),
}

#[derive(Debug)]
struct ExpectedStep {
    name: String,
    action: Option<String>,
    component: Option<String>,
    after: Option<BTreeSet<String>>,
    with: Option<BTreeMap<String, Value>>,
}
