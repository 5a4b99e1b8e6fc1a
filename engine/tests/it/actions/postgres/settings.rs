use super::Server;
use crate::actions::kit::until;
use engine::action::{ActionErrorKind, Verified};
use private_servers::testing::test_folder;
use private_servers::{PostgresOptions, PrivatePostgres};
use serde_json::{Value, json};
use sqlx::Executor;

async fn shown(server: &Server, setting: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&server.admin).await.unwrap()
}

/// On a server of its own: a setting is everybody's.
#[tokio::test]
async fn settings_are_set_and_set_back() {
    let folder = test_folder();
    let options = PostgresOptions { temporary: true, ..PostgresOptions::new(folder.path()).without_fsync() };
    let own = PrivatePostgres::start(options).await.unwrap();
    let mut server = Server::start().await;
    let url = own.url("postgres");
    let admin = sqlx::PgPool::connect(&url).await.unwrap();
    let role = server.target.component.settings["action_user"].clone();
    let grants = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{}'; GRANT pg_monitor TO {role};
         GRANT ALTER SYSTEM ON PARAMETER autovacuum, work_mem, log_min_duration_statement, checkpoint_timeout TO {role};
         GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {role}",
        super::PASSWORD
    );
    sqlx::raw_sql(&grants).execute(&admin).await.unwrap();
    server.target.component.settings.insert("url".to_owned(), url);
    let set = |setting: &str, value: &str| json!({"setting": setting, "value": value});

    for (setting, value) in [("work_mem", "6MB"), ("log_min_duration_statement", "90s"), ("checkpoint_timeout", "7min")]
    {
        server.driven("postgres.alter-system", &set(setting, value)).proves_itself().await;
    }
    admin.execute("ALTER SYSTEM SET autovacuum = off").await.unwrap();
    admin.execute("SELECT pg_reload_conf()").await.unwrap();
    let autovacuum = server.driven("postgres.alter-system", &set("autovacuum", "on"));
    until("it is off", async || {
        let now: String = sqlx::query_scalar("SHOW autovacuum").fetch_one(&admin).await.unwrap();
        now == "off"
    })
    .await;
    let before = autovacuum.proves_itself().await;
    assert_eq!(before["set_by_alter_system"], "off", "what was set before is set again");

    admin.execute("ALTER ROLE CURRENT_USER SET work_mem = '9MB'").await.unwrap();
    let role_wide = format!("ALTER ROLE {role} SET work_mem = '9MB'");
    admin.execute(role_wide.as_str()).await.unwrap();
    let error = server.driven("postgres.alter-system", &set("work_mem", "6MB")).try_capture().await.unwrap_err();
    assert!(error.message.contains("goes before"), "{error}");

    let not_granted = server.driven("postgres.alter-system", &set("temp_file_limit", "1GB"));
    let before = not_granted.capture().await;
    let error = not_granted.try_apply(&before).await.unwrap_err();
    assert_eq!(error.kind, ActionErrorKind::Configuration, "{error}");
    assert!(matches!(not_granted.verify(&before).await, Verified::NotDone(_)));
    assert_eq!(shown(&server, "standard_conforming_strings").await, "on");
    server.stop().await;
    own.stop().await;
}

#[tokio::test]
async fn only_listed_settings_and_wise_values_are_taken() {
    let server = Server::start().await;
    for (setting, value) in [("archive_command", "rm"), ("autovacuum", "off"), ("fsync", "off"), ("x = 1; --", "y")] {
        let given = json!({"setting": setting, "value": value});
        let error = server.driven("postgres.alter-system", &given).try_capture().await.unwrap_err();
        assert_eq!(error.kind, ActionErrorKind::Configuration, "{error}");
    }
    server.stop().await;
}

async fn slots(server: &Server, name: &str) -> i64 {
    server.number(&format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{name}'")).await
}

#[tokio::test]
async fn an_abandoned_slot_is_dropped_and_a_missing_one_is_not_imagined() {
    let server = Server::start().await;
    let slot = format!("abandoned_{}", &server.database.name()[5..30]);
    let make = format!("SELECT pg_create_physical_replication_slot('{slot}', true)");
    server.admin.execute(make.as_str()).await.unwrap();
    let given: Value = json!({"slot": slot});
    let driven = server.driven("postgres.drop-replication-slot", &given);
    let before = driven.capture().await;
    assert!(driven.action.spec().always_approve);
    assert!(driven.preview(&before)[0].contains("Not known"));
    let mut elsewhere = before.clone();
    elsewhere["restart_lsn"] = json!("0/1");
    driven.apply(&elsewhere).await;
    assert_eq!(slots(&server, &slot).await, 1, "somebody has read it since: it stays");
    driven.is_done_twice(&before).await;
    assert_eq!(slots(&server, &slot).await, 0);
    let gone = driven.try_capture().await.unwrap_err();
    assert_eq!(gone.kind, ActionErrorKind::Precondition);
    server.stop().await;
}
