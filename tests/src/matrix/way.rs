//! One fault on its whole way.

use super::change;
use super::client::{Client, Person};
use super::history;
use super::page::{Cell, Row};
use crate::Cmdiag;
use domain::any_event::{POLICY, REMEDIATION};
use domain::policy::DEFAULT_POLICY;
use domain::{PolicyId, TenantId};
use event_store::EventLog;
use lab::{Fault, SeenFinding};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a run, a dry run or a finding may take to show.
const SOON: Duration = Duration::from_secs(30);
/// How long a remediation may take.
const REMEDIED: Duration = Duration::from_secs(60);

const REMEDIATION_FIELDS: &str = "{ uuid status atRest reason title runbook binding approvalsNeeded rollbackReason \
    steps { name action status undo undoReason undoStatus undetermined error stateBefore stateAfterUndo \
    changes { summary } } }";

/// What a way goes through.
pub struct Surroundings {
    /// The command line, for the lab.
    pub cmdiag: Cmdiag,
    /// The API.
    pub client: Client,
    /// The event log, for the replay.
    pub log: Arc<dyn EventLog>,
    /// The views, for the comparison with the replay.
    pub pool: PgPool,
    /// The lab's deployment.
    pub deployment: String,
    /// Why nothing is done about findings of these checks.
    pub none: BTreeMap<String, String>,
}

/// Takes one fault through all stages; mends it at the end, however it went.
pub async fn one(around: &Surroundings, fault: &'static Fault) -> Row {
    let check = fault.expects.iter().find(|expected| expected.required).map_or("", |expected| expected.check);
    let mut row = Row { fault: fault.name.to_owned(), check: check.to_owned(), ..Row::default() };
    if let Err(what) = clean(around).await {
        row.clean = Cell::No(what);
    } else {
        row.clean = Cell::Yes;
    }
    let broken = around.cmdiag.run(&["lab", "break", fault.name]).await;
    if broken.code == 0 {
        tokio::time::sleep(fault.ripe_after).await;
        stages(around, fault, &mut row).await;
    } else {
        row.found = Cell::No(format!("the fault could not be planted: {}", broken.stderr.trim()));
    }
    let mended = around.cmdiag.run(&["lab", "mend", fault.name]).await;
    if mended.code != 0 && row.undone == Cell::Yes {
        row.undone = Cell::No(format!("the fault could not be mended afterwards: {}", mended.stderr.trim()));
    }
    row
}

/// Three runs of everything that raise nothing.
async fn clean(around: &Surroundings) -> Result<(), String> {
    for _ in 0..3 {
        let seen = diagnose(around, &[]).await?;
        if !seen.problems.is_empty() {
            return Err(format!("a healthy lab raised {:?}", seen.problems));
        }
    }
    Ok(())
}

async fn stages(around: &Surroundings, fault: &'static Fault, row: &mut Row) {
    let finding = match find(around, fault, &row.check).await {
        Ok(finding) => finding,
        Err(what) => {
            row.found = Cell::No(what);
            return;
        }
    };
    row.found = Cell::Yes;
    if let Some(why) = around.none.get(&row.check) {
        let reason = || Cell::DoesNotApply(why.clone());
        (row.dry_run, row.fixed, row.post_check, row.undone) = (reason(), reason(), reason(), reason());
        row.replayed = reason();
        return;
    }
    let Some(remediation) = remedy(around, &finding, row).await else { return };
    undo(around, &remediation, row).await;
    row.replayed = match replay(around, &remediation).await {
        Ok(()) => Cell::Yes,
        Err(what) => Cell::No(what),
    };
}

/// What one run saw.
struct Seen {
    problems: Vec<SeenFinding>,
    causes: BTreeMap<(String, String), String>,
}

