//! Actions on the rows of the lab's dataset (a double), as the lab's operator, who may change only what they change.

use super::kit::{self, Driven};
use crate::probes::lab::state;
use domain::deployment::Component;
use engine::action::{ActionErrorKind, ActionTarget};
use lab::{Lab, LabOptions};
use private_servers::testing::test_folder;
use serde_json::{Value, json};
use sqlx::PgPool;

struct Dataset {
    lab: Lab,
    _folder: tempfile::TempDir,
}

impl Dataset {
    async fn start() -> Self {
        let folder = test_folder();
        let lab = Lab::up(LabOptions::small(folder.path())).await.unwrap();
        Self { lab, _folder: folder }
    }

    fn target(&self, component: &str) -> ActionTarget {
        let components = state(self.lab.description()).components;
        let all: Vec<Component> = components.values().cloned().collect();
        let component = components[&component.parse().unwrap()].clone();
        ActionTarget { component, ..kit::target(&all) }
    }

    fn driven(&self, name: &str, component: &str, given: &Value) -> Driven {
        Driven::new(name, given, &self.target(component))
    }

    async fn admin(&self) -> &PgPool {
        self.lab.handle().dataset().await.unwrap()
    }

    async fn sql(&self, statement: &str) {
        sqlx::raw_sql(statement).execute(self.admin().await).await.unwrap();
    }

    async fn number(&self, select: &str) -> i64 {
        sqlx::query_scalar(select).fetch_one(self.admin().await).await.unwrap()
    }

    /// What of the dataset an action on one table must not change: all other tables, and the rows' other columns.
    async fn digest(&self, select: &str) -> String {
        let text = format!(
            "SELECT md5(coalesce(string_agg(CAST(x AS text), '|' ORDER BY CAST(x AS text)), '')) FROM ({select}) x"
        );
        sqlx::query_scalar(&text).fetch_one(self.admin().await).await.unwrap()
    }
}

const RECORDS: &str = "SELECT uri, recordid, rctitle, rcrectypeuri, rcdatereg, rctriggerdate FROM tsrecord";
const DOCUMENTS: &str = "SELECT uri, resid, restore, refilename, reversions, rebytes, redatemod FROM tsrecelec";

