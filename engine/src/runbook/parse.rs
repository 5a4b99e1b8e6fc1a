//! Reads a runbook file; all that can be compiled is compiled here, and all problems are given at once.

use super::file::{CaseFile, OtherComponent, PostCheckFile, RunbookFile, SeverityName, StepFile};
use super::value::{NAMES, TextTemplate, ValueTemplate};
use super::{DEADLINE_MAX, Expected, ExpectedStep, Given, PREFERENCE, Runbook, RunbookCase, Step, WITHIN, WITHIN_MAX};
use crate::action::{self, ActionSpec};
use crate::check::{
    CheckError, Expression, MAX_FILE_BYTES, SourceFile, TemplateError, place_within, span_of_time, suggestion,
};
use crate::pack::Packs;
use domain::deployment::{Component, ComponentKind};
use domain::remediation::STEPS_MAX;
use domain::{ActionName, CheckCode, ComponentName, Outcome, ResourceName, RunbookName, StepName};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// Reads one runbook of a pack. `file` is its name as shown in errors.
pub fn parse_runbook(pack: &str, file: &str, text: &str) -> Result<Runbook, Vec<CheckError>> {
    let source = SourceFile { name: file.to_owned(), text: Arc::from(text) };
    if text.len() > MAX_FILE_BYTES {
        return Err(vec![source.error(None, None, format!("is larger than {} KiB", MAX_FILE_BYTES / 1024))]);
    }
    let read: RunbookFile = toml::from_str(text).map_err(|error| vec![source.toml_error("", &error)])?;
    let mut compiler = Compiler { source: &source, errors: Vec::new() };
    let compiled = compiler.runbook(pack, read);
    match compiled {
        Some(runbook) if compiler.errors.is_empty() => Ok(runbook),
        _ => Err(compiler.errors),
    }
}

/// What only all packs together can tell: whether the checks that it names exist.
pub(crate) fn pack_mistakes(runbook: &Runbook, packs: &Packs) -> Vec<CheckError> {
    let source = SourceFile { name: runbook.file.clone(), text: Arc::from("") };
    let unknown = |key: &str, code: &CheckCode| {
        let message = format!("there is no check {code}: {}", packs.suggest(code.as_str()));
        packs.check(code).is_none().then(|| source.error(Some(key), None, message))
    };
    let remedied = runbook.checks.iter().filter_map(|code| unknown("checks", code));
    let further = runbook.further_checks.iter().filter_map(|code| unknown("post_check.checks", code));
    remedied.chain(further).collect()
}

struct Compiler<'a> {
    source: &'a SourceFile,
    errors: Vec<CheckError>,
}