async fn diagnose(around: &Surroundings, checks: &[&str]) -> Result<Seen, String> {
    let request = "mutation($input: RequestRunInput!) { requestRun(input: $input) { \
        ... on RequestRunAccepted { runId } ... on CommandRefused { code message } } }";
    let input = json!({ "input": { "deploymentId": around.deployment, "checks": checks } });
    let run = around.client.send(Person::Eve, request, input).await?["runId"].clone();
    let query = "query($id: ID!) { run(id: $id) { ended status results(first: 200) { nodes { checkCode component \
        outcome unknownCause observations { resource outcome cause } } } } }";
    let ended = |data: &Value| data["run"]["ended"] == json!(true);
    let data = around.client.until(SOON, (query, json!({ "id": run })), ended).await?;
    if data["run"]["status"] != json!("COMPLETED") {
        return Err(format!("the run is {}", data["run"]["status"]));
    }
    let mut seen = Seen { problems: Vec::new(), causes: BTreeMap::new() };
    for result in data["run"]["results"]["nodes"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if result["outcome"] == json!("UNKNOWN") {
            let (check, resource) = (text(&result["checkCode"]), text(&result["component"]));
            seen.problems.push(SeenFinding { check, resource, outcome: "unknown".to_owned() });
        }
        for observed in result["observations"].as_array().into_iter().flatten() {
            let (check, resource) = (text(&result["checkCode"]), text(&observed["resource"]));
            seen.causes.insert((check.clone(), resource.clone()), text(&observed["cause"]));
            seen.problems.push(SeenFinding { check, resource, outcome: text(&observed["outcome"]).to_lowercase() });
        }
    }
    Ok(seen)
}

/// The finding's id, once its check has raised it and nothing unexpected was raised beside it.
async fn find(around: &Surroundings, fault: &'static Fault, check: &str) -> Result<String, String> {
    let seen = diagnose(around, &[]).await?;
    let score = lab::score(&[fault], &seen.problems);
    if !score.missed.is_empty() || !score.false_findings.is_empty() {
        return Err(format!("missed {:?}, false {:?}", score.missed, score.false_findings));
    }
    let expected = fault.expects.iter().find(|expected| expected.required).ok_or("the fault expects nothing")?;
    let is_it = |resource: &str| resource.contains(expected.resource_contains);
    let cause = seen.causes.iter().find(|((found, resource), _)| found == check && is_it(resource));
    if cause.is_none_or(|(_, cause)| cause.trim().is_empty()) {
        return Err("its finding names no cause".to_owned());
    }
    let query =
        "query($filter: FindingFilterInput!) { findings(filter: $filter, first: 200) { nodes { uuid resource } } }";
    let filter = json!({ "deploymentId": around.deployment, "checkCode": check, "status": ["OPEN", "ACKNOWLEDGED"] });
    let chosen = |data: &Value| {
        let nodes = data["findings"]["nodes"].as_array().into_iter().flatten();
        let mut matching = nodes.filter(|node| is_it(node["resource"].as_str().unwrap_or_default()));
        matching.next().and_then(|node| node["uuid"].as_str().map(str::to_owned))
    };
    let found = |data: &Value| chosen(data).is_some();
    let data = around.client.until(SOON, (query, json!({ "filter": filter })), found).await?;
    chosen(&data).ok_or_else(|| "its finding does not show".to_owned())
}

/// Dry run, approvals, execution, post-check. `None` where there is nothing to be taken back or replayed.
async fn remedy(around: &Surroundings, finding: &str, row: &mut Row) -> Option<String> {
    let previewed = match preview(around, finding).await {
        Ok(previewed) => previewed,
        Err(what) => {
            row.dry_run = Cell::No(what);
            return None;
        }
    };
    row.runbook = previewed["runbook"].as_str().map(str::to_owned);
    let id = previewed["uuid"].as_str()?.to_owned();
    if let Err(what) = says_what(&previewed) {
        row.dry_run = Cell::No(what);
        return Some(id);
    }
    let started = match approve(around, &previewed).await {
        Ok(started) => started,
        Err(what) => {
            row.dry_run = Cell::No(what);
            return Some(id);
        }
    };
    let rested = until(around, &id, REMEDIED, |one| one["atRest"] == json!(true)).await;
    row.seconds = Some(started.elapsed().as_secs_f64());
    match rested {
        Ok(rested) => judge(around, &rested, row).await,
        Err(what) => row.fixed = Cell::No(what),
    }
    Some(id)
}

