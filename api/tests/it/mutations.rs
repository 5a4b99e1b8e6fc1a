//! Every mutation: accepted, refused as data, and idempotent by its key.

use crate::support::{Api, until};
use domain::{Outcome, TenantId};
use serde_json::{Value, json};

/// Sends a mutation; gives its payload.
async fn mutate(api: &Api, name: &str, input: Value) -> Value {
    let kind = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
    let input_kind = match name {
        "markFindingFalsePositive" | "withdrawFindingFalsePositive" => "FindingFalsePositiveInput".to_owned(),
        _ => format!("{kind}Input"),
    };
    let query = format!(
        "mutation($input: {input_kind}!) {{ {name}(input: $input) {{ __typename \
         ... on {kind}Accepted {{ position version repeated }} ... on CommandRefused {{ code message }} }} }}"
    );
    api.data(&query, json!({ "input": input })).await[name].take()
}

async fn accepted(api: &Api, name: &str, input: Value) -> Value {
    let payload = mutate(api, name, input).await;
    assert!(payload["position"].as_i64().is_some_and(|position| position > 0), "{name}: {payload:#}");
    payload
}

async fn refused(api: &Api, name: &str, input: Value, code: &str) {
    let payload = mutate(api, name, input).await;
    assert_eq!(
        (payload["__typename"].as_str(), payload["code"].as_str()),
        (Some("CommandRefused"), Some(code)),
        "{name}"
    );
}

