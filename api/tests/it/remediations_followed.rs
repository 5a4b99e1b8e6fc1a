//! Following remediations: each step as it happens, and every one that comes to rest.

use crate::remediation_life::{Life, found};
use crate::subscriptions::{Stream, heard};
use crate::support::Api;
use domain::Outcome;
use domain::remediation::{Admission, RemediationCommand};
use domain::testing::RESOURCE;
use serde_json::{Value, json};

const PROGRESS: &str = "subscription($id: ID!) { remediationProgress(remediationId: $id) { position eventType status \
    atRest planned done reason steps { name status undoing error } } }";

/// What a stream tells from here to its end.
async fn to_the_end(stream: &mut Stream) -> Vec<Value> {
    let mut told = Vec::new();
    while let Some(mut next) = stream.next().await {
        let progress = next["data"]["remediationProgress"].take();
        assert!(progress.is_object(), "{next:#}");
        told.push(progress);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_from_the_beginning_until_it_rests() {
    let api = Api::start().await;
    let (deployment, finding) = found(&api, "records", RESOURCE).await;
    let life = Life::requested(&api, deployment, finding, RESOURCE).await;
    life.admitted(Admission::Unattended).await;
    let variables = json!({ "id": life.id.to_string() });
    let mut stream = Stream::open(&api, PROGRESS, variables.clone()).await;
    // What was before is told first, event by event.
    let mut told = Vec::new();
    for expected in ["RemediationRequested", "RemediationPlanned", "DryRunRecorded", "RemediationAdmitted"] {
        let progress = stream.next().await.unwrap()["data"]["remediationProgress"].take();
        assert_eq!(progress["eventType"], expected);
        told.push(progress);
    }
    assert_eq!((&told[0]["planned"], &told[1]["planned"]), (&json!(0), &json!(3)));
    assert_eq!(told[3]["status"], "EXECUTABLE");
    life.tell("ben@example.org", RemediationCommand::Execute).await;
    life.executed(Outcome::Ok).await;
    told.extend(to_the_end(&mut stream).await);

    let positions: Vec<_> = told.iter().map(|progress| progress["position"].as_i64().unwrap()).collect();
    assert!(positions.is_sorted_by(|one, next| one < next), "{positions:?}");
    let done: Vec<_> = told
        .iter()
        .filter(|progress| progress["eventType"] == "StepSucceeded")
        .map(|progress| progress["done"].as_i64().unwrap())
        .collect();
    assert_eq!(done, [1, 2, 3]);
    let last = told.last().unwrap();
    assert_eq!(
        (&last["eventType"], &last["status"], &last["atRest"]),
        (&json!("RemediationSucceeded"), &json!("SUCCEEDED"), &json!(true))
    );
    // Whoever comes later is told the same.
    let again = to_the_end(&mut Stream::open(&api, PROGRESS, variables).await).await;
    assert_eq!(again, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_is_not_done() {
    let api = Api::start().await;
    let (deployment, finding) = found(&api, "records", RESOURCE).await;
    let life = Life::requested(&api, deployment, finding, RESOURCE).await;
    life.admitted(Admission::Unattended).await;
    life.tell("ben@example.org", RemediationCommand::Execute).await;
    let mut stream = Stream::open(&api, PROGRESS, json!({ "id": life.id.to_string() })).await;
    life.executed(Outcome::Critical).await;
    life.taken_back("recount").await;
    let told = to_the_end(&mut stream).await;
    let last = told.last().unwrap();
    assert_eq!((&last["status"], &last["done"], &last["planned"]), (&json!("FAILED"), &json!(0), &json!(3)));
    assert!(last["reason"].is_string() && last["steps"][0]["undoing"] == true, "{last:#}");
    let unknown = json!({ "id": deployment.to_string() });
    let told = Stream::open(&api, PROGRESS, unknown).await.next().await.unwrap();
    assert_eq!(told["errors"][0]["extensions"]["code"], "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_that_comes_to_rest_is_told_once() {
    let api = Api::start().await;
    let (north, in_north) = found(&api, "north", RESOURCE).await;
    let (south, in_south) = found(&api, "south", RESOURCE).await;
    let query = "subscription($id: ID) { remediationCompleted(deploymentId: $id) { remediationId deploymentId findingId \
        position status reason } }";
    let mut everywhere = heard(&api, query, json!({})).await;
    let mut in_the_north = heard(&api, query, json!({ "id": north.to_string() })).await;

    let mut expected = Vec::new();
    for (deployment, finding) in [(south, in_south), (north, in_north)] {
        let life = Life::requested(&api, deployment, finding, RESOURCE).await;
        life.admitted(Admission::Unattended).await;
        life.tell("ben@example.org", RemediationCommand::Execute).await;
        life.executed(Outcome::Ok).await;
        life.tell("ben@example.org", RemediationCommand::Undo { reason: "not as meant".to_owned() }).await;
        life.taken_back("changed by somebody else").await;
        life.tell("ben@example.org", RemediationCommand::Release { comment: "put back".to_owned() }).await;
        // Nothing was changed by this one: it is halted and cancelled in one decision.
        let halted = Life::requested(&api, deployment, finding, RESOURCE).await;
        let reason = "it went wrong".to_owned();
        halted.tell("system:remediator", RemediationCommand::Halt { undo: false, reason }).await;
        expected.push((finding, ["SUCCEEDED", "STUCK", "FAILED", "CANCELLED"]));
    }
    let next = async |stream: &mut Stream| {
        let mut told = stream.next().await.unwrap();
        let completed = told["data"]["remediationCompleted"].take();
        assert!(completed["position"].as_i64().is_some_and(|position| position > 0), "{told:#} {completed:#}");
        completed
    };
    for (_, statuses) in &expected {
        for status in statuses {
            let told = next(&mut everywhere).await;
            assert_eq!(told["status"], *status, "{told:#}");
            assert_eq!(told["reason"].is_null(), *status == "SUCCEEDED", "{told:#}");
        }
    }
    let query = "query($id: ID!) { finding(id: $id) { id deployment { id } } }";
    let finding = api.data(query, json!({ "id": in_north.to_string() })).await["finding"].take();
    for status in expected[1].1 {
        let told = next(&mut in_the_north).await;
        assert_eq!((&told["status"], &told["findingId"]), (&json!(status), &finding["id"]));
        assert_eq!(told["deploymentId"], finding["deployment"]["id"]);
    }
}
