//! A runbook, one finding and its deployment: a plan, or why there is none. Pure.

use super::value::text_value;
use super::{Given, Runbook, Step};
use crate::action::{self, Action, Arguments};
use crate::check::{Expression, Scope, cel_value, cut};
use crate::pack::Packs;
use crate::probe::Row;
use domain::deployment::Component;
use domain::diagnostic_run::CheckKey;
use domain::remediation::{Argument, Plan, PlannedStep, PostCheck};
use domain::{ActionName, CheckCode, ComponentName, Outcome, ResourceName, StepName};
use minijinja::Value as Text;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const TITLE_CHARS_MAX: usize = 200;

/// Why there is no plan, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What a plan is made for.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The check that raised the finding.
    pub check: &'a CheckCode,
    /// The component that it looked at.
    pub component: &'a ComponentName,
    /// What the finding is about.
    pub resource: &'a ResourceName,
    /// `Warning` or `Critical`.
    pub severity: Outcome,
    /// The evidence row of its last sighting, whole.
    pub row: Option<&'a Row>,
    /// All components of the deployment.
    pub components: &'a BTreeMap<ComponentName, Component>,
}

impl Runbook {
    /// Makes a plan, where the runbook applies.
    pub fn plan(&self, packs: &Packs, situation: &Situation<'_>) -> Result<Plan, Refused> {
        let own = self.component_of(packs, situation)?;
        let mut known = known(situation, own);
        self.must_apply(&known)?;
        let mut parameters = Map::new();
        let context = text_value(&known);
        for (name, template) in &self.parameters {
            let value = template.value(&context).map_err(|why| Refused(format!("parameter {name}: {why}")))?;
            parameters.insert(name.clone(), value);
        }
        known["parameters"] = Value::Object(parameters);
        let steps = self.planned_steps(situation, &known)?;
        let checks = self.post_checks(packs, situation, &steps)?;
        let within_ms = u32::try_from(self.within.as_millis()).unwrap_or(u32::MAX);
        Ok(Plan {
            runbook: self.name.clone(),
            version: self.version.clone(),
            title: self.title.clone(),
            steps,
            post_check: PostCheck { checks, within_ms },
        })
    }

    fn component_of<'a>(&self, packs: &Packs, situation: &Situation<'a>) -> Result<&'a Component, Refused> {
        if !self.checks.contains(situation.check) {
            return Err(Refused(format!("runbook {} does not remedy {}", self.name, situation.check)));
        }
        if !matches!(situation.severity, Outcome::Warning | Outcome::Critical) {
            return Err(Refused(format!("nothing is done about a finding that is {}", situation.severity)));
        }
        let name = situation.component;
        let own = situation.components.get(name);
        let own = own.ok_or_else(|| Refused(format!("the deployment has no component {name} any more")))?;
        let kind = self.component.or_else(|| packs.check(situation.check).map(|check| check.component));
        if kind.is_some_and(|kind| kind != own.kind) {
            return Err(Refused(format!("runbook {} is not for the kind of component that {name} is", self.name)));
        }
        Ok(own)
    }

    fn must_apply(&self, known: &Value) -> Result<(), Refused> {
        if holds(self.when.as_ref(), known)? {
            return Ok(());
        }
        let why = match &self.otherwise {
            None => format!("runbook {} does not apply to what was found", self.name),
            Some(text) => text.render(&text_value(known)).map_err(|why| Refused(format!("otherwise: {why}")))?,
        };
        Err(Refused(why))
    }

    fn planned_steps(&self, situation: &Situation<'_>, known: &Value) -> Result<Vec<PlannedStep>, Refused> {
        let context = text_value(known);
        let mut planned: Vec<PlannedStep> = Vec::new();
        // Steps that are left out, with what those after them come after instead.
        let mut left_out: BTreeMap<&StepName, BTreeSet<StepName>> = BTreeMap::new();
        for step in &self.steps {
            let in_step = |why: String| Refused(format!("step {}: {why}", step.name));
            let mut after = BTreeSet::new();
            for name in &step.after {
                match left_out.get(name) {
                    Some(instead) => after.extend(instead.iter().cloned()),
                    None => {
                        after.insert(name.clone());
                    }
                }
            }
            if holds(step.when.as_ref(), known).map_err(|Refused(why)| in_step(why))? {
                planned.push(step.planned(situation, after, &context).map_err(in_step)?);
            } else {
                left_out.insert(&step.name, after);
            }
        }
        let gone = planned.iter().find_map(|step| {
            step.arguments.values().find_map(|argument| match argument {
                Argument::OutputOf { step: of, .. } if left_out.contains_key(of) => Some((&step.name, of)),
                _ => None,
            })
        });
        match gone {
            Some((step, of)) => {
                Err(Refused(format!("step {step} needs what {of} gives, and that is not part of the plan")))
            }
            None if planned.is_empty() => Err(Refused(format!("no step of runbook {} applies", self.name))),
            None => Ok(planned),
        }
    }

    /// The check that raised the finding first; then the further ones on what the plan touches.
    fn post_checks(
        &self,
        packs: &Packs,
        situation: &Situation<'_>,
        steps: &[PlannedStep],
    ) -> Result<Vec<CheckKey>, Refused> {
        let key = |check: &CheckCode, component: &ComponentName| CheckKey {
            check: check.clone(),
            component: component.clone(),
        };
        let mut touched: Vec<&ComponentName> = vec![situation.component];
        for step in steps {
            if !touched.contains(&&step.component) {
                touched.push(&step.component);
            }
        }
        let mut keys = vec![key(situation.check, situation.component)];
        for code in &self.further_checks {
            let check = packs.check(code).ok_or_else(|| Refused(format!("there is no check {code} in the packs")))?;
            let of_kind = |name: &ComponentName| situation.components.get(name).map(|one| one.kind);
            let on: Vec<CheckKey> = touched
                .iter()
                .filter(|name| of_kind(name) == Some(check.component))
                .map(|name| key(code, name))
                .filter(|key| !keys.contains(key))
                .collect();
            keys.extend(on);
        }
        Ok(keys)
    }
}

