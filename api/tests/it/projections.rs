//! How far the views are, and passing over an event.

use crate::support::Api;
use api::{ApiOptions, ApiToken};
use domain::projection_control::ProjectionControl;
use serde_json::{Value, json};
use sqlx::Executor;

const SKIP: &str = "mutation($input: SkipPoisonEventInput!) { skipPoisonEvent(input: $input) { __typename \
    ... on SkipAccepted { position version repeated } ... on CommandRefused { code message } } }";

fn skip(position: i64, reason: &str, key: Option<&str>) -> Value {
    let position = position.to_string();
    json!({ "input": { "projection": "runs", "position": position, "reason": reason, "idempotencyKey": key } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_is_shown_and_passed_over_by_a_recorded_decision() {
    let database = private_servers::testing::TestDatabase::migrated().await;
    let pool = database.pool().await;
    let api = Api::without_projections(database).await;
    pool.execute(
        "INSERT INTO cmdiag.projection_checkpoints (name, version, position, failed_position, failure) \
         VALUES ('runs', 1, 6, 7, 'it does not decode') ON CONFLICT (name) DO UPDATE SET position = 6, \
         failed_position = 7, failure = 'it does not decode'",
    )
    .await
    .unwrap();
    let shown = api.data("{ projections { name position failedPosition failure } }", json!({})).await;
    let runs = shown["projections"].as_array().unwrap().iter().find(|one| one["name"] == "runs").cloned().unwrap();
    assert_eq!(runs["failure"], "it does not decode");
    let fields = |answer: &Value| answer["data"]["skipPoisonEvent"].clone();
    assert_eq!(api.code(SKIP, skip(8, "a slip", None)).await, "NOT_FOUND");
    assert_eq!(api.code(SKIP, skip(8, "a slip", Some("a key helps nobody"))).await, "NOT_FOUND");
    let silent = fields(&api.answer(SKIP, skip(7, " ", None)).await);
    assert_eq!((&silent["__typename"], &silent["code"]), (&json!("CommandRefused"), &json!("text_empty")));
    let done = fields(&api.answer(SKIP, skip(7, "written twice", Some("once"))).await);
    assert_eq!((&done["__typename"], &done["repeated"]), (&json!("SkipAccepted"), &json!(false)), "{done:#}");
    // The projection went on; the same request is the same decision.
    pool.execute("UPDATE cmdiag.projection_checkpoints SET failed_position = NULL, failure = NULL").await.unwrap();
    let again = fields(&api.answer(SKIP, skip(7, "written twice", Some("once"))).await);
    assert_eq!((&again["position"], &again["repeated"]), (&done["position"], &json!(true)), "{again:#}");
    let (payload, actor): (String, String) = sqlx::query_as(
        "SELECT payload::text, metadata::jsonb->>'actor' FROM cmdiag.events WHERE aggregate_type = 'ProjectionControl' \
         AND aggregate_id = $1",
    )
    .bind(ProjectionControl::of("runs").to_string())
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(payload.contains("written twice") && payload.contains("it does not decode"), "{payload}");
    assert_eq!(actor, "anonymous:local");
}

#[test]
fn only_an_operator_decides() {
    let token = |name: &str| ApiToken::new("a secret of theirs", name.parse().unwrap());
    let options = ApiOptions { tokens: vec![token("ada"), token("ops").operating(true)], ..ApiOptions::default() };
    let may = |name: &str| api::auth::is_operator(&options, &name.parse().unwrap());
    assert_eq!((may("ada"), may("ops"), may("nobody")), (false, true, false));
    assert!(api::auth::is_operator(&ApiOptions::default(), &"anonymous:local".parse().unwrap()));
}
