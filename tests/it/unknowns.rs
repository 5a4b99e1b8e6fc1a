//! What can not be measured is UNKNOWN with its cause, and the rest of the run is unharmed.

use acceptance_tests::Cmdiag;
use private_servers::testing::{TestDatabase, test_folder};
use serde_json::Value;

/// A deployment of which nothing but the host and one log can be measured.
fn description(database_url: &str, folder: &str) -> String {
    let server = database_url.split('@').nth(1).unwrap();
    format!(
        r#"
        name = "Broken Office"
        product_version = "24.3"
        [[component]]
        name = "dataset"
        kind = "dataset-database"
        settings = {{ url = "postgres://cmdiag@{server}", dbid = "D1", expected_schema_version = "24" }}
        secrets = {{ password = "env:WRONG_PASSWORD" }}
        [[component]]
        name = "elsewhere"
        kind = "dataset-database"
        settings = {{ url = "postgres://cmdiag@127.0.0.1:1/nothing", dbid = "D2", expected_schema_version = "24" }}
        [[component]]
        name = "store-1"
        kind = "document-store"
        settings = {{ path = "{folder}/no-such-store", store_number = "1", dbid = "D1", dataset = "dataset" }}
        [[component]]
        name = "wgs-1"
        kind = "workgroup-server"
        settings = {{ host = "127.0.0.1", port = "1", config = "{folder}/nothing.tcfg", logs = "{folder}/no-logs" }}
        [[component]]
        name = "host"
        kind = "host"
        settings = {{ path = "/" }}
        "#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_measured_is_unknown_and_harms_nothing_else() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url()).with("WRONG_PASSWORD", "not-the-password");
    let described = description(database.url(), folder.path().to_str().unwrap());
    std::fs::write(folder.path().join("broken.toml"), described).unwrap();
    cmdiag.run(&["deployment", "add", "broken.toml"]).await.succeeded();
    let diagnosis = cmdiag.run(&["diagnose", "Broken Office", "--format", "json"]).await;
    let document = diagnosis.json();

    let unknown: Vec<&Value> = document["unknown"].as_array().unwrap().iter().collect();
    let of = |component: &str| -> Vec<&&Value> { unknown.iter().filter(|one| one["component"] == component).collect() };
    for component in ["dataset", "elsewhere", "store-1"] {
        assert!(!of(component).is_empty(), "{component} can not be measured: {document:#}");
    }
    for one in &unknown {
        let cause = one["unknown_cause"].as_str().unwrap_or_default();
        assert!(!cause.is_empty(), "an unknown says why: {one}");
        assert!(!cause.contains("not-the-password"), "and never shows a secret: {cause}");
    }
    assert!(
        of("dataset").iter().any(|one| one["unknown_cause"].as_str().unwrap().contains("password")),
        "{document:#}"
    );
    assert_eq!(document["status"], "completed");
    // A closed port is measured: that is a problem, not an unknown.
    let problems = document["problems"].as_array().unwrap();
    assert!(problems.iter().any(|one| one["check"] == "CM-WGS-DOWN" && one["outcome"] == "critical"), "{document:#}");
    let ok = document["tally"]["ok"].as_u64().unwrap();
    assert!(ok > 0, "the host was measured all the same: {document:#}");
    let findings = document["findings"].as_array().unwrap();
    assert!(findings.iter().all(|one| one["severity"] != "unknown"), "an unknown raises no finding");
    assert_eq!(diagnosis.code, 2);
}
