//! A run as SARIF 2.1.0.
//!
//! Each problem is a result of kind `fail`; a check that could not be measured, or was planned and has no result, is a
//! result of kind `open` and a notification of the invocation. A result's fingerprint is the finding's id. Positions in
//! files there are none: the location is logical, the resource within its component and deployment.

use super::baseline::{Baseline, State, fingerprint};
use super::{Results, Rule, RunFacts, RunReport};
use crate::error::ExportError;
use crate::output::Output;
use crate::{TOOL, TOOL_VERSION};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::diagnostic_run::Observation;
use domain::{Outcome, RunId};
use query_side::CheckResultView;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The name of the fingerprint, with its version.
const FINGERPRINT: &str = "cmdiagFindingId/v1";

/// SARIF's schema knows GUIDs up to version 5, and runs have version 7: theirs is derived.
fn guid(run: RunId) -> Uuid {
    Uuid::new_v5(&run.0, b"sarif")
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Writes the elements of an array, with commas between them.
struct Elements<'o> {
    gathered: Vec<u8>,
    any: bool,
    output: &'o mut Output,
}

impl Elements<'_> {
    fn add(&mut self, element: &impl Serialize) -> Result<(), ExportError> {
        if std::mem::replace(&mut self.any, true) {
            self.gathered.push(b',');
        }
        self.gathered.push(b'\n');
        Ok(serde_json::to_writer(&mut self.gathered, element)?)
    }

    async fn flush(&mut self) -> Result<(), ExportError> {
        self.output.take(&mut self.gathered).await
    }

    /// Ends an array and begins another one.
    fn next_array(&mut self, between: &str) {
        self.gathered.extend_from_slice(between.as_bytes());
        self.any = false;
    }
}

pub(super) async fn write(
    report: &RunReport<'_>,
    facts: &RunFacts,
    base: Option<&RunFacts>,
    output: &mut Output,
) -> Result<(), ExportError> {
    let mut baseline = match base {
        Some(base) => Some(Baseline::read(report.queries, facts, base).await?),
        None => None,
    };
    let mut elements = Elements { gathered: Vec::new(), any: false, output };
    elements.gathered.extend_from_slice(head(report, facts, base)?.as_bytes());
    let mut missing = facts.to_cross_out();
    let mut results = Results::of(report.queries, facts.run.id);
    while let Some(page) = results.next().await? {
        for result in &page {
            missing.has_result(result);
            add_result(report, &mut elements, result, baseline.as_mut())?;
        }
        elements.flush().await?;
    }
    let missing: Vec<(String, String)> = missing.left().collect();
    for (check, component) in &missing {
        elements.add(&no_result(report, facts, (check, component), baseline.is_some()))?;
    }
    if let Some(baseline) = &baseline {
        add_absent(report, &mut elements, facts, baseline).await?;
    }
    elements.next_array("],\n\"invocations\":[");
    let invocation = invocation(facts);
    let text = serde_json::to_string(&invocation)?;
    elements.gathered.extend_from_slice(text.trim_end_matches('}').as_bytes());
    elements.next_array(",\"toolExecutionNotifications\":[");
    add_notifications(report, &mut elements, facts, &missing).await?;
    elements.gathered.extend_from_slice(b"]}]}]}\n");
    elements.flush().await
}