fn with(base: &Value, more: Value) -> Value {
    let mut input = base.clone();
    let (Value::Object(input_map), Value::Object(more)) = (&mut input, more) else { panic!("two objects") };
    input_map.extend(more);
    input
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_are_taken_under_care_changed_and_let_go() {
    let api = Api::start().await;
    let component = |port: &str| {
        json!({ "name": "wgs-1", "kind": "WORKGROUP_SERVER", "settings": [{ "name": "host", "value": "localhost" },
            { "name": "port", "value": port }], "secrets": [{ "purpose": "password", "place": "ENV", "name": "WGS" }] })
    };
    let register = json!({ "name": "records", "productVersion": "10.1", "labels": [{ "name": "site", "value": "north" }],
        "components": [component("1137")], "idempotencyKey": "first" });
    let first = accepted(&api, "registerDeployment", register.clone()).await;
    let again = accepted(&api, "registerDeployment", register.clone()).await;
    assert_eq!((&first["position"], &again["repeated"]), (&again["position"], &json!(true)));
    let other = with(&register, json!({ "name": "another" }));
    let query = "mutation($input: RegisterDeploymentInput!) { registerDeployment(input: $input) { __typename } }";
    assert_eq!(api.code(query, json!({ "input": other })).await, "IDEMPOTENCY_KEY_REUSED");
    refused(&api, "registerDeployment", json!({ "name": "", "productVersion": "10.1" }), "text_empty").await;

    let named = api
        .data(
            "query($at: Position) { deploymentNamed(name: \"RECORDS\", atLeast: $at) { id components \
        { name kind settings { name value } secrets { purpose place name } } labels { name value } } }",
            json!({ "at": first["position"] }),
        )
        .await;
    let found = &named["deploymentNamed"];
    assert_eq!(found["components"][0]["kind"], "WORKGROUP_SERVER");
    assert_eq!(found["components"][0]["secrets"][0], json!({ "purpose": "password", "place": "ENV", "name": "WGS" }));
    let of = json!({ "deploymentId": found["id"] });

    let store = json!({ "component": { "name": "store-1", "kind": "DOCUMENT_STORE" } });
    accepted(&api, "attachComponent", with(&of, store.clone())).await;
    refused(&api, "attachComponent", with(&of, store.clone()), "component_exists").await;
    accepted(&api, "changeComponent", with(&of, json!({ "component": component("1138") }))).await;
    let unknown = json!({ "component": { "name": "store-9", "kind": "DOCUMENT_STORE" } });
    refused(&api, "changeComponent", with(&of, unknown), "component_unknown").await;
    accepted(&api, "detachComponent", with(&of, json!({ "name": "store-1" }))).await;
    refused(&api, "detachComponent", with(&of, json!({ "name": "store-1" })), "component_unknown").await;

    let window = json!({ "from": "2999-01-01T00:00:00Z", "until": "2999-01-01T01:00:00Z", "reason": "upgrade" });
    accepted(&api, "scheduleMaintenance", with(&of, window.clone())).await;
    let reversed = with(&window, json!({ "until": "2998-01-01T00:00:00Z" }));
    refused(&api, "scheduleMaintenance", with(&of, reversed), "window_reversed").await;

    let threshold = json!({ "checkCode": "CM-STORE-NEAR-CAPACITY", "threshold": "used_percent", "warning": "70",
        "reason": "small disk" });
    accepted(&api, "overrideThreshold", with(&of, threshold.clone())).await;
    let bad = with(&threshold, json!({ "warning": "x:y" }));
    refused(&api, "overrideThreshold", with(&of, bad), "range_malformed").await;
    let restore = json!({ "checkCode": "CM-STORE-NEAR-CAPACITY", "threshold": "used_percent" });
    accepted(&api, "restoreThreshold", with(&of, restore.clone())).await;
    refused(&api, "restoreThreshold", with(&of, restore), "threshold_not_overridden").await;

    accepted(&api, "retireDeployment", with(&of, json!({ "reason": "replaced" }))).await;
    refused(&api, "retireDeployment", with(&of, json!({ "reason": "replaced" })), "deployment_retired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_asked_for_and_stopped() {
    let api = Api::start().await;
    let deployment = api.deployment("records").await.to_string();
    let request = json!({ "deploymentId": deployment, "profile": "quick", "idempotencyKey": "k" });
    let query = "mutation($input: RequestRunInput!) { requestRun(input: $input) { ... on RequestRunAccepted \
        { position repeated runId run { profile status priority requestedBy deployment { name } } } } }";
    let first = api.data(query, json!({ "input": request })).await["requestRun"].take();
    assert_eq!(
        first["run"],
        json!({ "profile": "quick", "status": "REQUESTED", "priority": "HIGH",
        "requestedBy": "anonymous:local", "deployment": { "name": "records" } })
    );
    // The timeout counts from another moment now; it is the same request all the same.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let again = api.data(query, json!({ "input": request })).await["requestRun"].take();
    assert_eq!(
        (&again["runId"], &again["position"], &again["repeated"]),
        (&first["runId"], &first["position"], &json!(true))
    );
    let other = with(&request, json!({ "profile": "full" }));
    assert_eq!(api.code(query, json!({ "input": other })).await, "IDEMPOTENCY_KEY_REUSED");
    let passed = json!({ "deploymentId": deployment, "deadline": "2001-01-01T00:00:00Z" });
    refused(&api, "requestRun", passed, "deadline_passed").await;

    let cancel = json!({ "runId": first["runId"], "reason": "not now" });
    accepted(&api, "cancelRun", cancel.clone()).await;
    refused(&api, "cancelRun", cancel, "run_already_ended").await;
    refused(&api, "cancelRun", json!({ "runId": deployment, "reason": "x" }), "run_unknown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_taken_on_muted_and_marked() {
    let api = Api::start().await;
    let deployment = api.deployment("records").await;
    let run = api.run(deployment, 1).await;
    let finding = api.sighting(deployment, run, "store-1/a", Outcome::Critical).await.to_string();
    let unknown = api.deployment("other").await.to_string();
    let on = json!({ "findingId": finding });
    let acknowledge = with(&on, json!({ "comment": "mine" }));
    accepted(&api, "acknowledgeFinding", acknowledge.clone()).await;
    refused(&api, "acknowledgeFinding", acknowledge, "finding_already_acknowledged").await;
    refused(&api, "acknowledgeFinding", json!({ "findingId": unknown, "comment": "x" }), "finding_unknown").await;

    refused(&api, "unmuteFinding", on.clone(), "finding_not_muted").await;
    let until = (chrono::Utc::now() + chrono::TimeDelta::days(2)).to_rfc3339();
    let mute = with(&on, json!({ "until": until, "reason": "known", "idempotencyKey": "m" }));
    let first = accepted(&api, "muteFinding", mute.clone()).await;
    let again = accepted(&api, "muteFinding", mute).await;
    assert_eq!((&again["position"], &again["repeated"]), (&first["position"], &json!(true)));
    let past = with(&on, json!({ "until": "2001-01-01T00:00:00Z", "reason": "known" }));
    refused(&api, "muteFinding", past, "mute_in_the_past").await;
    accepted(&api, "unmuteFinding", on.clone()).await;

    let why = with(&on, json!({ "reason": "it is meant to be so" }));
    refused(&api, "withdrawFindingFalsePositive", why.clone(), "finding_not_false_positive").await;
    accepted(&api, "markFindingFalsePositive", why.clone()).await;
    refused(&api, "markFindingFalsePositive", why.clone(), "finding_already_false_positive").await;
    let done = accepted(&api, "withdrawFindingFalsePositive", why).await;
    let query = "query($id: ID!, $at: Position) { finding(id: $id, atLeast: $at) { status history(first: 50) \
        { nodes { eventType actor } } } }";
    let found = api.data(query, json!({ "id": finding, "at": done["position"] })).await["finding"].take();
    let types: Vec<&str> = found["history"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["eventType"].as_str().unwrap())
        .collect();
    assert_eq!(types.first().copied(), Some("FindingOpened"));
    assert!(types.contains(&"FindingMuted") && types.contains(&"FindingFalsePositiveWithdrawn"), "{types:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_a_deployment_a_run_or_a_finding_of_another_tenant() {
    let api = Api::start().await;
    let deployment = api.deployment("records").await;
    let run = api.run(deployment, 1).await;
    let finding = api.sighting(deployment, run, "store-1/000/a.docx", Outcome::Critical).await;
    let other = api.beside(TenantId::new("other").unwrap(), api.uncached()).await;
    let mutations = [
        ("requestRun", "RequestRunInput", json!({ "deploymentId": deployment.to_string() })),
        (
            "retireDeployment",
            "RetireDeploymentInput",
            json!({ "deploymentId": deployment.to_string(), "reason": "no" }),
        ),
        ("cancelRun", "CancelRunInput", json!({ "runId": run.to_string(), "reason": "no" })),
        ("acknowledgeFinding", "AcknowledgeFindingInput", json!({ "findingId": finding.to_string() })),
    ];
    for (name, kind, input) in mutations {
        let query = format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ __typename }} }}");
        let variables = json!({ "input": input });
        assert_eq!(other.code(&query, variables.clone()).await, "NOT_FOUND", "{name}");
        // Its owner is not kept from anything.
        let own = api.data(&query, variables).await;
        let accepted = format!("{}{}Accepted", name[..1].to_uppercase(), &name[1..]);
        assert_eq!(own[name]["__typename"], json!(accepted), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_the_results_figures_or_events_of_another_tenant() {
    let api = Api::start().await;
    let deployment = api.deployment("records").await;
    let run = api.run(deployment, 1).await;
    api.result(run, 0, Outcome::Critical).await;
    let finding = api.sighting(deployment, run, "store-1/000/a.docx", Outcome::Critical).await;
    let at = api.head().await.0;
    let seen = "query($at: Position) { runs(first: 1, atLeast: $at) { nodes { id } } }";
    until("the views have caught up", async || {
        api.answer(seen, json!({ "at": at })).await.get("errors").is_none().then_some(())
    })
    .await;
    let other = api.beside(TenantId::new("other").unwrap(), api.uncached()).await;
    let of = |kind: &str, id: &str| {
        format!("{{ history(stream: {{ type: {kind}, id: \"{id}\" }}, first: 5) {{ version }} }}")
    };
    for (query, list) in [
        (format!("{{ checkResults(runId: \"{run}\") {{ nodes {{ checkCode }} }} }}"), "/checkResults/nodes"),
        (
            "{ dailyFigures(filter: { from: \"2000-01-01\", until: \"2999-12-31\" }) { nodes { day } } }".to_owned(),
            "/dailyFigures/nodes",
        ),
        (of("DEPLOYMENT", &deployment.to_string()), "/history"),
        (of("DIAGNOSTIC_RUN", &run.to_string()), "/history"),
        (of("FINDING", &finding.to_string()), "/history"),
    ] {
        let length = |data: &Value| data.pointer(list).and_then(|rows| Some(rows.as_array()?.len()));
        let own = api.data(&query, json!({})).await;
        assert!(length(&own) > Some(0), "{query}: {own}");
        let stranger = other.data(&query, json!({})).await;
        assert_eq!(length(&stranger), Some(0), "{query}: {stranger}");
    }
}
