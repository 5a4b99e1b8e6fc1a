//! What an operator does to the doubles: it cures faults, it can be taken back, and mending forgets it.

use crate::shows::shows;
use crate::support::{client, folder, picture, small_lab};
use lab::{LabHandle, break_fault, mend_fault};
use serde_json::{Value, json};

async fn service(handle: &LabHandle, name: &str, verb: &str) -> Value {
    let script = handle.folders().root().join("services/service.sh");
    let output = tokio::process::Command::new("/bin/sh").arg(script).args([name, verb]).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{name} {verb}: {text} {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap()
}

fn password(handle: &LabHandle) -> String {
    std::fs::read_to_string(handle.folders().root().join("secrets/action.password")).unwrap().trim().to_owned()
}

async fn tell(handle: &LabHandle, path: &str, body: Value) -> (u16, Value) {
    let base = handle.description().component("web").unwrap().settings["url"].clone();
    let request = client(handle).post(format!("{base}/CMServiceAPI/{path}")).json(&body);
    let answer = request.basic_auth("cmdiag-actions", Some(password(handle))).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_restart_cures_what_hangs_and_mending_leaves_nothing_of_it() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let handle = LabHandle::open(dir.path()).unwrap();
    let healthy = picture(&handle).await;
    let cures = [
        ("web-slow", "web", "restart"),
        ("web-errors", "web", "restart"),
        ("web-cannot-reach-wgs", "web", "restart"),
        ("log-silent", "wgs-2", "restart"),
        ("wgs-down", "wgs-2", "start"),
        ("render-stuck", "render", "restart"),
        ("mail-processor-down", "mail", "restart"),
    ];
    for (fault, name, verb) in cures {
        break_fault(&handle, fault).await.expect(fault);
        assert!(shows(&handle, fault).await, "{fault}");
        assert_eq!(service(&handle, name, verb).await["state"], "running", "{fault}");
        assert!(!shows(&handle, fault).await, "{fault} is not cured by {verb} of {name}");
        mend_fault(&handle, fault).await.expect(fault);
        // A service without a fault keeps what it was told: it is told nothing any more.
        assert!(!shows(&handle, fault).await, "{fault} shows after it was mended");
    }
    let mut after = picture(&handle).await;
    after.control["services"] = Value::Null;
    let mut before = healthy;
    before.control["services"] = Value::Null;
    assert_eq!(after, before);
    lab.stop().await;
}

#[tokio::test]
async fn a_service_stops_drains_and_starts_and_says_so() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let handle = lab.handle();
    let reach = async || tokio::net::TcpStream::connect(("127.0.0.1", handle.port("wgs-1").unwrap())).await.is_ok();
    for (verb, state, reachable) in [
        ("status", "running", true),
        ("drain", "degraded", false),
        ("stop", "stopped", false),
        ("start", "running", true),
        ("start", "running", true),
        ("drain", "degraded", false),
        ("restart", "running", true),
    ] {
        assert_eq!(service(handle, "wgs-1", verb).await["state"], state, "{verb}");
        assert_eq!(reach().await, reachable, "{verb}");
    }
    assert_eq!(service(handle, "web", "stop").await["state"], "stopped");
    assert!(client(handle).get(&handle.description().component("web").unwrap().settings["url"]).send().await.is_err());
    service(handle, "web", "start").await;
    let script = dir.path().join("services/service.sh");
    let wrong = tokio::process::Command::new("/bin/sh").arg(script).args(["nobody", "status"]).output().await.unwrap();
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stdout).contains("there is no service"));
    lab.stop().await;
}

/// A route of the connector, and what is sent there.
type Told = (&'static str, Value);

#[tokio::test]
async fn the_connector_steers_processors_and_queues_for_those_who_may() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let handle = lab.handle();
    let healthy = picture(handle).await;
    let base = handle.description().component("web").unwrap().settings["url"].clone();
    let stranger = client(handle).post(format!("{base}/CMServiceAPI/TrimEventProcessors/AuditLog/Suspend"));
    assert_eq!(stranger.send().await.unwrap().status().as_u16(), 401);
    // fault, the cure, what takes it back
    let steers: [(&str, Told, Option<Told>); 5] = [
        (
            "processor-suspended",
            ("TrimEventProcessors/WordIndexing/Resume", json!({})),
            Some(("TrimEventProcessors/WordIndexing/Suspend", json!({}))),
        ),
        (
            "mail-processor-down",
            ("TrimEventProcessors/MailNotification/Resume", json!({})),
            Some(("TrimEventProcessors/MailNotification/Ignore", json!({}))),
        ),
        (
            "queue-backlog",
            ("TrimEventProcessors/ContentIndex/RunOn", json!({ "Servers": ["wgs-1", "wgs-2"] })),
            Some(("TrimEventProcessors/ContentIndex/RunOn", json!({ "Servers": ["wgs-2"] }))),
        ),
        ("poison-event", ("TrimEventProcessors/Subscriptions/SkipEvent", json!({ "EventId": 4711 })), None),
        (
            "not-indexed-network",
            ("TrimEventProcessors/ContentIndex/Requeue", json!({ "Status": "NetworkError" })),
            None,
        ),
    ];
    for (fault, cure, back) in steers {
        break_fault(handle, fault).await.expect(fault);
        let broken = picture(handle).await;
        let (status, said) = tell(handle, cure.0, cure.1).await;
        assert_eq!((status, &said["double"]), (200, &Value::Bool(true)), "{fault}: {said}");
        assert!(!shows(handle, fault).await, "{fault} is not cured");
        if let Some((path, body)) = back {
            assert_eq!(tell(handle, path, body).await.0, 200, "{fault}");
            assert!(shows(handle, fault).await, "{fault} is not there again");
            assert_eq!(picture(handle).await.config, broken.config, "{fault}");
        }
        mend_fault(handle, fault).await.expect(fault);
        assert_eq!(picture(handle).await, healthy, "{fault} left something");
    }
    for (verb, automatic) in [("Stop", false), ("Stop", false), ("Start", true)] {
        let (status, said) = tell(handle, &format!("TrimDocumentQueues/9/{verb}"), json!({})).await;
        assert_eq!((status, &said["AutomaticProcessing"]), (200, &Value::Bool(automatic)), "{verb}");
    }
    assert_eq!(tell(handle, "TrimDocumentQueues/77/Stop", json!({})).await.0, 404);
    lab.stop().await;
}