/// Everything up to the first result.
fn head(report: &RunReport<'_>, facts: &RunFacts, base: Option<&RunFacts>) -> Result<String, ExportError> {
    let run = &facts.run;
    let driver = json!({
        "name": TOOL,
        "version": TOOL_VERSION,
        "semanticVersion": TOOL_VERSION,
        "rules": report.rules.iter().map(rule).collect::<Vec<_>>(),
    });
    let automation = json!({
        "id": format!("{TOOL}/{}/{}/{}", facts.deployment.id, run.profile, run.id),
        "guid": guid(run.id),
        "description": { "text": format!("profile {} of {}", run.profile, facts.deployment_name()) },
    });
    let properties = json!({
        "run": run.id,
        "deployment": facts.deployment.id,
        "deploymentName": facts.deployment.name,
        "isDouble": facts.deployment.is_double,
        "profile": run.profile,
        "status": run.status.as_str(),
        "verdict": facts.verdict(),
        "requestedBy": run.requested_by,
        "positions": { "first": facts.first_position, "last": run.last_position },
        "checks": { "planned": run.planned, "ok": run.tally.ok, "warning": run.tally.warning,
            "critical": run.tally.critical, "unknown": run.tally.unknown, "withoutResult": facts.without_result() },
        "baseline": base.map(|base| base.run.id),
    });
    let baseline = base.map_or(String::new(), |base| format!(",\n\"baselineGuid\":\"{}\"", guid(base.run.id)));
    Ok(format!(
        "{{\"$schema\":\"{SCHEMA}\",\n\"version\":\"2.1.0\",\n\"runs\":[{{\"tool\":{{\"driver\":{}}},\n\
         \"automationDetails\":{}{baseline},\n\"properties\":{},\n\"results\":[",
        serde_json::to_string(&driver)?,
        serde_json::to_string(&automation)?,
        serde_json::to_string(&properties)?,
    ))
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.code,
        "name": rule.code,
        "shortDescription": { "text": rule.title },
        "fullDescription": { "text": rule.title },
        "help": { "text": rule.page, "markdown": rule.page },
        "properties": { "pack": rule.pack, "version": rule.version, "component": rule.component },
    })
}

fn add_result(
    report: &RunReport<'_>,
    elements: &mut Elements<'_>,
    result: &CheckResultView,
    mut baseline: Option<&mut Baseline>,
) -> Result<(), ExportError> {
    if let Some(baseline) = baseline.as_deref_mut() {
        baseline.note(result);
    }
    if result.outcome == Outcome::Unknown {
        let cause = result.unknown_cause.as_deref().unwrap_or("no cause is recorded");
        let text = format!("{} could not be measured: {cause}", result.check_code);
        let place = location(&result.component, None);
        let mut element = element(report, &result.check_code, &text, &place);
        element.insert("kind".to_owned(), "open".into());
        element.insert("level".to_owned(), "none".into());
        element.insert("properties".to_owned(), json!({ "outcome": "unknown", "component": result.component }));
        mark_open(&mut element, baseline.is_some());
        elements.add(&element)?;
    }
    for problem in &result.observations {
        let print = fingerprint(result.deployment_id, &result.check_code, &problem.resource);
        let mut element = problem_element(report, result, problem);
        if let (Some(baseline), Some(print)) = (baseline.as_deref_mut(), print) {
            let (state, certain) = baseline.state(result, print, problem.outcome);
            element.insert("baselineState".to_owned(), state.as_str().into());
            if !certain && let Some(Value::Object(properties)) = element.get_mut("properties") {
                properties.insert("baselineUncertain".to_owned(), true.into());
            }
        }
        elements.add(&element)?;
    }
    Ok(())
}

/// What could not be measured is no problem of either run; SARIF wants a state all the same where others have one.
fn mark_open(element: &mut Map<String, Value>, compared: bool) {
    if compared {
        element.insert("baselineState".to_owned(), "new".into());
        if let Some(Value::Object(properties)) = element.get_mut("properties") {
            properties.insert("baselineUncertain".to_owned(), true.into());
        }
    }
}

fn problem_element(report: &RunReport<'_>, result: &CheckResultView, problem: &Observation) -> Map<String, Value> {
    let text = format!(
        "{}\nCause: {}\nImpact: {}\nAdvice: {}",
        problem.symptom, problem.cause, problem.impact, problem.advice
    );
    let place = location(&result.component, Some(problem.resource.as_str()));
    let mut element = element(report, &result.check_code, &text, &place);
    element.insert("kind".to_owned(), "fail".into());
    element.insert("level".to_owned(), if problem.outcome == Outcome::Critical { "error" } else { "warning" }.into());
    if let Some(print) = fingerprint(result.deployment_id, &result.check_code, &problem.resource) {
        element.insert("fingerprints".to_owned(), json!({ FINGERPRINT: print }));
    }
    element.insert(
        "properties".to_owned(),
        json!({
            "outcome": problem.outcome.as_str(),
            "component": result.component,
            "symptom": problem.symptom,
            "cause": problem.cause,
            "impact": problem.impact,
            "advice": problem.advice,
            "evidence": problem.evidence,
            "checkVersion": result.version,
            "measuredAt": time(result.measured_at),
            "position": result.last_position,
        }),
    );
    element
}

