//! The database stops and returns: clear refusals meanwhile, nothing to restart afterwards.

use crate::support::{Api, until};
use api::ApiOptions;
use private_servers::testing::test_folder;
use private_servers::{PostgresOptions, PrivatePostgres};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_api_says_503_and_recovers() {
    let folder = test_folder();
    let postgres = PrivatePostgres::start(PostgresOptions::new(folder.path()).without_fsync()).await.unwrap();
    let url = postgres.url("postgres");
    migrations::migrate(&url).await.unwrap();
    let api = Api::on(&url, ApiOptions::default(), None).await;
    let register = json!({ "query": "mutation { registerDeployment(input: { name: \"records\", \
        productVersion: \"10.1\", idempotencyKey: \"once\" }) { ... on RegisterDeploymentAccepted { position repeated } } }" });
    let read = json!({ "query": "{ deployments { nodes { name } } }" });
    let post = |body: &Value| api.http.post(api.url("/graphql")).json(body);
    let kept = json!({ "query": "{ deployments(first: 7) { nodes { name } } }" });
    // It is kept once the views and the feed are known to have come as far as the log: that may take a moment.
    until("the answer is kept", async || {
        assert_eq!(post(&kept).send().await.unwrap().status(), 200);
        let metrics = api.http.get(api.url("/metrics")).send().await.unwrap().text().await.unwrap();
        let hits = metrics.lines().find_map(|line| line.strip_prefix("cmdiag_answers_asked_total{result=\"hit\"} "));
        (hits.unwrap().parse::<f64>().unwrap() > 0.0).then_some(())
    })
    .await;

    postgres.stop().await;
    for body in [&read, &register] {
        let answer = post(body).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(status, 503, "{answer:#}");
        assert!(headers.contains_key("retry-after"));
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{answer:#}");
    }
    // What was asked before is kept, and stays true: without its log nobody can write.
    until("the kept answer is given", async || (post(&kept).send().await.unwrap().status() == 200).then_some(())).await;
    // The answer of a moment ago is still good for half a second.
    let ready = until("it is not ready", async || {
        let answer = api.http.get(api.url("/ready")).send().await.unwrap();
        (answer.status() == 503).then_some(answer)
    })
    .await;
    assert!(ready.headers().contains_key("retry-after"));
    assert_eq!(ready.headers()["content-type"], "application/problem+json");
    let health = api.http.get(api.url("/health")).send().await.unwrap();
    assert_eq!(health.status(), 503);
    let health: Value = health.json().await.unwrap();
    assert_eq!(health["checks"]["database:responseTime"][0]["status"], "fail", "{health:#}");

    postgres.restart().await.unwrap();
    until("it is ready again", async || {
        (api.http.get(api.url("/ready")).send().await.unwrap().status() == 200).then_some(())
    })
    .await;
    // What got no answer is repeated with its key: once in all.
    let written = until("the write succeeds", async || {
        let answer: Value = post(&register).send().await.unwrap().json().await.unwrap();
        answer["data"]["registerDeployment"]["position"].as_i64()
    })
    .await;
    let query = json!({ "query": "query($at: Position) { deployments(atLeast: $at) { nodes { name } } }",
        "variables": { "at": written } });
    let names = until("the view follows", async || {
        let answer: Value = post(&query).send().await.unwrap().json().await.unwrap();
        answer.get("errors").is_none().then(|| answer["data"]["deployments"]["nodes"].clone())
    })
    .await;
    assert_eq!(names, json!([{ "name": "records" }]));
    drop(api);
    postgres.stop().await;
}