#[tokio::test]
async fn rows_are_changed_and_put_back_and_nothing_else_is_touched() {
    let dataset = Dataset::start().await;
    dataset
        .sql("UPDATE tsrecelec SET reindexstatus = 'NetworkError' WHERE uri IN (SELECT uri FROM tsrecelec ORDER BY uri LIMIT 9);
              UPDATE tsrecelec SET rehash = CASE WHEN uri % 2 = 0 THEN '' END WHERE restore = 1;
              UPDATE tselecstor SET esitems = esitems - 4, esbytes = esbytes + 77 WHERE uri = 2;
              INSERT INTO tsrendqueu VALUES (900, 1, now() - interval '2 days', 'Failed', 'AppGPF'),
                                            (901, 2, now() - interval '3 days', 'Pending', NULL);
              UPDATE tslocation SET lclastlogon = now() - interval '400 days' WHERE uri BETWEEN 201 AND 205;
              DELETE FROM tstxtidx WHERE recuri BETWEEN 400 AND 420;
              UPDATE tsrecord SET rctriggerdate = now() - interval '60 days', rcrecalcdate = NULL WHERE uri BETWEEN 10 AND 19")
        .await;
    let untouched = (dataset.digest(RECORDS).await, dataset.digest(DOCUMENTS).await);
    let words = dataset.number("SELECT count(*) FROM tstxtidx").await;
    let used = dataset.number("SELECT CAST(sum(used) AS bigint) FROM double_licence").await;
    let cases = [
        ("dataset.requeue-index", "dataset"),
        ("dataset.fill-hash", "store-1"),
        ("dataset.recount-store", "store-2"),
        ("dataset.requeue-render", "dataset"),
        ("dataset.disable-login", "dataset"),
        ("dataset.index-words", "dataset"),
        ("dataset.recalculate-retention", "dataset"),
    ];
    for (name, component) in cases {
        let driven = dataset.driven(name, component, &json!({}));
        driven.proves_itself().await;
        // And left done: each stands beside the others.
        let before = driven.capture().await;
        driven.apply(&before).await;
        assert_eq!((dataset.digest(RECORDS).await, dataset.digest(DOCUMENTS).await), untouched, "{name}");
    }
    assert_eq!(dataset.number("SELECT count(*) FROM tsrecelec WHERE reindexstatus = 'Pending'").await, 9);
    assert_eq!(dataset.number("SELECT count(*) FROM tsrecelec WHERE coalesce(rehash, '') = ''").await, 0);
    assert!(dataset.number("SELECT count(*) FROM tstxtidx").await > words);
    assert_eq!(dataset.number("SELECT CAST(sum(used) AS bigint) FROM double_licence").await, used - 5);
    dataset.lab.stop().await;
}

/// The hash that is recorded is the one that was recorded before it was lost.
#[tokio::test]
async fn a_hash_is_that_of_the_file_and_only_where_its_size_is_right() {
    let dataset = Dataset::start().await;
    let hashes = "SELECT uri, rehash FROM tsrecelec";
    let before = dataset.digest(hashes).await;
    dataset.sql("UPDATE tsrecelec SET rehash = NULL WHERE restore = 1").await;
    let driven = dataset.driven("dataset.fill-hash", "store-1", &json!({}));
    let image = driven.capture().await;
    driven.apply(&image).await;
    assert_eq!(dataset.digest(hashes).await, before);

    dataset.sql("UPDATE tsrecelec SET rehash = NULL WHERE restore = 1").await;
    dataset
        .sql(
            "UPDATE tsrecelec SET rebytes = rebytes + 1 WHERE uri = (SELECT min(uri) FROM tsrecelec WHERE restore = 1)",
        )
        .await;
    let image = driven.capture().await;
    assert_eq!(image["left_blank"].as_array().unwrap().len(), 1);
    assert!(driven.preview(&image)[0].contains("leave 1 documents without a hash"));
    driven.apply(&image).await;
    assert_eq!(dataset.number("SELECT count(*) FROM tsrecelec WHERE rehash IS NULL").await, 1);
    let error = driven.try_capture().await.unwrap_err();
    assert_eq!(error.kind, ActionErrorKind::Precondition, "none left that could be proven: {error}");
    dataset.lab.stop().await;
}

#[tokio::test]
async fn counters_are_not_the_remedy_for_files_that_are_missing() {
    let dataset = Dataset::start().await;
    let driven = dataset.driven("dataset.recount-store", "store-1", &json!({"files_apart": 0}));
    driven.capture().await;
    lab::break_fault(dataset.lab.handle(), "file-missing").await.unwrap();
    let error = driven.try_capture().await.unwrap_err();
    assert_eq!(error.kind, ActionErrorKind::Precondition);
    assert!(error.message.contains("only the symptom"), "{error}");
    dataset.lab.stop().await;
}

/// Documents that come in while a recount is taken back are counted by the product, and stay counted.
#[tokio::test]
async fn a_recount_that_is_taken_back_keeps_what_came_in_meanwhile() {
    let dataset = Dataset::start().await;
    dataset.sql("UPDATE tselecstor SET esitems = esitems + 40, esbytes = esbytes + 4000 WHERE uri = 1").await;
    let before = dataset.number("SELECT esitems FROM tselecstor WHERE uri = 1").await;
    let driven = dataset.driven("dataset.recount-store", "store-1", &json!({}));
    let image = driven.capture().await;
    driven.apply(&image).await;
    dataset
        .sql(
            "INSERT INTO tserecvsn VALUES (999999, 1, 'NEW.TXT', 1, 100, 'x');
              UPDATE tselecstor SET esitems = esitems + 1, esbytes = esbytes + 100 WHERE uri = 1",
        )
        .await;
    driven.undo(&image).await;
    assert_eq!(driven.capture().await, image);
    assert_eq!(dataset.number("SELECT esitems FROM tselecstor WHERE uri = 1").await, before + 1);
    dataset.lab.stop().await;
}

#[tokio::test]
async fn a_missing_file_is_flagged_and_a_present_one_is_not() {
    let dataset = Dataset::start().await;
    lab::break_fault(dataset.lab.handle(), "file-missing").await.unwrap();
    let files: Vec<String> = sqlx::query_scalar("SELECT resid FROM tsrecelec WHERE restore = 1 ORDER BY uri")
        .fetch_all(dataset.admin().await)
        .await
        .unwrap();
    let is_there = |resid: &String| {
        let root = dataset.lab.handle().folders().store(1);
        std::fs::read_dir(root).unwrap().flatten().any(|folder| folder.path().join(resid).exists())
    };
    let (present, missing): (Vec<_>, Vec<_>) = files.into_iter().partition(is_there);
    let untouched = (dataset.digest(RECORDS).await, dataset.digest("SELECT * FROM tsrecelec").await);
    let driven = dataset.driven("dataset.flag-missing", "store-1", &json!({"files": missing}));
    driven.proves_itself().await;
    assert_eq!((dataset.digest(RECORDS).await, dataset.digest("SELECT * FROM tsrecelec").await), untouched);
    for (file, why) in [(present[0].as_str(), "it is not missing"), ("x'; DROP TABLE tsrecord; --", "knows no file")] {
        let error = dataset.driven("dataset.flag-missing", "store-1", &json!({"files": [file]})).try_capture().await;
        assert!(error.as_ref().unwrap_err().message.contains(why), "{error:?}");
    }
    dataset.lab.stop().await;
}

#[tokio::test]
async fn more_rows_than_were_meant_are_refused() {
    let dataset = Dataset::start().await;
    dataset.sql("UPDATE tsrecelec SET reindexstatus = 'NetworkError'").await;
    let error =
        dataset.driven("dataset.requeue-index", "dataset", &json!({"limit": 5})).try_capture().await.unwrap_err();
    assert_eq!(error.kind, ActionErrorKind::Precondition);
    for limit in [0, 10_001] {
        let driven = dataset.driven("dataset.requeue-index", "dataset", &json!({"limit": limit}));
        assert_eq!(driven.try_capture().await.unwrap_err().kind, ActionErrorKind::Configuration);
    }
    dataset.lab.stop().await;
}

#[tokio::test]
async fn administrators_and_named_logins_stay_enabled() {
    let dataset = Dataset::start().await;
    dataset.sql("UPDATE tslocation SET lclastlogon = now() - interval '400 days' WHERE uri BETWEEN 196 AND 204").await;
    let driven = dataset.driven("dataset.disable-login", "dataset", &json!({"except": ["DOUBLE\\user201"]}));
    let image = driven.capture().await;
    let logins: Vec<&str> =
        image["logins"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(!logins.contains(&"DOUBLE\\user200") && !logins.contains(&"DOUBLE\\user201"), "{logins:?}");
    assert!(logins.contains(&"DOUBLE\\user202"));
    // One of them logs on before it is done.
    dataset.sql("UPDATE tslocation SET lclastlogon = now() WHERE uri = 202").await;
    driven.is_done_twice(&image).await;
    assert_eq!(dataset.number("SELECT count(*) FROM tslocation WHERE uri = 202 AND NOT lclogindisabled").await, 1);
    dataset.lab.stop().await;
}

/// A statement on rows that somebody else holds ends on the server when the phase is cancelled.
#[tokio::test]
async fn a_cancel_ends_the_statement_on_the_server() {
    let dataset = Dataset::start().await;
    dataset.sql("UPDATE tsrecelec SET reindexstatus = 'NetworkError' WHERE uri < 100").await;
    let driven = dataset.driven("dataset.requeue-index", "dataset", &json!({}));
    let image = driven.capture().await;
    let url = std::fs::read_to_string(dataset.lab.handle().folders().admin_url()).unwrap();
    let options: sqlx::postgres::PgConnectOptions = url.trim().parse().unwrap();
    let other = PgPool::connect_with(options.database("cm_dataset_double")).await.unwrap();
    let mut holder = other.begin().await.unwrap();
    sqlx::raw_sql("SELECT uri FROM tsrecelec FOR UPDATE").execute(&mut *holder).await.unwrap();
    driven.is_cancelled_while_waiting(dataset.admin().await, &image).await;
    holder.rollback().await.unwrap();
    assert_eq!(dataset.number("SELECT count(*) FROM tsrecelec WHERE reindexstatus = 'Pending'").await, 0);
    other.close().await;
    dataset.lab.stop().await;
}
