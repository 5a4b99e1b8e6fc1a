//! The history of a real `cmdiag serve`: sealed as it runs, verified on the spot and from a file alone, attacked by the
//! owner of the database, and out of reach of the role that the platform runs as.

use acceptance_tests::{Cmdiag, Serving};
use private_servers::testing::test_folder;
use private_servers::{PostgresOptions, PrivatePostgres};
use sqlx::{Connection, Executor, PgConnection};
use std::path::Path;
use std::time::Duration;

const DEPLOYMENT: &str = "name = \"one\"\nproduct_version = \"25.2\"\n\
    [[component]]\nname = \"store-1\"\nkind = \"document-store\"\n[component.settings]\npath = \"/tmp\"\n";

/// The private server that the serving process runs.
async fn server(folder: &Path) -> PrivatePostgres {
    let attached = PrivatePostgres::start(PostgresOptions::new(folder.join("postgres"))).await.unwrap();
    assert!(!attached.is_owned(), "the serving process runs it");
    attached
}

/// Waits until everything that the log holds is signed, and published.
async fn all_is_signed(cmdiag: &Cmdiag, published: &Path) -> serde_json::Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let report = cmdiag.run(&["audit", "verify", "--format", "json"]).await;
        let report = report.succeeded().json();
        let newest = report["checkpoints"].as_u64().unwrap();
        let signed = report["events"].as_u64() > Some(1) && report["proven"]["signed_to"] == report["events"];
        if signed && report["unsealed"] == 0 && published.join(format!("{newest:012}.checkpoint")).exists() {
            return report;
        }
        assert!(tokio::time::Instant::now() < deadline, "never signed: {report}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_sealed_verified_taken_away_and_attacked() {
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = test_folder();
    let published = folder.path().join("published");
    std::fs::write(folder.path().join("cmdiag.toml"), "[audit]\ncheckpoint_seconds = 1\n").unwrap();
    std::fs::write(folder.path().join("one.toml"), DEPLOYMENT).unwrap();
    let cmdiag = Cmdiag::embedded(folder.path()).with("CMDIAG_AUDIT_PUBLISH_FOLDER", published.as_os_str());
    let serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0"]).await;
    cmdiag.run(&["deployment", "add", "one.toml"]).await.succeeded();
    all_is_signed(&cmdiag, &published).await;

    // A key and a file: nothing else is needed, least of all the database.
    let keys = cmdiag.run(&["audit", "keys", "--format", "json"]).await.succeeded().json();
    let key = keys[0]["verifier_key"].as_str().unwrap().to_owned();
    cmdiag.run(&["audit", "rotate-key", "--reason", "a test"]).await.succeeded();
    cmdiag.run(&["deployment", "retire", "one", "--reason", "a test"]).await.succeeded();
    let report = all_is_signed(&cmdiag, &published).await;
    let events = report["events"].as_u64().unwrap();
    cmdiag.run(&["audit", "bundle", "history.zst"]).await.succeeded();
    let offline = Cmdiag::on_database(folder.path(), "postgres://nobody@127.0.0.1:1/nothing");
    let verify = ["audit", "verify", "--bundle", "history.zst", "--key", &key, "--checkpoints", "published"];
    let report = offline.run(&[&verify[..], &["--format", "json"]].concat()).await.succeeded().json();
    assert_eq!(report["proven"]["pinned_to"], events, "{report}");
    assert_eq!(report["proven"]["published_to"], events, "{report}");
    let proof = cmdiag.run(&["audit", "prove", "2"]).await.succeeded().stdout;
    std::fs::write(folder.path().join("proof.json"), &proof).unwrap();
    offline.run(&["audit", "prove", "--verify", "proof.json", "--key", &key]).await.succeeded();
    std::fs::write(folder.path().join("proof.json"), proof.replace("one", "two")).unwrap();
    assert_eq!(offline.run(&["audit", "prove", "--verify", "proof.json"]).await.code, 2);
    let proof = cmdiag.run(&["audit", "consistency", "1", "2"]).await.succeeded().stdout;
    std::fs::write(folder.path().join("consistency.json"), &proof).unwrap();
    offline.run(&["audit", "consistency", "--verify", "consistency.json"]).await.succeeded();

    let _ = rustls::crypto::ring::default_provider().install_default();
    let health = reqwest::get(serving.url("/health")).await.unwrap().text().await.unwrap();
    assert!(health.contains("sealer:lag_events") && health.contains("publication:folder"), "{health}");
    the_running_role_changes_nothing(folder.path()).await;
    attack(&cmdiag, folder.path()).await;
    assert_eq!(serving.interrupt().await, 0);
}

/// The role that the platform runs as is not the owner, and can not change what is written.
async fn the_running_role_changes_nothing(folder: &Path) {
    let server = server(folder).await;
    let running = "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE application_name LIKE 'cmdiag%'";
    let mut owner = PgConnection::connect(&server.url("cmdiag")).await.unwrap();
    let roles: Vec<String> = sqlx::query_scalar(running).fetch_all(&mut owner).await.unwrap();
    assert_eq!(roles, ["cmdiag_service"]);
    let password = std::fs::read_to_string(folder.join("postgres/password.cmdiag_service")).unwrap();
    let url = server.url_as("cmdiag_service", password.trim(), "cmdiag");
    let mut service = PgConnection::connect(&url).await.unwrap();
    for table in ["events", "commands", "audit_seals", "audit_nodes", "audit_checkpoints", "audit_log"] {
        for attack in [
            format!("DELETE FROM cmdiag.{table}"),
            format!("TRUNCATE cmdiag.{table}"),
            format!("ALTER TABLE cmdiag.{table} DISABLE TRIGGER ALL"),
            format!("DROP TABLE cmdiag.{table}"),
        ] {
            let error = service.execute(attack.as_str()).await.expect_err(&attack);
            let code = error.as_database_error().and_then(|error| error.code().map(String::from));
            assert_eq!(code.as_deref(), Some("42501"), "{attack}: {error}");
        }
    }
    let update = "UPDATE cmdiag.events SET event_type = 'Other'";
    assert!(service.execute(update).await.unwrap_err().to_string().contains("permission denied"));
    assert!(service.execute("SET ROLE cmdiag").await.is_err());
}

/// The owner can switch the triggers off. Then the verification says where something was changed.
async fn attack(cmdiag: &Cmdiag, folder: &Path) {
    let server = server(folder).await;
    let mut owner = PgConnection::connect(&server.url("cmdiag")).await.unwrap();
    owner.execute("ALTER TABLE cmdiag.events DISABLE TRIGGER ALL").await.unwrap();
    let change =
        "UPDATE cmdiag.events SET payload = replace(payload::text, 'store-1', 'store-2')::json WHERE position = 2";
    assert_eq!(owner.execute(change).await.unwrap().rows_affected(), 1);
    let verified = cmdiag.run(&["audit", "verify"]).await;
    assert_eq!(verified.code, 2, "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains("first bad position 2\n"), "{}", verified.stdout);
    owner.execute("ALTER TABLE cmdiag.events ENABLE ALWAYS TRIGGER events_append_only").await.unwrap();
}
