//! Two people act, one is erased: the API shows a tombstone for the one and the name of the other, from kept answers,
//! from the views, from the history, and after a replay into fresh views; the name stood in no table at any time, and
//! not a byte of what was recorded has changed.

use crate::support::{Api, until};
use api::{ApiOptions, ApiToken};
use domain::{Actor, Outcome, SubjectId, TenantId};
use private_servers::testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::PgPool;

const MARA: &str = "mara.lindqvist@example.org";
const BEN: &str = "ben.okafor@example.org";

const EVERYTHING: &str = "query($finding: ID!, $deployment: ID!) {
    runs(first: 10) { nodes { requestedBy } }
    finding(id: $finding) { acknowledgedBy history(first: 20) { nodes { eventType actor detail } } }
    deployment(id: $deployment) { name } }";
const HISTORY: &str = "query($id: ID!) { history(stream: { type: FINDING, id: $id }) { type actor data } }";

fn options() -> ApiOptions {
    let token = |secret: &str, name: &str| ApiToken::new(secret, Actor::new(name).unwrap());
    ApiOptions {
        tokens: vec![token("the-secret-of-mara", MARA), token("the-secret-of-ben", BEN)],
        ..ApiOptions::default()
    }
}

/// What somebody is answered, as text.
async fn asked(api: &Api, secret: &str, query: &str, variables: &Value) -> String {
    let body = json!({ "query": query, "variables": variables });
    let request = api.http.post(api.url("/graphql")).json(&body).bearer_auth(secret);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(!text.contains("\"errors\""), "{text}");
    text
}

/// The same over server-sent events.
async fn streamed(api: &Api, query: &str, variables: &Value) -> String {
    let body = json!({ "query": query, "variables": variables });
    let request = api.http.post(api.url("/graphql/stream")).json(&body).bearer_auth("the-secret-of-ben");
    request.send().await.unwrap().text().await.unwrap()
}

/// Which tables hold a text, anywhere in a row.
async fn tables_with(pool: &PgPool, text: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = 'cmdiag'::regnamespace AND c.relkind = 'r'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 15, "these are all of them: {tables:?}");
    let mut holding = Vec::new();
    for table in tables {
        let sql = format!("SELECT EXISTS (SELECT FROM cmdiag.{table} AS t WHERE t::text ILIKE '%' || $1 || '%')");
        if sqlx::query_scalar::<_, bool>(&sql).bind(text).fetch_one(pool).await.unwrap() {
            holding.push(table);
        }
    }
    holding
}

async fn stored(pool: &PgPool) -> Vec<(i64, String, String)> {
    let rows = sqlx::query_as("SELECT position, payload::text, metadata::text FROM cmdiag.events ORDER BY position");
    rows.fetch_all(pool).await.unwrap()
}

/// Both have asked for a run; Mara has taken a finding on.
async fn acted(api: &Api) -> (Value, Value) {
    let deployment = api.deployment("records").await;
    let run = api.run(deployment, 1).await;
    let finding = api.sighting(deployment, run, "store-1/a", Outcome::Critical).await;
    let request = "mutation($input: RequestRunInput!) { requestRun(input: $input) { __typename } }";
    for secret in ["the-secret-of-mara", "the-secret-of-ben"] {
        asked(api, secret, request, &json!({ "input": { "deploymentId": deployment } })).await;
    }
    let take_on = "mutation($input: AcknowledgeFindingInput!) { acknowledgeFinding(input: $input) { __typename } }";
    asked(api, "the-secret-of-mara", take_on, &json!({ "input": { "findingId": finding, "comment": "mine" } })).await;
    api.projected().await;
    (json!({ "finding": finding, "deployment": deployment }), json!({ "id": finding }))
}

fn shows(text: &str, who: &str) {
    assert!(text.contains(who), "{who}: {text}");
}

async fn erased(api: &Api, pool: &PgPool) -> SubjectId {
    let tenant = TenantId::default();
    let subject = api.bus.vault().find(&tenant, MARA).await.unwrap().unwrap();
    let done = command_side::erase(&api.bus, pool, subject, "left the house".to_owned(), Api::metadata()).await;
    done.unwrap().unwrap();
    subject
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_is_erased_everywhere() {
    let database = TestDatabase::migrated().await;
    let api = Api::sealed(database.url(), options()).await;
    let pool = database.pool().await;
    let (about, history) = acted(&api).await;
    for _ in 0..2 {
        // The second time from what is kept.
        let everything = asked(&api, "the-secret-of-ben", EVERYTHING, &about).await;
        shows(&everything, BEN);
        shows(&everything, &format!("\"acknowledgedBy\":\"{MARA}\""));
        assert!(!everything.contains("sealed:"), "{everything}");
    }
    shows(&asked(&api, "the-secret-of-ben", HISTORY, &history).await, MARA);
    shows(&streamed(&api, EVERYTHING, &about).await, MARA);
    assert_eq!(tables_with(&pool, "lindqvist").await, Vec::<String>::new(), "the name is written nowhere at all");
    let before = stored(&pool).await;

    let subject = erased(&api, &pool).await;
    let tombstone = format!("erased:{subject}");
    api.projected().await;
    for text in [
        asked(&api, "the-secret-of-ben", EVERYTHING, &about).await,
        asked(&api, "the-secret-of-ben", HISTORY, &history).await,
        streamed(&api, EVERYTHING, &about).await,
    ] {
        assert!(!text.contains("lindqvist") && !text.contains("sealed:"), "{text}");
        shows(&text, &tombstone);
    }
    shows(&asked(&api, "the-secret-of-ben", EVERYTHING, &about).await, BEN);
    assert_eq!(stored(&pool).await[..before.len()], before[..], "not a byte of what was recorded has changed");

    // Another process, with views that are filled anew from the first event on.
    api.go_away();
    replayed_anew(&pool).await;
    let fresh = Api::sealed(database.url(), options()).await;
    fresh.projected().await;
    let everything = asked(&fresh, "the-secret-of-ben", EVERYTHING, &about).await;
    shows(&everything, &tombstone);
    shows(&everything, BEN);
    assert!(!everything.contains("lindqvist"), "{everything}");
    assert_eq!(tables_with(&pool, "lindqvist").await, Vec::<String>::new());
}

/// Empties the views, once nobody fills them any more.
async fn replayed_anew(pool: &PgPool) {
    until("nobody fills the views", async || {
        let held: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
             (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        (held == 0).then_some(())
    })
    .await;
    let views: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relnamespace = 'cmdiag'::regnamespace \
         AND c.relkind = 'r' AND c.relname LIKE 'view\\_%'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    sqlx::query(&format!("TRUNCATE {}", views.join(", "))).execute(pool).await.unwrap();
    sqlx::query("DELETE FROM cmdiag.projection_checkpoints").execute(pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_erased_may_come_back_as_somebody_new() {
    let database = TestDatabase::migrated().await;
    let api = Api::sealed(database.url(), options()).await;
    let pool = database.pool().await;
    let (about, _) = acted(&api).await;
    let subject = erased(&api, &pool).await;
    let request = "mutation($input: RequestRunInput!) { requestRun(input: $input) { __typename } }";
    let input = json!({ "input": { "deploymentId": about["deployment"] } });
    asked(&api, "the-secret-of-mara", request, &input).await;
    api.projected().await;
    let text = asked(&api, "the-secret-of-ben", EVERYTHING, &about).await;
    shows(&text, &format!("\"requestedBy\":\"erased:{subject}\""));
    shows(&text, &format!("\"requestedBy\":\"{MARA}\""));
    shows(&text, &format!("\"acknowledgedBy\":\"erased:{subject}\""));
}
