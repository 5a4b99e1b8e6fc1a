//! Remediations: each decision accepted or refused as data; lists, nodes, and whose they are.

use crate::remediation_life::{Life, found};
use crate::subscriptions::Stream;
use crate::support::Api;
use domain::remediation::{Admission, RemediationCommand};
use domain::testing::{RESOURCE, remediation_binding};
use domain::{Outcome, RemediationId, TenantId};
use serde_json::{Value, json};

/// Sends a mutation; gives its payload.
async fn mutate(api: &Api, name: &str, input: Value) -> Value {
    let accepted = format!("{}{}Accepted", name[..1].to_uppercase(), &name[1..]);
    let input_kind = match name {
        "requestRemediation" => "RequestRemediationInput",
        "approveRemediation" => "ApproveRemediationInput",
        "delegateApproval" => "DelegateApprovalInput",
        "executeRemediation" => "ExecuteRemediationInput",
        _ => "RemediationReasonInput",
    };
    let query = format!(
        "mutation($input: {input_kind}!) {{ {name}(input: $input) {{ __typename ... on {accepted} {{ position version \
         repeated remediationId remediation {{ status uuid }} }} ... on CommandRefused {{ code message }} }} }}"
    );
    api.data(&query, json!({ "input": input })).await[name].take()
}

/// It is accepted, and the remediation is like this after it.
async fn accepted(api: &Api, name: &str, input: Value, status: &str) -> Value {
    let payload = mutate(api, name, input).await;
    assert!(payload["position"].as_i64().is_some_and(|position| position > 0), "{name}: {payload:#}");
    assert_eq!(payload["remediation"]["status"], status, "{name}");
    payload
}

async fn refused(api: &Api, name: &str, input: Value, code: &str) {
    let payload = mutate(api, name, input).await;
    assert_eq!((&payload["__typename"], &payload["code"]), (&json!("CommandRefused"), &json!(code)), "{name}");
}

fn with(base: &Value, more: Value) -> Value {
    let mut input = base.clone();
    let (Value::Object(map), Value::Object(more)) = (&mut input, more) else { panic!("two objects") };
    map.extend(more);
    input
}