#[tokio::test]
async fn the_content_index_speaks_the_wire_and_says_that_it_is_a_double() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let handle = lab.handle();
    let base = handle.description().component("content-index").unwrap().settings["url"].clone();
    let client = client(handle);
    let ask = async |method: &str, path: &str, body: Value| -> (u16, Value) {
        let request = client.request(method.parse().unwrap(), format!("{base}{path}"));
        let request = request.basic_auth("cmdiag-actions", Some(password(handle)));
        let request =
            if let Some(lines) = body.as_str() { request.body(lines.to_owned()) } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["x-double"], "content-manager-lab", "{path}");
        (answer.status().as_u16(), answer.json().await.unwrap())
    };
    let indexed = "SELECT count(*) FROM tsrecelec WHERE reindexstatus = 'OK'";
    let documents: i64 = sqlx::query_scalar(indexed).fetch_one(handle.dataset().await.unwrap()).await.unwrap();
    assert!(documents > 70);
    let cases: [(&str, &str, Value, u16, &str, Value); 16] = [
        ("GET", "/", json!({}), 200, "/cluster_name", json!("content-manager-lab-double")),
        ("GET", "/_cluster/health", json!({}), 200, "/status", json!("green")),
        ("GET", "/_cluster/health/nothing", json!({}), 404, "/error/type", json!("index_not_found_exception")),
        ("GET", "/cm-d1/_count", json!({}), 200, "/count", json!(documents)),
        ("GET", "/_alias/cm-d1", json!({}), 200, "/cm-d1-000001/aliases/cm-d1", json!({})),
        ("GET", "/cm-d1/_mapping", json!({}), 200, "/cm-d1-000001/mappings/properties/uri/type", json!("long")),
        ("GET", "/_cluster/allocation/explain", json!({}), 400, "/status", json!(400)),
        ("PUT", "/copy", json!({ "settings": { "index": { "number_of_replicas": 0 } } }), 200, "/index", json!("copy")),
        ("PUT", "/copy", json!({}), 400, "/error/type", json!("resource_already_exists_exception")),
        (
            "POST",
            "/_reindex",
            json!({ "source": { "index": "cm-d1" }, "dest": { "index": "copy" } }),
            200,
            "/created",
            json!(documents),
        ),
        (
            "POST",
            "/copy/_bulk",
            json!("{\"delete\":{\"_id\":\"7\"}}\n{\"index\":{\"_id\":\"900\"}}\n{\"uri\":900}\n"),
            200,
            "/errors",
            json!(false),
        ),
        (
            "POST",
            "/copy/_search",
            json!({ "size": 5, "sort": [{ "uri": "asc" }], "search_after": [500] }),
            200,
            "/hits/hits/0/_id",
            json!("900"),
        ),
        ("PUT", "/copy/_settings", json!({ "index.number_of_replicas": 1 }), 200, "/acknowledged", json!(true)),
        ("GET", "/_cluster/health/copy", json!({}), 200, "/status", json!("yellow")),
        (
            "POST",
            "/_aliases",
            json!({ "actions": [{ "remove": { "index": "cm-d1-000001", "alias": "cm-d1" } },
                { "add": { "index": "copy", "alias": "cm-d1" } }] }),
            200,
            "/acknowledged",
            json!(true),
        ),
        ("GET", "/_alias/cm-d1", json!({}), 200, "/copy/aliases/cm-d1", json!({})),
    ];
    for (method, path, body, status, pointer, expected) in cases {
        let (got, answer) = ask(method, path, body).await;
        assert_eq!((got, answer.pointer(pointer)), (status, Some(&expected)), "{method} {path}: {answer}");
    }
    let stranger = client.post(format!("{base}/_cluster/reroute?retry_failed=true")).send().await.unwrap();
    assert_eq!(stranger.status().as_u16(), 401);
    lab.stop().await;
}