fn element(report: &RunReport<'_>, check: &str, text: &str, location: &Value) -> Map<String, Value> {
    let mut element = Map::new();
    element.insert("ruleId".to_owned(), check.into());
    if let Some((index, _)) = report.rule(check) {
        element.insert("ruleIndex".to_owned(), index.into());
    }
    element.insert("message".to_owned(), json!({ "text": text }));
    element.insert("locations".to_owned(), json!([location]));
    element
}

fn location(component: &str, resource: Option<&str>) -> Value {
    let name = resource.unwrap_or(component);
    let full = match resource {
        Some(resource) if !resource.starts_with(component) => format!("{component}/{resource}"),
        _ => name.to_owned(),
    };
    let kind = if resource.is_some() { "resource" } else { "component" };
    json!({ "logicalLocations": [{ "name": name, "fullyQualifiedName": full, "kind": kind }] })
}

fn no_result(
    report: &RunReport<'_>,
    facts: &RunFacts,
    (check, component): (&str, &str),
    compared: bool,
) -> Map<String, Value> {
    let text = format!("{check} has no result: the run ended as {}", facts.run.status.as_str());
    let mut element = element(report, check, &text, &location(component, None));
    element.insert("kind".to_owned(), "open".into());
    element.insert("level".to_owned(), "none".into());
    element.insert("properties".to_owned(), json!({ "outcome": "not run", "component": component }));
    mark_open(&mut element, compared);
    element
}

/// Problems of the base run that are gone: read a second time, so that only their fingerprints were held.
async fn add_absent(
    report: &RunReport<'_>,
    elements: &mut Elements<'_>,
    facts: &RunFacts,
    baseline: &Baseline,
) -> Result<(), ExportError> {
    let mut results = Results::of(report.queries, baseline.run);
    while let Some(page) = results.next().await? {
        for result in &page {
            for problem in &result.observations {
                let print = fingerprint(facts.run.deployment_id, &result.check_code, &problem.resource);
                if print.is_some_and(|print| baseline.is_gone(result, print)) {
                    let mut element = problem_element(report, result, problem);
                    element.insert("baselineState".to_owned(), State::Absent.as_str().into());
                    elements.add(&element)?;
                }
            }
        }
        elements.flush().await?;
    }
    Ok(())
}

fn invocation(facts: &RunFacts) -> Value {
    let run = &facts.run;
    let successful = facts.is_whole();
    let mut invocation = json!({
        "executionSuccessful": successful,
        "startTimeUtc": time(run.started_at.unwrap_or(run.requested_at)),
        "account": run.requested_by,
    });
    if let Some(ended) = run.ended_at {
        invocation["endTimeUtc"] = time(ended).into();
    }
    if let Some(reason) = &run.reason {
        invocation["exitCodeDescription"] = format!("{}: {reason}", run.status.as_str()).into();
    }
    invocation
}

async fn add_notifications(
    report: &RunReport<'_>,
    elements: &mut Elements<'_>,
    facts: &RunFacts,
    missing: &[(String, String)],
) -> Result<(), ExportError> {
    let mut unknown = Results::with(report.queries, facts.run.id, &[Outcome::Unknown]);
    while let Some(page) = unknown.next().await? {
        for result in &page {
            let cause = result.unknown_cause.as_deref().unwrap_or("no cause is recorded");
            elements.add(&notification(report, &result.check_code, &result.component, cause))?;
        }
        elements.flush().await?;
    }
    for (check, component) in missing {
        elements.add(&notification(report, check, component, "it was planned and has no result"))?;
    }
    Ok(())
}

fn notification(report: &RunReport<'_>, check: &str, component: &str, why: &str) -> Value {
    let mut of = json!({ "id": check });
    if let Some((index, _)) = report.rule(check) {
        of["index"] = index.into();
    }
    json!({
        "level": "error",
        "message": { "text": format!("{check} on {component}: {why}") },
        "associatedRule": of,
    })
}
