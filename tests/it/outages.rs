//! PostgreSQL stops and returns, Redis stops and returns: clear answers meanwhile, nothing acknowledged lost, and the
//! roles recover by themselves.

use acceptance_tests::{Cmdiag, Serving};
use private_servers::testing::test_folder;
use private_servers::{PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const OFFICE: &str = "name = \"Office\"\nproduct_version = \"24.3\"\n[[component]]\nname = \"host\"\nkind = \"host\"\n\
                      settings = { path = \"/\" }\n";

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap()
}

async fn graphql(
    client: &reqwest::Client,
    serving: &Serving,
    query: &str,
    variables: Value,
) -> (u16, Option<String>, Value) {
    let body = json!({ "query": query, "variables": variables });
    let answer = client.post(serving.url("/graphql")).json(&body).send().await.unwrap();
    let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, retry, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

const REQUEST_RUN: &str = "mutation($id: ID!, $key: String!) { requestRun(input: { deploymentId: $id, profile: \"quick\", \
                           idempotencyKey: $key }) { __typename ... on RequestRunAccepted { runId position } \
                           ... on CommandRefused { code message } } }";

async fn ready_again(client: &reqwest::Client, serving: &Serving) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = client.get(serving.url("/ready")).send().await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return;
        }
        assert!(Instant::now() < deadline, "not ready again:\n{}", serving.printed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_stops_and_returns() {
    let folder = test_folder();
    let postgres =
        PrivatePostgres::start(PostgresOptions::new(folder.path().join("pg")).without_fsync()).await.unwrap();
    postgres.ensure_database("cmdiag").await.unwrap();
    let cmdiag = Cmdiag::on_database(folder.path(), &postgres.url("cmdiag"));
    cmdiag.run(&["migrate"]).await.succeeded();
    std::fs::write(folder.path().join("office.toml"), OFFICE).unwrap();
    let added = cmdiag.run(&["deployment", "add", "office.toml", "--format", "json"]).await.succeeded().json();
    let deployment = added["id"].as_str().unwrap().to_owned();
    let serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0"]).await;
    let client = client();
    ready_again(&client, &serving).await;

    let mut accepted = Vec::new();
    for round in 0..6 {
        // Stopped in good order, killed, stopped …
        if round % 2 == 0 {
            postgres.stop().await;
        } else {
            postgres.kill().await.unwrap();
        }
        let variables = json!({ "id": deployment, "key": format!("while-away-{round}") });
        let (status, retry, body) = graphql(&client, &serving, REQUEST_RUN, variables.clone()).await;
        assert_eq!(status, 503, "{body:#}");
        assert!(retry.is_some(), "it says when to come back: {body:#}");
        let ready = client.get(serving.url("/ready")).send().await.unwrap();
        assert_eq!(ready.status(), 503);
        assert!(ready.headers().contains_key("retry-after"));
        postgres.restart().await.unwrap();
        ready_again(&client, &serving).await;
        let (status, _, body) = graphql(&client, &serving, REQUEST_RUN, variables.clone()).await;
        assert_eq!(status, 200, "{body:#}");
        let run = body["data"]["requestRun"]["runId"].as_str().unwrap_or_else(|| panic!("{body:#}")).to_owned();
        // The same key again is the same run: a client that got no answer may repeat itself.
        let (_, _, body) = graphql(&client, &serving, REQUEST_RUN, variables).await;
        assert_eq!(body["data"]["requestRun"]["runId"], run.as_str(), "{body:#}");
        accepted.push(run);
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    for run in accepted {
        loop {
            let query = "query($id: ID!) { run(id: $id) { status done planned } }";
            let (_, _, body) = graphql(&client, &serving, query, json!({ "id": run })).await;
            if body["data"]["run"]["status"] == "COMPLETED" {
                break;
            }
            assert!(Instant::now() < deadline, "run {run}: {body:#}\n{}", serving.printed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(serving.interrupt().await, 0);
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_stops_and_everything_stays_correct() {
    let folder = test_folder();
    let redis_options = RedisOptions { folder: folder.path().join("redis"), settings: Vec::new() };
    let redis = PrivateRedis::start(redis_options).await.unwrap();
    let cmdiag = Cmdiag::embedded(folder.path()).with("CMDIAG_REDIS_URL", redis.url());
    std::fs::write(folder.path().join("office.toml"), OFFICE).unwrap();
    let serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0"]).await;
    let client = client();
    ready_again(&client, &serving).await;
    let added = cmdiag.run(&["deployment", "add", "office.toml", "--format", "json"]).await.succeeded().json();
    let deployment = added["id"].as_str().unwrap().to_owned();

    for round in 0..6 {
        match round % 3 {
            0 => {}
            1 => redis.stop().await,
            _ => redis.restart().await.unwrap(),
        }
        let key = format!("round-{round}");
        let (_, _, body) = graphql(&client, &serving, REQUEST_RUN, json!({ "id": deployment, "key": key })).await;
        let answer = &body["data"]["requestRun"];
        let (run, position) = (answer["runId"].clone(), answer["position"].clone());
        assert!(run.is_string(), "{body:#}");
        // Read your writes, whatever the cache does.
        let query = "query($id: ID!, $at: Position) { run(id: $id, atLeast: $at) { id profile } }";
        let (_, _, body) = graphql(&client, &serving, query, json!({ "id": run, "at": position })).await;
        assert_eq!(body["data"]["run"]["profile"], "quick", "{body:#}");
    }
    assert_eq!(serving.interrupt().await, 0);
    redis.stop().await;
}
