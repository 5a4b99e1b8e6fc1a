//! Policies and the emergency stop: each change accepted or refused as data, and what is read back.

use crate::support::Api;
use domain::policy::{AdmissionRequest, Policy, PolicyCommand, Settlement};
use domain::remediation::{BlastRadius, Trigger};
use domain::testing::{CHECK, DEPLOYMENT, REMEDIATION, RESOURCE, check, content_hash};
use domain::{Outcome, PolicyId, TenantId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

async fn mutate(api: &Api, name: &str, input: Value) -> Value {
    let kind = match name {
        "retirePolicy" => "RetirePolicyInput",
        "engageEmergencyStop" => "EngageEmergencyStopInput",
        "releaseEmergencyStop" => "ReleaseEmergencyStopInput",
        _ => "PolicyInput",
    };
    let query = format!(
        "mutation($input: {kind}!) {{ {name}(input: $input) {{ __typename \
         ... on ChangeAccepted {{ position version repeated }} ... on CommandRefused {{ code message }} }} }}"
    );
    let answer = api.answer(&query, json!({ "input": input })).await;
    match answer["errors"][0]["extensions"]["code"].as_str() {
        Some(code) => json!({ "error": code, "message": answer["errors"][0]["message"] }),
        None => answer["data"][name].clone(),
    }
}

/// Accepted; gives the position.
async fn accepted(api: &Api, name: &str, input: Value) -> i64 {
    let payload = mutate(api, name, input).await;
    payload["position"].as_i64().unwrap_or_else(|| panic!("{name}: {payload:#}"))
}

async fn refused(api: &Api, name: &str, input: Value, code: &str) {
    let payload = mutate(api, name, input).await;
    assert_eq!((&payload["__typename"], &payload["code"]), (&json!("CommandRefused"), &json!(code)), "{name}");
}

/// One rule for everything.
fn definition(people: u8) -> Value {
    json!({ "rules": [{ "name": "all", "mode": { "approval": { "people": people } } }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_defined_revised_and_retired() {
    let api = Api::start().await;
    let named = |name: &str, people: u8| json!({ "name": name, "definition": definition(people), "reason": "agreed" });
    refused(&api, "revisePolicy", named("office", 1), "policy_not_defined").await;
    refused(&api, "retirePolicy", json!({ "name": "office", "reason": "gone" }), "policy_not_defined").await;
    refused(&api, "definePolicy", named("office", 9), "policy_out_of_bounds").await;
    accepted(&api, "definePolicy", named("office", 1)).await;
    refused(&api, "definePolicy", named("office", 2), "policy_already_defined").await;
    let unexplained = json!({ "name": "office", "definition": definition(2) });
    refused(&api, "revisePolicy", unexplained, "text_empty").await;
    let at = accepted(&api, "revisePolicy", named("office", 2)).await;
    for (name, input) in [
        ("definePolicy", json!({ "name": "other", "definition": { "rulez": [] } })),
        ("definePolicy", json!({ "name": "", "definition": definition(1) })),
    ] {
        let answer = mutate(&api, name, input).await;
        assert_eq!(answer["error"], "BAD_USER_INPUT", "{answer:#}");
    }
    let query = "query($at: Position) { policies(atLeast: $at) { name definition revision changedBy } }";
    let policies = api.data(query, json!({ "at": at })).await["policies"].take();
    assert_eq!(policies.as_array().unwrap().len(), 1, "{policies:#}");
    let policy = &policies[0];
    assert_eq!((&policy["name"], &policy["revision"]), (&json!("office"), &json!(2)));
    assert_eq!(policy["changedBy"], "anonymous:local");
    assert_eq!(policy["definition"]["rules"], definition(2)["rules"]);

    refused(&api, "retirePolicy", json!({ "name": "office", "reason": "" }), "text_empty").await;
    let at = accepted(&api, "retirePolicy", json!({ "name": "office", "reason": "the built-in one will do" })).await;
    let policies = api.data(query, json!({ "at": at })).await["policies"].take();
    assert_eq!((&policies[0]["definition"], &policies[0]["revision"]), (&Value::Null, &json!(0)));
    let other = api.beside(TenantId::new("other").unwrap(), api.uncached()).await;
    assert_eq!(other.data("{ policies { name } }", json!({})).await, json!({ "policies": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_holds_and_has_learned_is_read() {
    let api = Api::start().await;
    let policy: domain::PolicyName = "default".parse().unwrap();
    let id = PolicyId::of(&TenantId::default(), &policy).0;
    let request = AdmissionRequest {
        policy,
        remediation: REMEDIATION,
        binding: content_hash("sample"),
        deployment: DEPLOYMENT,
        deployment_name: "records".to_owned(),
        labels: BTreeMap::new(),
        check: check(CHECK),
        check_version: "0123456789ab".to_owned(),
        runbook: "restore-missing-file".parse().unwrap(),
        runbook_version: "ba9876543210".to_owned(),
        actions: vec![("store.restore-file".parse().unwrap(), 1)],
        severity: Outcome::Critical,
        resource: RESOURCE.parse().unwrap(),
        blast: BlastRadius { documents: 1, ..BlastRadius::default() },
        reversible: true,
        always_approve: false,
        flapping: false,
        trigger: Trigger::Person,
    };
    api.send::<Policy>(id, PolicyCommand::Admit { request: Box::new(request) }).await;
    api.projected().await;
    let query = "{ policy(name: \"default\") { name revision definition reservations openBreakers statistics { runbook \
        checkCode successes failures automatic lowerBound reason } } }";
    let other = "{ policy(name: \"other\") { name } }";
    assert_eq!(api.data(other, json!({})).await, json!({ "policy": null }));
    let held = api.data(query, json!({})).await["policy"].take();
    assert_eq!(held["reservations"][REMEDIATION.to_string()]["blast"]["documents"], 1, "{held:#}");
    assert_eq!(
        (&held["name"], &held["definition"], &held["statistics"]),
        (&json!("default"), &Value::Null, &json!([]))
    );
    let settle = PolicyCommand::Settle {
        remediation: REMEDIATION,
        outcome: Settlement::Succeeded,
        attributable: true,
        failed_actions: Vec::new(),
    };
    api.send::<Policy>(id, settle).await;
    api.projected().await;
    let learned = api.data(query, json!({})).await["policy"].take();
    assert_eq!((&learned["reservations"], &learned["openBreakers"]), (&json!({}), &json!({})));
    let expected = json!([{ "runbook": "restore-missing-file", "checkCode": CHECK, "successes": 1, "failures": 0,
        "automatic": null, "lowerBound": null, "reason": null }]);
    assert_eq!(learned["statistics"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emergency_stop_is_engaged_and_released() {
    let api = Api::start().await;
    let query = "query($at: Position) { emergencyStop(atLeast: $at) { engaged undo reason changedBy } }";
    let never = api.data(query, json!({})).await["emergencyStop"].take();
    assert_eq!(never, json!({ "engaged": false, "undo": false, "reason": null, "changedBy": null }));
    refused(&api, "releaseEmergencyStop", json!({ "reason": "put right" }), "emergency_stop_not_engaged").await;
    refused(&api, "engageEmergencyStop", json!({ "reason": "" }), "text_empty").await;
    let engage = json!({ "reason": "it went wrong", "undo": true, "idempotencyKey": "k" });
    let at = accepted(&api, "engageEmergencyStop", engage.clone()).await;
    let again = mutate(&api, "engageEmergencyStop", engage).await;
    assert_eq!((&again["position"], &again["repeated"]), (&json!(at), &json!(true)));
    let engaged = api.data(query, json!({ "at": at })).await["emergencyStop"].take();
    let expected = json!({ "engaged": true, "undo": true, "reason": "it went wrong", "changedBy": "anonymous:local" });
    assert_eq!(engaged, expected);
    let other = api.beside(TenantId::new("other").unwrap(), api.uncached()).await;
    assert_eq!(other.data(query, json!({})).await["emergencyStop"]["engaged"], json!(false));
    let at = accepted(&api, "releaseEmergencyStop", json!({ "reason": "put right" })).await;
    let released = api.data(query, json!({ "at": at })).await["emergencyStop"].take();
    assert_eq!((&released["engaged"], &released["reason"]), (&json!(false), &json!("put right")));
}
