//! What HTTP says: methods, headers, tokens, origins, health, metrics.

use crate::support::{Api, until};
use api::{ApiOptions, ApiToken};
use domain::Actor;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn statuses_and_headers_say_what_was_wrong() {
    let api = Api::start().await;
    let url = api.url("/graphql");
    let get = |query: &str| api.http.get(reqwest::Url::parse_with_params(&url, &[("query", query)]).unwrap());
    let post = |body: &'static str, kind: &'static str| api.http.post(&url).header("content-type", kind).body(body);
    let json_body = "application/json";
    let cases = [
        (get("{platform{ready}}"), 200, ""),
        (get("mutation{cancelRun(input:{runId:\"x\",reason:\"y\"}){__typename}}"), 405, "OPERATION_NOT_ALLOWED"),
        (post("{\"query\":\"subscription{events{position}}\"}", json_body), 405, "OPERATION_NOT_ALLOWED"),
        (post("{\"query\":\"{platform{ready}}\"}", "text/plain"), 415, "BAD_REQUEST"),
        (post("[{\"query\":\"{platform{ready}}\"}]", json_body), 400, "BATCHING_REFUSED"),
        (get("{platform{ready}}").header("accept", "text/html"), 406, "NOT_ACCEPTABLE"),
        (get("{").header("accept", "application/graphql-response+json"), 400, "GRAPHQL_PARSE_FAILED"),
        (get("{nothing}").header("accept", "application/graphql-response+json"), 400, "GRAPHQL_VALIDATION_FAILED"),
        (api.http.put(&url), 405, ""),
        (api.http.get(api.url("/nothing")), 404, "NOT_FOUND"),
    ];
    for (request, status, code) in cases {
        let answer = request.send().await.unwrap();
        let told = answer.status().as_u16();
        let headers = answer.headers().clone();
        let text = answer.text().await.unwrap();
        assert_eq!(told, status, "{text}");
        assert!(text.contains(code), "{code}: {text}");
        assert!(headers.contains_key("x-request-id"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
        if status == 405 {
            assert!(headers.contains_key("allow"), "{text}");
        }
    }
    let answer = get("{platform{ready}}").header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn persisted_documents_are_known_by_their_hash() {
    let api = Api::start().await;
    let hash = sha256("something else");
    let ask = async |body: Value| -> Value {
        api.http.post(api.url("/graphql")).json(&body).send().await.unwrap().json().await.unwrap()
    };
    let by_hash = |hash: &str| json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": hash } } });
    let unknown = ask(by_hash(&hash)).await;
    assert_eq!(unknown["errors"][0]["message"], "PersistedQueryNotFound");
    assert_eq!(unknown["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
    let mut wrong = by_hash(&hash);
    wrong["query"] = json!("{__typename}");
    assert_eq!(ask(wrong).await["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_MISMATCH");
    let text = "{__typename}";
    let hash = sha256(text);
    let mut full = by_hash(&hash);
    full["query"] = json!(text);
    assert_eq!(ask(full).await["data"]["__typename"], "Query");
    assert_eq!(ask(by_hash(&hash)).await["data"]["__typename"], "Query");
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_name_the_actor_and_strangers_are_turned_away() {
    let token = ApiToken::new("a-long-enough-secret", Actor::new("ada").unwrap());
    let options =
        ApiOptions { tokens: vec![token], allowed_hosts: vec!["127.0.0.1".to_owned()], ..ApiOptions::default() };
    let api = Api::with(options).await;
    let register = json!({ "query": "mutation { registerDeployment(input: { name: \"a\", productVersion: \"10.1\" }) \
        { ... on RegisterDeploymentAccepted { deploymentId deployment { name } } } }" });
    let post = || api.http.post(api.url("/graphql")).json(&register);
    let answer = post().send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    let answer =
        post().bearer_auth("a-long-enough-secret").header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let answer = post().bearer_auth("a-long-enough-secret").header("host", "evil.example").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let answer = post().bearer_auth("a-long-enough-secret").send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    let id = &body["data"]["registerDeployment"]["deploymentId"];
    let history = json!({ "query": "query($id: ID!) { history(stream: { type: DEPLOYMENT, id: $id }) { type actor } }",
        "variables": { "id": id } });
    let request = api.http.post(api.url("/graphql")).json(&history).bearer_auth("a-long-enough-secret");
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(body["data"]["history"], json!([{ "type": "DeploymentRegistered", "actor": "ada" }]), "{body:#}");
    // Strangers learn whether it works, not how.
    let health: Value = api.http.get(api.url("/health")).send().await.unwrap().json().await.unwrap();
    assert!(health["status"].is_string() && health.get("checks").is_none(), "{health:#}");
    let stream = api.http.get(api.url("/graphql/stream?query={platform{ready}}")).send().await.unwrap();
    assert_eq!(stream.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics_are_told() {
    let api = Api::start().await;
    until("the views have begun", async || {
        (api.http.get(api.url("/ready")).send().await.unwrap().status() == 200).then_some(())
    })
    .await;
    let answer = api.http.get(api.url("/health")).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/health+json");
    let health: Value = answer.json().await.unwrap();
    assert_eq!(health["status"], "pass");
    assert_eq!(health["checks"]["database:responseTime"][0]["status"], "pass");
    assert_eq!(health["checks"]["projections:begun"][0]["status"], "pass");

    api.data("{ platform { status ready version checks { component status } } }", json!({})).await;
    api.deployment("metrics").await;
    let register = "mutation { registerDeployment(input: { name: \"\", productVersion: \"10.1\" }) { __typename } }";
    api.data(register, json!({})).await;
    let metrics = until("the metrics count", async || {
        let text = api.http.get(api.url("/metrics")).send().await.unwrap().text().await.unwrap();
        text.contains("cmdiag_http_request_seconds_count{route=\"/graphql\"").then_some(text)
    })
    .await;
    for line in [
        "cmdiag_graphql_operations_total{kind=\"query\",outcome=\"ok\"} 1",
        "cmdiag_graphql_operations_total{kind=\"mutation\",outcome=\"ok\"} 1",
        "cmdiag_commands_total{command=\"register_deployment\",outcome=\"refused\"} 1",
        "cmdiag_http_request_seconds_bucket{le=",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_limit_are_turned_away_at_once() {
    let api = Api::with(ApiOptions { concurrency: 0, ..ApiOptions::default() }).await;
    let request = api.http.post(api.url("/graphql")).json(&json!({ "query": "{platform{ready}}" }));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(answer.text().await.unwrap().contains("OVERLOADED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_told_so() {
    let timeout = std::time::Duration::from_millis(200);
    let api = Api::with(ApiOptions { request_timeout: timeout, ..ApiOptions::default() }).await;
    let body = json!({ "query": "{ runs(atLeast: 1000) { pageInfo { hasNextPage } } }" });
    let answer = api.http.post(api.url("/graphql")).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 504);
    assert!(answer.text().await.unwrap().contains("\"TIMEOUT\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_carries_its_trace_to_the_event() {
    let api = Api::start().await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = json!({ "query": "mutation { registerDeployment(input: { name: \"traced\", productVersion: \"10.1\" }) \
        { ... on RegisterDeploymentAccepted { position } } }" });
    let request = api.http.post(api.url("/graphql")).header("traceparent", traceparent).json(&body);
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    let position = body["data"]["registerDeployment"]["position"].as_i64().unwrap();
    let event = api.log.read_all(domain::Position(position - 1), 1).await.unwrap().remove(0);
    assert_eq!(event.metadata.traceparent.as_deref(), Some(traceparent));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_browsers_is_an_option() {
    let api = Api::start().await;
    let page = |api: &Api| api.http.get(api.url("/graphql")).header("accept", "text/html").send();
    assert_eq!(page(&api).await.unwrap().status(), 406);
    let api = Api::with(ApiOptions { graphiql: true, ..ApiOptions::default() }).await;
    let answer = page(&api).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("GraphiQL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_views_have_begun_it_is_not_ready() {
    let database = private_servers::testing::TestDatabase::migrated().await;
    let api = Api::without_projections(database).await;
    let answer = api.http.get(api.url("/ready")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(answer.text().await.unwrap().contains("projections"));
}