fn id_of(payload: &Value) -> RemediationId {
    payload["remediation"]["uuid"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_is_put_right_step_by_step_and_taken_back() {
    let api = Api::start().await;
    let (_, finding) = found(&api, "records", RESOURCE).await;
    let request = json!({ "findingId": finding.to_string(), "idempotencyKey": "k" });
    let asked = accepted(&api, "requestRemediation", request.clone(), "REQUESTED").await;
    let again = mutate(&api, "requestRemediation", request).await;
    assert_eq!((&again["remediationId"], &again["repeated"]), (&asked["remediationId"], &json!(true)));
    let life = Life::of(&api, id_of(&asked));
    let of = json!({ "remediationId": asked["remediationId"] });
    let because = with(&of, json!({ "reason": "it is better so" }));
    let approve = |binding: &str| with(&of, json!({ "binding": binding, "comment": "looks right" }));

    refused(&api, "approveRemediation", approve(&"a".repeat(64)), "remediation_wrong_phase").await;
    refused(&api, "executeRemediation", of.clone(), "not_approved").await;
    life.waiting().await;
    let query = "query($id: ID!, $at: Position) { remediation(id: $id, atLeast: $at) { status binding approvalsNeeded } \
        }";
    let at = api.head().await.0;
    let seen = api.data(query, json!({ "id": life.id.to_string(), "at": at })).await["remediation"].take();
    assert_eq!((&seen["status"], &seen["approvalsNeeded"]), (&json!("AWAITING_APPROVAL"), &json!(1)));
    let binding = seen["binding"].as_str().unwrap().to_owned();

    refused(&api, "approveRemediation", approve(&"a".repeat(64)), "binding_mismatch").await;
    let instead = with(&approve(&binding), json!({ "onBehalfOf": "carol@example.org" }));
    refused(&api, "approveRemediation", instead, "not_delegated").await;
    refused(&api, "delegateApproval", with(&of, json!({ "to": "anonymous:local" })), "delegated_to_self").await;
    let delegate = with(&of, json!({ "to": "carol@example.org", "comment": "yours" }));
    accepted(&api, "delegateApproval", delegate, "AWAITING_APPROVAL").await;
    accepted(&api, "approveRemediation", approve(&binding), "EXECUTABLE").await;
    refused(&api, "approveRemediation", approve(&binding), "remediation_wrong_phase").await;
    // Who approves can not have it done.
    refused(&api, "executeRemediation", of.clone(), "executor_is_approver").await;
    life.tell("ben@example.org", RemediationCommand::Execute).await;
    refused(&api, "undoRemediation", because.clone(), "remediation_wrong_phase").await;
    life.executed(Outcome::Ok).await;

    refused(&api, "releaseRemediation", because.clone(), "remediation_at_rest").await;
    refused(&api, "cancelRemediation", because.clone(), "remediation_at_rest").await;
    refused(&api, "rejectRemediation", because.clone(), "remediation_at_rest").await;
    refused(&api, "undoRemediation", with(&of, json!({ "reason": " " })), "text_empty").await;
    accepted(&api, "undoRemediation", because.clone(), "ROLLING_BACK").await;
    life.taken_back("changed by somebody else").await;
    accepted(&api, "releaseRemediation", because.clone(), "FAILED").await;
    refused(&api, "releaseRemediation", because, "remediation_at_rest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_say_no_have_it_done_unattended_and_stop_it() {
    let api = Api::start().await;
    let (deployment, finding) = found(&api, "records", RESOURCE).await;
    let rejected = Life::requested(&api, deployment, finding, RESOURCE).await;
    let of = |life: &Life<'_>| json!({ "remediationId": life.id.to_string() });
    let because = |life: &Life<'_>| with(&of(life), json!({ "reason": "not today" }));
    refused(&api, "rejectRemediation", because(&rejected), "remediation_wrong_phase").await;
    rejected.waiting().await;
    accepted(&api, "rejectRemediation", because(&rejected), "CANCELLED").await;

    let unattended = Life::requested(&api, deployment, finding, RESOURCE).await;
    unattended.admitted(Admission::Unattended).await;
    accepted(&api, "executeRemediation", of(&unattended), "CONFIRMING").await;
    refused(&api, "executeRemediation", of(&unattended), "remediation_wrong_phase").await;
    unattended.begun().await;
    unattended.step_done("recount").await;
    // What was done is taken back.
    accepted(&api, "cancelRemediation", because(&unattended), "ROLLING_BACK").await;

    let nobody = RemediationId(uuid::Uuid::now_v7()).to_string();
    let reason = json!({ "remediationId": nobody, "reason": "not today" });
    for name in ["rejectRemediation", "cancelRemediation", "undoRemediation", "releaseRemediation"] {
        refused(&api, name, reason.clone(), "remediation_unknown").await;
    }
    let query = "mutation($input: RequestRemediationInput!) { requestRemediation(input: $input) { __typename } }";
    assert_eq!(api.code(query, json!({ "input": { "findingId": nobody } })).await, "NOT_FOUND");
    let malformed = json!({ "input": { "findingId": finding.to_string(), "runbook": "not a name!" } });
    assert_eq!(api.code(query, malformed).await, "BAD_USER_INPUT");
    let query = "mutation($input: ApproveRemediationInput!) { approveRemediation(input: $input) { __typename } }";
    let malformed = json!({ "input": { "remediationId": nobody, "binding": "no hash" } });
    assert_eq!(api.code(query, malformed).await, "BAD_USER_INPUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_would_change_and_has_changed_is_read() {
    let api = Api::start().await;
    let (deployment, finding) = found(&api, "records", RESOURCE).await;
    let life = Life::requested(&api, deployment, finding, RESOURCE).await;
    life.admitted(Admission::Unattended).await;
    life.tell("ben@example.org", RemediationCommand::Execute).await;
    life.executed(Outcome::Critical).await;
    life.taken_back("changed by somebody else").await;
    api.projected().await;
    let query = "query($id: ID!) { remediation(id: $id) { id status atRest dryRun trigger requestedBy executor runbook \
        title checkCode component severity policy admission blast { documents bytes } reason rollbackReason startedAt \
        endedAt deployment { name } finding { resource status } steps { name action after status attempts undo \
        undoStatus undoReason stateBefore stateAfterUndo error foundDone changes { summary from to } \
        changesOmitted } } }";
    let seen = api.data(query, json!({ "id": life.id.to_string() })).await["remediation"].take();
    let facts = json!({ "status": seen["status"], "atRest": seen["atRest"], "trigger": seen["trigger"],
        "requestedBy": seen["requestedBy"], "executor": seen["executor"], "admission": seen["admission"],
        "deployment": seen["deployment"]["name"], "finding": seen["finding"]["resource"],
        "endedAt": seen["endedAt"], "blast": seen["blast"]["documents"] });
    let expected = json!({ "status": "STUCK", "atRest": true, "trigger": "POLICY", "requestedBy": "ann@example.org",
        "executor": "ben@example.org", "admission": "unattended: by rule 1", "deployment": "records",
        "finding": RESOURCE, "endedAt": null, "blast": "3" });
    assert_eq!(facts, expected, "{seen:#}");
    assert!(seen["reason"].is_string() && seen["rollbackReason"].is_string() && seen["startedAt"].is_string());
    let steps = seen["steps"].as_array().unwrap();
    let told: Vec<_> = steps.iter().map(|step| (&step["name"], &step["undo"], &step["undoStatus"])).collect();
    let (from_image, nothing) = (&json!("FROM_BEFORE_IMAGE"), &json!("NOTHING"));
    assert_eq!(
        told,
        [
            (&json!("find-copy"), nothing, &json!("NOTHING_TO_COMPARE")),
            (&json!("restore-file"), from_image, &json!("RESTORED")),
            (&json!("recount"), from_image, &json!("DIFFERENT")),
        ]
    );
    assert_eq!(steps[1]["after"], json!(["find-copy"]));
    assert_eq!(steps[1]["changes"][0]["to"], json!({ "bytes": 12 }));
    assert_eq!((&steps[1]["stateBefore"], &steps[1]["attempts"]), (&steps[1]["stateAfterUndo"], &json!(1)));
    assert_eq!((&steps[0]["undoReason"], &steps[0]["status"]), (&json!("it only reads"), &json!("SUCCEEDED")));

    let query = "query($id: ID!) { node(id: $id) { __typename id ... on Remediation { status } } }";
    let node = api.data(query, json!({ "id": seen["id"] })).await["node"].take();
    assert_eq!(node, json!({ "__typename": "Remediation", "id": seen["id"], "status": "STUCK" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn remediations_are_listed_newest_first_by_what_is_asked_for() {
    let api = Api::start().await;
    let (north, in_north) = found(&api, "north", RESOURCE).await;
    let (south, in_south) = found(&api, "south", RESOURCE).await;
    let mut ids = Vec::new();
    for (deployment, finding) in [(north, in_north), (south, in_south), (north, in_north)] {
        ids.push(Life::requested(&api, deployment, finding, RESOURCE).await.id);
    }
    Life::of(&api, ids[0]).waiting().await;
    let cancel = RemediationCommand::Cancel { reason: "not today".to_owned() };
    Life::of(&api, ids[1]).tell("ann@example.org", cancel).await;
    api.projected().await;
    let list = async |filter: Value, first: i32, after: Value| {
        let query = "query($filter: RemediationFilterInput!, $first: Int!, $after: String) { \
            remediations(filter: $filter, first: $first, after: $after) \
            { nodes { uuid } pageInfo { hasNextPage hasPreviousPage endCursor } } }";
        let variables = json!({ "filter": filter, "first": first, "after": after });
        api.data(query, variables).await["remediations"].take()
    };
    let places = |page: &Value| -> Vec<usize> {
        let nodes = page["nodes"].as_array().unwrap().iter();
        let place = |node: &Value| ids.iter().position(|id| node["uuid"] == id.to_string()).unwrap();
        nodes.map(place).collect()
    };
    for (filter, expected) in [
        (json!({}), vec![2, 1, 0]),
        (json!({ "deploymentId": north.to_string() }), vec![2, 0]),
        (json!({ "findingId": in_south.to_string() }), vec![1]),
        (json!({ "statuses": ["AWAITING_APPROVAL"] }), vec![0]),
        (json!({ "statuses": ["AWAITING_APPROVAL", "CANCELLED"] }), vec![1, 0]),
        (json!({ "atRest": true }), vec![1]),
        (json!({ "atRest": false }), vec![2, 0]),
        (json!({ "atRest": false, "deploymentId": south.to_string() }), vec![]),
    ] {
        assert_eq!(places(&list(filter.clone(), 50, Value::Null).await), expected, "{filter}");
    }
    let first = list(json!({}), 2, Value::Null).await;
    assert_eq!((places(&first), &first["pageInfo"]["hasNextPage"]), (vec![2, 1], &json!(true)));
    let second = list(json!({}), 2, first["pageInfo"]["endCursor"].clone()).await;
    assert_eq!((places(&second), &second["pageInfo"]["hasNextPage"]), (vec![0], &json!(false)));
    assert_eq!(second["pageInfo"]["hasPreviousPage"], true);
    let query = "{ remediations(after: \"nonsense\") { nodes { uuid } } }";
    assert_eq!(api.code(query, json!({})).await, "BAD_USER_INPUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_or_changes_a_remediation_of_another_tenant() {
    let api = Api::start().await;
    let (deployment, finding) = found(&api, "records", RESOURCE).await;
    let life = Life::requested(&api, deployment, finding, RESOURCE).await;
    life.waiting().await;
    api.projected().await;
    let query = "query($id: ID!) { remediation(id: $id) { id uuid } remediations { nodes { uuid } } }";
    let bare = json!({ "id": life.id.to_string() });
    let own = api.data(query, bare.clone()).await;
    assert_eq!(own["remediations"]["nodes"][0]["uuid"], json!(life.id.to_string()));

    let other = api.beside(TenantId::new("other").unwrap(), api.uncached()).await;
    assert_eq!(other.data(query, bare).await, json!({ "remediation": null, "remediations": { "nodes": [] } }));
    let node = other.data("query($id: ID!) { node(id: $id) { id } }", json!({ "id": own["remediation"]["id"] })).await;
    assert_eq!(node, json!({ "node": null }));
    let progress = "subscription($id: ID!) { remediationProgress(remediationId: $id) { status } }";
    let told = Stream::open(&other, progress, json!({ "id": life.id.to_string() })).await.next().await.unwrap();
    assert_eq!(told["errors"][0]["extensions"]["code"], "NOT_FOUND");

    let of = json!({ "remediationId": life.id.to_string() });
    let because = with(&of, json!({ "reason": "not yours" }));
    let approve = with(&of, json!({ "binding": remediation_binding().as_str() }));
    for (name, kind, input) in [
        ("requestRemediation", "RequestRemediationInput", json!({ "findingId": finding.to_string() })),
        ("approveRemediation", "ApproveRemediationInput", approve),
        ("delegateApproval", "DelegateApprovalInput", with(&of, json!({ "to": "carol@example.org" }))),
        ("executeRemediation", "ExecuteRemediationInput", of),
        ("rejectRemediation", "RemediationReasonInput", because.clone()),
        ("cancelRemediation", "RemediationReasonInput", because.clone()),
        ("undoRemediation", "RemediationReasonInput", because.clone()),
        ("releaseRemediation", "RemediationReasonInput", because),
    ] {
        let query = format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ __typename }} }}");
        assert_eq!(other.code(&query, json!({ "input": input })).await, "NOT_FOUND", "{name}");
    }
}