async fn preview(around: &Surroundings, finding: &str) -> Result<Value, String> {
    let request = "mutation($input: RequestRemediationInput!) { requestRemediation(input: $input) { \
        ... on RequestRemediationAccepted { remediation { uuid } } ... on CommandRefused { code message } } }";
    let asked = around.client.send(Person::Eve, request, json!({ "input": { "findingId": finding } })).await?;
    let id = asked["remediation"]["uuid"].as_str().ok_or("the remediation does not show")?.to_owned();
    let waits = |one: &Value| {
        let status = one["status"].as_str().unwrap_or_default();
        one["atRest"] == json!(true) || ["AWAITING_APPROVAL", "EXECUTABLE"].contains(&status)
    };
    let one = until(around, &id, SOON, waits).await?;
    if one["atRest"] == json!(true) {
        return Err(format!("it came to rest before it was approved: {} {}", one["status"], one["reason"]));
    }
    Ok(one)
}

/// Each step says what it would change, or why that can not be said yet.
fn says_what(previewed: &Value) -> Result<(), String> {
    for step in previewed["steps"].as_array().into_iter().flatten() {
        let says = step["changes"].as_array().is_some_and(|changes| !changes.is_empty());
        if !says && step["undetermined"].is_null() {
            return Err(format!("step {} would change nothing", step["name"]));
        }
    }
    Ok(())
}

/// Different people approve what they looked at; then somebody else has it done.
async fn approve(around: &Surroundings, previewed: &Value) -> Result<Instant, String> {
    let id = &previewed["uuid"];
    let approve = "mutation($input: ApproveRemediationInput!) { approveRemediation(input: $input) { \
        ... on ApproveRemediationAccepted { version } ... on CommandRefused { code message } } }";
    let needed = previewed["approvalsNeeded"].as_u64().unwrap_or_default() as usize;
    for person in [Person::Ada, Person::Ben].into_iter().take(needed) {
        let input = json!({ "remediationId": id, "binding": previewed["binding"], "comment": "as shown" });
        around.client.send(person, approve, json!({ "input": input })).await?;
    }
    let execute = "mutation($input: ExecuteRemediationInput!) { executeRemediation(input: $input) { \
        ... on ExecuteRemediationAccepted { version } ... on CommandRefused { code message } } }";
    let started = Instant::now();
    around.client.send(Person::Eve, execute, json!({ "input": { "remediationId": id } })).await?;
    Ok(started)
}

/// What the history says of dry run, steps and post-check.
async fn judge(around: &Surroundings, rested: &Value, row: &mut Row) {
    let id = rested["uuid"].as_str().unwrap_or_default();
    let events = match history::read(around.log.as_ref(), REMEDIATION, id).await {
        Ok(events) => events,
        Err(what) => {
            row.dry_run = Cell::No(what);
            return;
        }
    };
    let happened = |name: &str| events.iter().any(|event| history::name(event) == name);
    let or = |is: bool, what: String| if is { Cell::Yes } else { Cell::No(what) };
    row.dry_run = if !happened("ExecutionStarted") || happened("ApprovalVoided") {
        Cell::No(format!("the target was not as the dry run had said: {}", rested["reason"]))
    } else if rested["status"] == json!("SUCCEEDED") {
        match change::is_as_said(around.log.as_ref(), id, &around.deployment).await {
            Ok(()) => Cell::Yes,
            Err(what) => Cell::No(format!("what changed is not what the dry run had said: {what}")),
        }
    } else {
        Cell::No("what it said has not come about".to_owned())
    };
    let steps = rested["steps"].as_array().cloned().unwrap_or_default();
    let undone = steps.iter().filter(|step| step["status"] != json!("SUCCEEDED"));
    let failed: Vec<String> = undone.map(|step| format!("{}: {}", step["name"], step["error"])).collect();
    row.fixed = or(
        failed.is_empty() && rested["status"] == json!("SUCCEEDED"),
        format!("{} {} {failed:?}", rested["status"], rested["reason"]),
    );
    row.post_check = or(happened("PostCheckPassed"), format!("{} {}", rested["status"], rested["reason"]));
}