impl Compiler<'_> {
    fn runbook(&mut self, pack: &str, file: RunbookFile) -> Option<Runbook> {
        let name = self.spanned("name", &file.name, |text| RunbookName::new(text).map_err(|e| e.to_string()));
        self.title(&file.title);
        let checks = self.codes("checks", &file.checks);
        if file.checks.is_empty() || file.checks.len() > 16 {
            self.problem("checks", None, "needs 1 to 16 codes");
        }
        let outside = &NAMES[..NAMES.len() - 1];
        let when = self.condition("when", file.when.as_ref(), outside);
        let otherwise = file.otherwise.as_ref().and_then(|text| self.text("otherwise", text, outside));
        let mut parameters = BTreeMap::new();
        for (name, value) in &file.parameters {
            if let Some(template) = self.value(&format!("parameters.{name}"), value, outside) {
                parameters.insert(name.clone(), template);
            }
        }
        let steps = self.steps(&file.steps);
        let (further_checks, within) = self.post_check(&file.post_check);
        let cases = self.cases(file.cases, &checks);
        self.enough_cases(&cases, when.is_some());
        Some(Runbook {
            name: name?,
            title: file.title.into_inner(),
            pack: pack.to_owned(),
            version: hex::encode(&Sha256::digest(self.source.text.as_bytes())[..6]),
            file: self.source.name.clone(),
            checks,
            component: file.component,
            preference: file.preference.unwrap_or(PREFERENCE),
            when,
            otherwise,
            parameters,
            steps,
            further_checks,
            within,
            cases,
        })
    }

    fn problem(&mut self, key: &str, span: Option<Range<usize>>, message: impl Into<String>) {
        let error = self.source.error(Some(key), span, message);
        self.errors.push(error);
    }

    fn spanned<T>(
        &mut self,
        key: &str,
        text: &Spanned<String>,
        compile: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        compile(text.get_ref()).map_err(|message| self.problem(key, Some(text.span()), message)).ok()
    }

    fn title(&mut self, title: &Spanned<String>) {
        let chars = title.get_ref().chars().count();
        if chars == 0 || chars > 120 || title.get_ref().contains('\n') {
            self.problem("title", Some(title.span()), "is not one line of 1 to 120 characters");
        }
    }

    fn codes(&mut self, key: &str, codes: &[Spanned<String>]) -> Vec<CheckCode> {
        let read = |text: &str| CheckCode::new(text).map_err(|error| error.to_string());
        codes.iter().filter_map(|code| self.spanned(key, code, read)).collect()
    }

    fn condition(&mut self, key: &str, text: Option<&Spanned<String>>, names: &[&str]) -> Option<Expression> {
        let text = text?;
        let compiled = Expression::compile_over(text.get_ref(), names);
        let at = |place: usize| place_within(&self.source.text, text, place..place + 1);
        compiled.map_err(|(message, place)| self.problem(key, Some(at(place)), message)).ok()
    }

    fn text(&mut self, key: &str, text: &Spanned<String>, names: &[&str]) -> Option<TextTemplate> {
        match TextTemplate::compile(text.get_ref(), names) {
            Ok(template) => Some(template),
            Err(TemplateError { message, range }) => {
                let span = range.map_or_else(|| text.span(), |range| place_within(&self.source.text, text, range));
                self.problem(key, Some(span), message);
                None
            }
        }
    }

    fn value(&mut self, key: &str, value: &Spanned<Value>, names: &[&str]) -> Option<ValueTemplate> {
        ValueTemplate::compile(value.get_ref(), names)
            .map_err(|error| self.problem(key, Some(value.span()), error.message))
            .ok()
    }

    fn span_of_time(&mut self, key: &str, text: Option<&Spanned<String>>, most: Duration) -> Option<Duration> {
        self.spanned(key, text?, |text| match span_of_time(text)? {
            span if span.is_zero() || span > most => Err(format!("is not within 1ms and {} s", most.as_secs())),
            span => Ok(span),
        })
    }

    fn steps(&mut self, given: &[Spanned<StepFile>]) -> Vec<Step> {
        if given.is_empty() || given.len() > STEPS_MAX {
            self.problem("step", None, format!("needs 1 to {STEPS_MAX} steps"));
        }
        let mut steps: Vec<Step> = Vec::new();
        for step in given {
            if let Some(step) = self.step(step.get_ref(), &steps) {
                steps.push(step);
            }
        }
        steps
    }

    fn step(&mut self, file: &StepFile, earlier: &[Step]) -> Option<Step> {
        let name = self.spanned("step.name", &file.name, |text| StepName::new(text).map_err(|e| e.to_string()))?;
        if earlier.iter().any(|other| other.name == name) {
            self.problem("step.name", Some(file.name.span()), format!("there is another step {name}"));
        }
        let key = |part: &str| format!("step {name}: {part}");
        let title = self.text(&key("title"), &file.title, &NAMES);
        let action = self.action(&key("action"), &file.action);
        let component = file.component.as_ref().map(|text| self.text(&key("component"), text, &NAMES));
        let mut after = BTreeSet::new();
        for text in &file.after {
            after.extend(self.earlier(&key("after"), text.get_ref(), &text.span(), earlier));
        }
        let when = self.condition(&key("when"), file.when.as_ref(), &NAMES);
        let mut with = BTreeMap::new();
        for (parameter, value) in &file.with {
            let given = self.given(&key(&format!("with.{parameter}")), value, earlier);
            if let Some(Given::OutputOf { step, .. }) = &given {
                after.insert(step.clone());
            }
            with.extend(given.map(|given| (parameter.clone(), given)));
        }
        let deadline = self.span_of_time(&key("deadline"), file.deadline.as_ref(), DEADLINE_MAX);
        let (action, _) = action.inspect(|(name, _)| self.parameters(&key("with"), name, file))?;
        let component = match component {
            None => None,
            Some(compiled) => Some(compiled?),
        };
        Some(Step { name, title: title?, action, component, after, when, with, deadline })
    }

    fn action(&mut self, key: &str, text: &Spanned<String>) -> Option<(ActionName, &'static ActionSpec)> {
        let name = self.spanned(key, text, |text| ActionName::new(text).map_err(|error| error.to_string()))?;
        if let Some(action) = action::list::named(name.as_str()) {
            return Some((name, action.spec()));
        }
        let known: Vec<&str> = action::list::all().iter().map(|action| action.spec().name).collect();
        let message = format!("there is no action {name}: {}", suggestion(name.as_str(), &known));
        self.problem(key, Some(text.span()), message);
        None
    }

    /// The names of what an action is told are those of its parameters, and none that it needs is missing.
    fn parameters(&mut self, key: &str, name: &ActionName, file: &StepFile) {
        let Some(action) = action::list::named(name.as_str()) else { return };
        let schema = action.parameters();
        let known: Vec<&str> =
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        for (parameter, value) in &file.with {
            if !known.contains(&parameter.as_str()) {
                let hint = suggestion(parameter, &known);
                self.problem(key, Some(value.span()), format!("{name} has no parameter {parameter:?}: {hint}"));
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for missing in required.filter(|parameter| !file.with.contains_key(*parameter)) {
            self.problem(key, Some(file.action.span()), format!("{name} needs {missing:?}"));
        }
    }

    fn earlier(&mut self, key: &str, name: &str, span: &Range<usize>, earlier: &[Step]) -> Option<StepName> {
        let found = earlier.iter().find(|step| step.name.as_str() == name);
        if found.is_none() {
            let known: Vec<&str> = earlier.iter().map(|step| step.name.as_str()).collect();
            let hint = if known.is_empty() { "none stands before it".to_owned() } else { suggestion(name, &known) };
            self.problem(key, Some(span.clone()), format!("no step {name:?} stands before it: {hint}"));
        }
        found.map(|step| step.name.clone())
    }

    fn given(&mut self, key: &str, value: &Spanned<Value>, earlier: &[Step]) -> Option<Given> {
        let Some(output) = value.get_ref().get("output_of") else {
            return self.value(key, value, &NAMES).map(Given::Value);
        };
        let parts = output.as_str().and_then(|text| text.split_once('.'));
        let Some((step, output)) = parts else {
            self.problem(key, Some(value.span()), "output_of is not \"step.output\"");
            return None;
        };
        let step = self.earlier(key, step, &value.span(), earlier)?;
        let of = earlier.iter().find(|one| one.name == step)?;
        let spec = action::list::named(of.action.as_str())?.spec();
        if !spec.outputs.iter().any(|one| one.name == output) {
            let known: Vec<&str> = spec.outputs.iter().map(|one| one.name).collect();
            let message = format!("{} gives no {output:?}; it gives {}", spec.name, known.join(", "));
            self.problem(key, Some(value.span()), message);
        }
        Some(Given::OutputOf { step, output: output.to_owned() })
    }

    fn post_check(&mut self, file: &PostCheckFile) -> (Vec<CheckCode>, Duration) {
        let checks = self.codes("post_check.checks", &file.checks);
        if checks.len() > 16 {
            self.problem("post_check.checks", None, "are more than 16");
        }
        let within = self.span_of_time("post_check.within", file.within.as_ref(), WITHIN_MAX);
        (checks, within.unwrap_or(WITHIN))
    }

    fn cases(&mut self, given: Vec<Spanned<CaseFile>>, checks: &[CheckCode]) -> Vec<RunbookCase> {
        let mut cases = Vec::new();
        for case in given {
            let span = case.span();
            let line = self.source.line(span.start);
            let name = case.get_ref().name.clone();
            match compile_case(case.into_inner(), line, checks.first()) {
                Ok(case) => cases.push(case),
                Err(message) => self.problem(&format!("case {name:?}"), Some(span), message),
            }
        }
        cases
    }

    fn enough_cases(&mut self, cases: &[RunbookCase], conditional: bool) {
        if !self.errors.is_empty() {
            return;
        }
        let with_steps = |case: &RunbookCase| matches!(case.expected, Expected::Steps(_));
        if !cases.iter().any(with_steps) {
            self.problem("case", None, "none of the cases has steps");
        }
        if conditional && cases.iter().all(with_steps) {
            self.problem("case", None, "none of the cases is refused, and there is a `when`");
        }
    }
}

fn compile_case(case: CaseFile, line: usize, first: Option<&CheckCode>) -> Result<RunbookCase, String> {
    let check = match case.check {
        Some(code) => CheckCode::new(code).map_err(|error| error.to_string())?,
        None => first.cloned().ok_or("there is no check")?,
    };
    let expected = match (case.steps, case.refused) {
        (Some(steps), None) => Expected::Steps(
            steps
                .into_iter()
                .map(|step| ExpectedStep {
                    name: step.name,
                    action: step.action,
                    component: step.component,
                    after: step.after.map(|names| names.into_iter().collect()),
                    with: step.with,
                })
                .collect(),
        ),
        (None, Some(text)) => Expected::Refused(text),
        _ => return Err("needs either steps or refused".to_owned()),
    };
    let name = ComponentName::new(case.component).map_err(|error| error.to_string())?;
    // Its own kind is that of the check, which is known when the case runs.
    let kind = ComponentKind::Host;
    let mut components = BTreeMap::from([(name.clone(), component(&name, kind, case.settings))]);
    for (other, OtherComponent { kind, settings }) in case.components {
        let other = ComponentName::new(other).map_err(|error| error.to_string())?;
        components.insert(other.clone(), component(&other, kind, settings));
    }
    let resource = case.resource.unwrap_or_else(|| name.to_string());
    Ok(RunbookCase {
        name: case.name,
        line,
        check,
        resource: ResourceName::new(resource).map_err(|error| error.to_string())?,
        component: name,
        severity: match case.severity {
            SeverityName::Warning => Outcome::Warning,
            SeverityName::Critical => Outcome::Critical,
        },
        row: case.row,
        components,
        expected,
    })
}

fn component(name: &ComponentName, kind: ComponentKind, settings: BTreeMap<String, Value>) -> Component {
    let settings = settings.into_iter().map(|(key, value)| match value {
        Value::String(text) => (key, text),
        other => (key, other.to_string()),
    });
    Component {
        name: name.clone(),
        kind,
        settings: settings.collect(),
        secrets: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "mend"
title = "Mend it"
checks = ["X-1"]
when = "row.bad > 1"

[parameters]
value = "{{ row.value }}"

[[step]]
name = "say"
title = "Say {{ parameters.value }}"
action = "demo.noop"
with = { say = "{{ parameters.value }}" }

[[step]]
name = "write"
title = "Write it"
action = "demo.set-value"
after = ["say"]
with = { file = "a", value = { output_of = "say.said" } }
deadline = "5s"

[post_check]
within = "3s"

[[case]]
name = "bad"
row = { bad = 2, value = "x" }
steps = [{ name = "say" }, { name = "write" }]

[[case]]
name = "not so bad"
row = { bad = 1, value = "x" }
refused = "does not apply"
"#;

    #[test]
    fn reads_a_good_file() {
        let runbook = parse_runbook("p", "p/runbooks/mend.toml", GOOD).unwrap();
        assert_eq!(runbook.actions().map(ActionName::as_str).collect::<Vec<_>>(), ["demo.noop", "demo.set-value"]);
        assert_eq!((runbook.version.len(), runbook.preference), (12, 100));
    }

    #[test]
    fn every_mistake_is_named_with_file_line_and_key() {
        let table = [
            ("name = \"mend\"", "name = \"Mend it\"", "p/m.toml:2: name: runbook name"),
            ("row.bad > 1", "rwo.bad > 1", "p/m.toml:5: when: `rwo` is not known here"),
            ("row.bad > 1", "parameters.value == 'x'", "p/m.toml:5: when: `parameters` is not known here"),
            ("{{ row.value }}", "{{ row.value", "p/m.toml:8: parameters.value:"),
            ("Say {{ parameters.value }}", "Say {{ parametres.value }}", "p/m.toml:12: step say: title: `parametres`"),
            ("demo.noop", "demo.nop", "p/m.toml:13: step say: action: there is no action demo.nop"),
            ("{ say =", "{ sya =", "p/m.toml:14: step say: with: demo.noop has no parameter \"sya\""),
            ("after = [\"say\"]", "after = [\"sya\"]", "p/m.toml:20: step write: after: no step \"sya\" stands before"),
            ("file = \"a\", ", "", "p/m.toml:19: step write: with: demo.set-value needs \"file\""),
            ("say.said", "say.told", "p/m.toml:21: step write: with.value: demo.noop gives no \"told\""),
            ("\"5s\"", "\"5 s\"", "p/m.toml:22: step write: deadline:"),
            ("within = \"3s\"", "within = \"3d\"", "p/m.toml:25: post_check.within: is not within"),
            ("refused = \"does not apply\"", "steps = []", "none of the cases is refused"),
            ("title = \"Mend it\"", "titel = \"Mend it\"", "p/m.toml:3: unknown field `titel` (did you mean `title`?)"),
        ];
        for (from, to, expected) in table {
            assert!(GOOD.contains(from), "{from}");
            let found = parse_runbook("p", "p/m.toml", &GOOD.replace(from, to)).unwrap_err();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert!(found.iter().any(|error| error.contains(expected)), "{to}: {found:#?}");
        }
    }
}
