use super::{component, measure, only, probes, target};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::Redirect;
use axum::routing::get;
use domain::deployment::ComponentKind;
use engine::probe::{ProbeErrorKind, Row};
use serde_json::json;
use std::time::Duration;
use tokio::net::TcpListener;

async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let skewed = chrono::Utc::now() + chrono::TimeDelta::seconds(600);
    let date = skewed.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let app = Router::new()
        .route("/json", get(|| async { axum::Json(json!({"Results": [1, 2], "TotalResults": 2})) }))
        .route("/html", get(|| async { ([(header::CONTENT_TYPE, "text/html")], "<html>ok</html>") }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/huge", get(|| async { "x".repeat(3_000_000) }))
        .route("/late", get(|| async { std::future::pending::<()>().await }))
        .route("/clock", get(move || async move { ([(header::DATE, date)], "tick") }))
        .route("/here", get(|| async { Redirect::temporary("/json") }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/away", get(|| async { Redirect::temporary("http://localhost:1/") }));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    base
}

async fn ask(base: &str, path: &str, more: &str) -> Row {
    let web = target(&[component("web", ComponentKind::WebTier, &[("url", base)])]);
    only(measure(&probes(), &format!("kind = \"http\"\npath = \"{path}\"\n{more}"), &web).await)
}

#[tokio::test]
async fn an_answer_is_measured_whatever_it_is() {
    let base = server().await;
    let row = ask(&base, "/json", "expect = \"json\"").await;
    assert_eq!((&row["status"], &row["is_json"], &row["json"]["TotalResults"]), (&200.into(), &true.into(), &2.into()));
    assert_eq!(row["content_type"], "application/json");
    let row = ask(&base, "html", "expect = \"json\"").await;
    assert_eq!(
        (&row["status"], &row["is_json"], &row["body_start"]),
        (&200.into(), &false.into(), &"<html>ok</html>".into())
    );
    let row = ask(&base, "/broken", "").await;
    assert_eq!((&row["reachable"], &row["status"]), (&true.into(), &500.into()));
    let row = ask(&base, "/huge", "").await;
    assert_eq!(row["body_bytes"], 256 * 1024);
    let row = ask(&base, "/json", "method = \"HEAD\"").await;
    assert_eq!((&row["status"], &row["body_bytes"]), (&200.into(), &0.into()));
    let skew = ask(&base, "/clock", "").await["date_skew_s"].as_f64().unwrap();
    assert!((595.0..605.0).contains(&skew), "{skew}");
}

#[tokio::test]
async fn redirects_are_followed_on_the_host_and_no_further() {
    let base = server().await;
    assert_eq!(ask(&base, "/here", "").await["status"], 200);
    assert_eq!(ask(&base, "/loop", "").await["status"], 307);
    assert_eq!(ask(&base, "/away", "").await["status"], 307);
}

#[tokio::test]
async fn no_answer_is_measured_and_no_name_is_an_error() {
    let base = server().await;
    let row = ask(&base, "/late", "timeout = \"300ms\"").await;
    assert_eq!(row["reachable"], false);
    assert!(row["error"].as_str().unwrap().contains("no answer within"), "{row:?}");
    assert!(row["latency_ms"].as_f64().unwrap() < Duration::from_secs(2).as_millis() as f64);
    let row = ask("http://127.0.0.1:1", "/", "").await;
    assert_eq!(row["reachable"], false);
    assert!(row["error"].as_str().unwrap().to_lowercase().contains("refused"), "{row:?}");
    for (url, kind) in [
        ("http://no-such-name.invalid/", ProbeErrorKind::Unreachable),
        ("file:///etc/passwd", ProbeErrorKind::Configuration),
    ] {
        let web = target(&[component("web", ComponentKind::WebTier, &[("url", url)])]);
        assert_eq!(measure(&probes(), "kind = \"http\"", &web).await.unwrap_err().kind, kind, "{url}");
    }
}
