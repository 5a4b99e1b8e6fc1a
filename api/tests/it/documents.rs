//! Hostile documents are refused at once, with a code that says what is wrong, and cost next to nothing.

use crate::support::Api;
use api::ApiOptions;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

fn repeated(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = write!(text, "{}", one(n));
        text
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_documents_are_refused_fast() {
    let api = Api::start().await;
    // A first request, so that no case pays for what is set up lazily.
    api.data("{ __typename }", json!({})).await;
    let nested = format!("{{{}a{}", "node(id:\"x\"){id ".repeat(2_500), "}".repeat(2_501));
    let unclosed = "{a".repeat(30_000);
    let lists = format!("{{check(code:{}\"\"{}){{code}}}}", "[".repeat(20_000), "]".repeat(20_000));
    let recursive =
        format!("{{runs{{nodes{{deployment{{{}id{}}}}}}}}}", "lastRun{deployment{".repeat(8), "}}".repeat(8));
    let wide = format!("{{platform{{{}}}}}", "ready ".repeat(700));
    let aliases = format!("{{{}}}", repeated(900, |n| format!("a{n}:platform{{ready}}")));
    let few_aliases = format!("{{platform{{{}}}}}", repeated(60, |n| format!("a{n}:ready ")));
    let roots = format!("{{{}}}", "__typename ".repeat(30));
    let doubling = format!(
        "{{...f0}}{}fragment f25 on Query{{__typename}}",
        repeated(25, |n| format!("fragment f{n} on Query{{...f{m} ...f{m}}}", m = n + 1))
    );
    let cycle = "{...a}fragment a on Query{...b}fragment b on Query{...a}".to_owned();
    let directives = format!("{{platform{{ready {}}}}}", "@include(if:true)".repeat(60));
    let complex =
        "{deployments(first:500){nodes{runs(first:500){nodes{results(first:200){nodes{summary}}}}}}}".to_owned();
    let over = "DOCUMENT_OVER_LIMIT";
    let invalid = "GRAPHQL_VALIDATION_FAILED";
    let cases: [(&str, String, &str); 13] = [
        ("nested", nested, over),
        ("unclosed", unclosed, over),
        ("lists", lists, over),
        ("recursive", recursive, over),
        ("wide", wide, over),
        ("aliases", aliases, over),
        ("few aliases", few_aliases, over),
        ("roots", roots, over),
        ("doubling", doubling, over),
        ("cycle", cycle, invalid),
        ("directives", directives, over),
        ("complex", complex, over),
        ("two roots", "subscription{events{position} systemHealthChanged{__typename}}".to_owned(), invalid),
    ];
    for (name, query, code) in cases {
        let started = Instant::now();
        let answer = api.answer(&query, json!({})).await;
        let took = started.elapsed();
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{name}: {answer:#}");
        assert!(answer.get("data").is_none(), "{name}");
        assert!(took < Duration::from_millis(500), "{name} took {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_body_is_not_read() {
    let api = Api::start().await;
    let body = json!({ "query": "{__typename}", "variables": { "a": "x".repeat(10 << 20) } }).to_string();
    let request = api.http.post(api.url("/graphql")).header("content-type", "application/json").body(body);
    // The server may close while we still send: both ends of that are a refusal.
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), 413);
        assert!(answer.text().await.unwrap().contains("BODY_TOO_LARGE"));
    }
    let body = json!({ "query": "{__typename}", "variables": { "a": "x".repeat(70_000) } }).to_string();
    let request = api.http.post(api.url("/graphql")).header("content-type", "application/json").body(body);
    assert_eq!(request.send().await.unwrap().status(), 413);
    let deep = format!(
        "{{\"query\":\"{{__typename}}\",\"variables\":{{\"a\":{}{}}}}}",
        "[".repeat(30_000),
        "]".repeat(30_000)
    );
    let request = api.http.post(api.url("/graphql")).header("content-type", "application/json").body(deep);
    assert_eq!(request.send().await.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_for_what_is_merely_wrong() {
    let api = Api::start().await;
    let cases = [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ run(id: \"x\") { id } }", "BAD_USER_INPUT"),
        ("{ runs(first: 0) { nodes { id } } }", "BAD_USER_INPUT"),
        ("{ runs(first: 501) { nodes { id } } }", "DOCUMENT_OVER_LIMIT BAD_USER_INPUT"),
        ("{ runs(after: \"nonsense\") { nodes { id } } }", "BAD_USER_INPUT"),
        ("{ runs(atLeast: -1) { nodes { id } } }", "GRAPHQL_VALIDATION_FAILED BAD_USER_INPUT"),
        ("{ history(stream: {type: FINDING, id: \"x\"}) { type } }", "BAD_USER_INPUT"),
        ("query a { __typename } query b { __typename }", "GRAPHQL_VALIDATION_FAILED"),
    ];
    for (query, code) in cases {
        let told = api.code(query, json!({})).await;
        assert!(code.split(' ').any(|code| code == told), "{query}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_told_only_where_that_is_switched_on() {
    let api = Api::start().await;
    let introspection = "{ __schema { types { name } } }";
    let open: Value = api.data(introspection, json!({})).await;
    assert!(open["__schema"]["types"].as_array().unwrap().len() > 30);
    let shut = Api::with(ApiOptions { introspection: false, ..ApiOptions::default() }).await;
    let answer = shut.answer(introspection, json!({})).await;
    assert!(answer["errors"][0]["message"].is_string() || answer["data"]["__schema"].is_null(), "{answer:#}");
    // A wrong name is not answered with the right one.
    let answer = shut.answer("{ platfrom { ready } }", json!({})).await;
    assert!(!answer.to_string().contains("platform"), "{answer:#}");
}