/// Takes it back; proven by the hashes, where there is something to take back.
async fn undo(around: &Surroundings, id: &str, row: &mut Row) {
    if row.fixed != Cell::Yes {
        return;
    }
    row.undone = match take_back(around, id).await {
        Ok((cell, seconds)) => {
            row.undo_seconds = seconds;
            cell
        }
        Err(what) => Cell::No(what),
    };
}

async fn take_back(around: &Surroundings, id: &str) -> Result<(Cell, Option<f64>), String> {
    let one = until(around, id, SOON, |_| true).await?;
    let steps = one["steps"].as_array().cloned().unwrap_or_default();
    let why = |kind: &str| {
        let mut of_kind = steps.iter().filter(|step| step["undo"] == json!(kind));
        of_kind.next().and_then(|step| step["undoReason"].as_str()).map(str::to_owned)
    };
    if let Some(why) = why("IMPOSSIBLE") {
        return Ok((Cell::DoesNotApply(why), None));
    }
    let undo = "mutation($input: RemediationReasonInput!) { undoRemediation(input: $input) { \
        ... on UndoRemediationAccepted { version } ... on CommandRefused { code message } } }";
    let started = Instant::now();
    let input = json!({ "remediationId": id, "reason": "the matrix takes everything back" });
    around.client.send(Person::Eve, undo, json!({ "input": input })).await?;
    let ended = |one: &Value| ["UNDONE", "STUCK", "FAILED"].contains(&one["status"].as_str().unwrap_or_default());
    let one = until(around, id, REMEDIED, ended).await?;
    let seconds = started.elapsed().as_secs_f64();
    if one["status"] != json!("UNDONE") {
        return Ok((Cell::No(format!("{} {}", one["status"], one["reason"])), Some(seconds)));
    }
    let steps = one["steps"].as_array().cloned().unwrap_or_default();
    let different = steps
        .iter()
        .find(|step| step["undo"] == json!("FROM_BEFORE_IMAGE") && step["stateBefore"] != step["stateAfterUndo"]);
    if let Some(step) = different {
        return Ok((Cell::No(format!("the state of {} is not that of before", step["name"])), Some(seconds)));
    }
    // A plan with nothing to take back was not taken back: it only was seen not to pretend.
    let compared = steps.iter().any(|step| step["undo"] == json!("FROM_BEFORE_IMAGE"));
    let reason = why("NOTHING").unwrap_or_default();
    Ok((if compared { Cell::Yes } else { Cell::DoesNotApply(reason) }, compared.then_some(seconds)))
}

async fn replay(around: &Surroundings, id: &str) -> Result<(), String> {
    let events = history::read(around.log.as_ref(), REMEDIATION, id).await?;
    let uuid = Uuid::parse_str(id).map_err(|error| error.to_string())?;
    let shown: sqlx::types::Json<Value> = sqlx::query_scalar("SELECT state FROM view_remediations WHERE id = $1")
        .bind(uuid)
        .fetch_one(&around.pool)
        .await
        .map_err(|error| error.to_string())?;
    history::remediation(&events, &shown.0)?;
    let name = DEFAULT_POLICY.parse().map_err(|error: domain::ids::InvalidName| error.to_string())?;
    let policy = PolicyId::of(&TenantId::default(), &name);
    history::policy(&history::read(around.log.as_ref(), POLICY, &policy.to_string()).await?)
}

async fn until(
    around: &Surroundings,
    id: &str,
    bound: Duration,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value, String> {
    let query = format!("query($id: ID!) {{ remediation(id: $id) {REMEDIATION_FIELDS} }}");
    let question = (query.as_str(), json!({ "id": id }));
    let wanted = |data: &Value| !data["remediation"].is_null() && wanted(&data["remediation"]);
    Ok(around.client.until(bound, question, wanted).await?["remediation"].clone())
}
