//! The npm clients that others will use: the specification's audit, `graphql-ws` and `graphql-sse`.

use crate::support::Api;
use domain::Outcome;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const BOUND: Duration = Duration::from_secs(120);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients")
}

async fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let child =
        Command::new(program).args(arguments).current_dir(folder()).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(BOUND, child).await.unwrap_or_else(|_| panic!("{program} {arguments:?} hangs"));
    let output =
        output.unwrap_or_else(|error| panic!("{program} is needed for this test (Debian: nodejs, npm): {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// `make node-clients` installs the packages before; a lone run of this test does it here. Tests run in parallel
/// processes, so one installs and the others wait for it.
async fn installed() {
    let lock = std::fs::File::create(folder().join(".installing")).unwrap();
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.unwrap().unwrap();
    if !folder().join("node_modules/graphql-http/package.json").exists() {
        let (ok, text) = run("npm", &["ci", "--no-audit", "--no-fund"]).await;
        assert!(ok, "npm ci: {text}");
    }
    drop(lock);
}

async fn script(name: &str, arguments: &[&str]) -> String {
    installed().await;
    let (ok, text) = run("node", &[&[name], arguments].concat()).await;
    assert!(ok, "{name}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn all_61_audits_of_graphql_over_http_pass() {
    let api = Api::start().await;
    let text = script("audit.mjs", &[&api.url("/graphql")]).await;
    assert!(text.contains("61 ok, 0 notice, 0 warn, 0 error"), "{text}");
}

/// A script follows a run over its transport while the run goes on here, reconnects, and compares.
async fn follows_a_run(name: &str, path: &str) {
    let api = Api::start().await;
    let deployment = api.deployment("clients").await;
    let run = api.run(deployment, 5).await;
    let url = format!("{}{path}", api.url(""));
    let http = api.url("/graphql");
    let id = run.to_string();
    let arguments = [url.as_str(), http.as_str(), id.as_str()];
    let script = script(name, &arguments);
    let work = async {
        for number in 0..5 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            api.result(run, number, if number == 2 { Outcome::Critical } else { Outcome::Ok }).await;
        }
        std::future::pending::<()>().await;
    };
    let text = tokio::select! {
        text = script => text,
        () = work => unreachable!("it never ends"),
    };
    assert!(text.contains("all ok"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_ws_follows_a_run_and_resumes() {
    follows_a_run("ws.mjs", "/graphql/ws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_sse_follows_a_run_and_resumes() {
    follows_a_run("sse.mjs", "/graphql/stream").await;
}