impl Step {
    fn planned(
        &self,
        situation: &Situation<'_>,
        after: BTreeSet<StepName>,
        context: &Text,
    ) -> Result<PlannedStep, String> {
        let action = named(&self.action)?;
        let spec = action.spec();
        let component = match &self.component {
            None => situation.component.clone(),
            Some(template) => {
                ComponentName::new(template.render(context)?.trim()).map_err(|error| error.to_string())?
            }
        };
        let target = situation.components.get(&component);
        let target = target.ok_or_else(|| format!("the deployment has no component {component}"))?;
        if !spec.components.contains(&target.kind) {
            return Err(format!("{} can not be applied to the kind of component that {component} is", self.action));
        }
        let mut arguments = BTreeMap::new();
        for (name, given) in &self.with {
            let argument = match given {
                Given::OutputOf { step, output } => Argument::OutputOf { step: step.clone(), output: output.clone() },
                Given::Value(template) => {
                    Argument::Value(template.value(context).map_err(|why| format!("with.{name}: {why}"))?)
                }
            };
            arguments.insert(name.clone(), argument);
        }
        check_arguments(action, &arguments)?;
        let deadline = self.deadline.unwrap_or(spec.deadline);
        let title = self.title.render(context).map_err(|why| format!("title: {why}"))?;
        Ok(PlannedStep {
            name: self.name.clone(),
            title: cut(&title.replace(['\n', '\r'], " "), TITLE_CHARS_MAX),
            action: self.action.clone(),
            action_version: spec.version,
            component,
            after,
            arguments,
            undo: spec.undo.into(),
            always_approve: spec.always_approve,
            deadline_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
        })
    }
}

fn named(name: &ActionName) -> Result<&'static dyn Action, String> {
    action::list::named(name.as_str()).ok_or_else(|| format!("there is no action {name}"))
}

/// What is known already must be what the action takes; outputs of earlier steps are seen when they are there.
fn check_arguments(action: &dyn Action, arguments: &BTreeMap<String, Argument>) -> Result<(), String> {
    let mut known = Arguments::new();
    for (name, argument) in arguments {
        match argument {
            Argument::Value(value) => known.insert(name.clone(), value.clone()),
            Argument::OutputOf { .. } => return Ok(()),
        };
    }
    action.check(&known).map_err(|error| error.to_string())
}

fn holds(condition: Option<&Expression>, known: &Value) -> Result<bool, Refused> {
    let Some(condition) = condition else { return Ok(true) };
    let mut scope = Scope::new(1, 1);
    for (name, value) in known.as_object().into_iter().flatten() {
        scope.set(name, cel_value(value));
    }
    condition.is_true(&scope).map_err(|error| Refused(format!("whether it applies can not be told: {error}")))
}

/// The names that conditions and texts may use.
fn known(situation: &Situation<'_>, own: &Component) -> Value {
    let resource = situation.resource.as_str();
    let component = situation.component.as_str();
    let subject = resource.strip_prefix(component).and_then(|rest| rest.strip_prefix('/')).unwrap_or(resource);
    let components: Map<String, Value> = situation
        .components
        .iter()
        .map(|(name, one)| (name.to_string(), json!({"kind": one.kind, "settings": one.settings})))
        .collect();
    json!({
        "row": situation.row,
        "resource": resource,
        "subject": subject,
        "component": component,
        "settings": own.settings,
        "severity": situation.severity.as_str().to_lowercase(),
        "check": situation.check,
        "components": components,
    })
}
