//! No action does anything without credentials of its own, and none falls back to those of the probes.

use super::Server;
use crate::actions::kit::{arguments, component};
use domain::deployment::{ComponentKind, SecretRef};
use engine::action::{ActionErrorKind, ActionTarget, list};
use serde_json::{Value, json};
use std::sync::Arc;

/// Arguments that each action reads.
fn sample(action: &str) -> Value {
    match action {
        "postgres.alter-system" => json!({"setting": "work_mem", "value": "4MB"}),
        "postgres.analyze" | "postgres.vacuum" => json!({"schema": "public", "table": "t"}),
        "postgres.cancel-query" | "postgres.terminate-idle-in-transaction" => {
            json!({"pid": 1, "backend_start": "2026-01-01T00:00:00Z"})
        }
        "postgres.create-index-concurrently" => {
            json!({"schema": "public", "table": "t", "index": "i", "columns": ["a"]})
        }
        "postgres.drop-replication-slot" => json!({"slot": "s"}),
        "postgres.drop-index-concurrently" | "postgres.drop-invalid-index" | "postgres.reindex-concurrently" => {
            json!({"schema": "public", "index": "i"})
        }
        "postgres.extend-sequence" | "postgres.reset-sequence" => json!({"schema": "public", "sequence": "s"}),
        "dataset.flag-missing" => json!({"files": ["x"]}),
        _ => json!({}),
    }
}

#[tokio::test]
async fn without_credentials_of_its_own_no_action_begins() {
    let server = Server::start().await;
    let dataset = server.target.component.clone();
    let mut without_user = dataset.clone();
    without_user.settings.remove("action_user");
    let mut without_password = dataset.clone();
    // The probes' password is there, and is not used.
    let secret = without_password.secrets.remove("action_password").unwrap();
    without_password.secrets.insert("password".to_owned(), secret);
    let wrong = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(wrong.path(), "not-the-password").unwrap();
    let mut wrong_password = dataset.clone();
    let reference = SecretRef::File(wrong.path().display().to_string());
    wrong_password.secrets.insert("action_password".to_owned(), reference);
    let cases = [
        (without_user, "no setting \"action_user\""),
        (without_password, "no secret \"action_password\""),
        (wrong_password, "refuses the login"),
    ];
    let settings = [("dataset", "dataset"), ("store_number", "1"), ("dbid", "D1"), ("path", "/nowhere")];
    let store = component("store-1", ComponentKind::DocumentStore, &settings);
    let families = |name: &str| name.starts_with("postgres.") || name.starts_with("dataset.");
    for action in list::all().into_iter().filter(|action| families(action.spec().name)) {
        for (dataset, expected) in &cases {
            let on_store = action.spec().components.contains(&ComponentKind::DocumentStore);
            let components = [store.clone(), dataset.clone()];
            let target = ActionTarget {
                component: components[usize::from(!on_store)].clone(),
                components: Arc::new(components.map(|one| (one.name.clone(), one)).into()),
                ..server.target.clone()
            };
            let given = arguments(&sample(action.spec().name));
            action.check(&given).unwrap();
            let error = action.capture(&given, &target).await.unwrap_err();
            assert_eq!(error.kind, ActionErrorKind::Configuration, "{}: {error}", action.spec().name);
            assert!(error.message.contains(expected), "{}: {error}", action.spec().name);
            assert!(!error.message.contains("not-the-password"), "{error}");
        }
    }
    server.stop().await;
}
