use super::{component, measure, only, probes, target};
use domain::RunId;
use domain::deployment::ComponentKind;
use engine::probe::{Probes, Row, Target};
use private_servers::testing::TestDatabase;
use sha2::{Digest, Sha256};
use sqlx::{Executor, PgPool};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use uuid::Uuid;

const TABLES: &str = "
    CREATE TABLE tsrecelec (
        uri bigint PRIMARY KEY, resid text, restore bigint, rebytes bigint, rehash text, redatemod timestamptz);
    CREATE TABLE tserecvsn (
        uri bigint PRIMARY KEY, rvrecuri bigint, resid text, restore bigint, rvbytes bigint, rvhash text);
    CREATE TABLE tsrenditio (
        uri bigint PRIMARY KEY, rdrecuri bigint, resid text, restore bigint, rdbytes bigint, rdhash text);
    CREATE TABLE tselecstor (uri bigint PRIMARY KEY, esitems bigint, esbytes bigint);";

/// A store of so many files, a thousand a folder, and its rows.
struct Store {
    folder: tempfile::TempDir,
    database: TestDatabase,
    pool: PgPool,
}

impl Store {
    async fn of(files: usize) -> Self {
        let store = Self {
            folder: tempfile::tempdir().unwrap(),
            database: TestDatabase::create().await,
            pool: PgPool::connect_lazy("postgres://x").unwrap(),
        };
        let pool = store.database.pool().await;
        pool.execute(TABLES).await.unwrap();
        let mut rows: (Vec<i64>, Vec<String>, Vec<i64>, Vec<String>) = Default::default();
        for index in 0..files {
            let content = format!("content of file {index}");
            let path = store.root().join(format!("{:03}/{index:07}.TXT", index / 1000));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &content).unwrap();
            rows.0.push(index as i64 + 1);
            rows.1.push(format!("{index:07}.TXT"));
            rows.2.push(content.len() as i64);
            rows.3.push(hex::encode(Sha256::digest(&content)));
        }
        sqlx::query(
            "INSERT INTO tsrecelec SELECT u, r, 1, b, h, now()
             FROM UNNEST($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS t (u, r, b, h)",
        )
        .bind(rows.0)
        .bind(rows.1)
        .bind(rows.2)
        .bind(rows.3)
        .execute(&pool)
        .await
        .unwrap();
        pool.execute("INSERT INTO tselecstor SELECT 1, count(*), sum(rebytes) FROM tsrecelec").await.unwrap();
        Self { pool, ..store }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("D1/1")
    }

    fn file(&self, index: usize) -> PathBuf {
        self.root().join(format!("{:03}/{index:07}.TXT", index / 1000))
    }

    fn target(&self) -> Target {
        let path = self.folder.path().display().to_string();
        let settings = [("path", path.as_str()), ("dbid", "D1"), ("store_number", "1"), ("dataset", "dataset")];
        let dataset = component("dataset", ComponentKind::DatasetDatabase, &[("url", self.database.url())]);
        target(&[component("store-1", ComponentKind::DocumentStore, &settings), dataset])
    }

    async fn rows(&self, probes: &Probes, target: &Target, keys: &str) -> Vec<Row> {
        measure(probes, &format!("kind = \"store\"\n{keys}"), target).await.unwrap().rows
    }
}

fn age(path: &Path, age: Duration) {
    fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[tokio::test]
async fn a_healthy_store_shows_nothing() {
    let (store, probes) = (Store::of(50).await, probes());
    let target = store.target();
    for mode in ["missing", "corrupt", "orphans"] {
        assert!(store.rows(&probes, &target, &format!("mode = \"{mode}\"")).await.is_empty(), "{mode}");
    }
    let access = only(measure(&probes, "kind = \"store\"\nmode = \"access\"", &target).await);
    assert_eq!((&access["readable"], &access["writable"]), (&true.into(), &true.into()));
    let counters = only(measure(&probes, "kind = \"store\"\nmode = \"counters\"", &target).await);
    assert_eq!((&counters["items_drift"], &counters["bytes_drift"]), (&0.into(), &0.into()));
    let space = only(measure(&probes, "kind = \"store\"\nmode = \"space\"", &target).await);
    assert!(space["total_bytes"].as_u64() > space["free_bytes"].as_u64());
    let layout = store.rows(&probes, &target, "mode = \"layout\"").await;
    assert_eq!((&layout[0]["folder"], &layout[0]["files"]), (&"000".into(), &50.into()));
}

#[tokio::test]
async fn finds_missing_corrupt_truncated_and_orphaned_files() {
    let (store, probes) = (Store::of(30).await, probes());
    fs::remove_file(store.file(3)).unwrap();
    fs::write(store.file(5), "CONTENT of file 5").unwrap();
    fs::write(store.file(7), "content").unwrap();
    store.pool.execute("UPDATE tsrecelec SET rehash = NULL WHERE uri = 10").await.unwrap();
    fs::write(store.file(9), "Content of file 9").unwrap();
    fs::write(store.root().join("000/stray.bin"), "x").unwrap();
    age(&store.root().join("000/stray.bin"), Duration::from_secs(48 * 3600));
    fs::write(store.root().join("000/young.bin"), "x").unwrap();

    let target = store.target();
    let missing = store.rows(&probes, &target, "mode = \"missing\"").await;
    assert_eq!(
        (missing.len(), &missing[0]["resource"], &missing[0]["record_uri"]),
        (1, &"0000003.TXT".into(), &4.into())
    );
    let mut corrupt = store.rows(&probes, &target, "mode = \"corrupt\"\nsample = 0").await;
    corrupt.sort_by_key(|row| row["record_uri"].as_i64());
    let short: Vec<(&str, &str)> =
        corrupt.iter().map(|row| (row["resource"].as_str().unwrap(), row["reason"].as_str().unwrap())).collect();
    assert_eq!(short, [("000/0000005.TXT", "hash"), ("000/0000007.TXT", "size")]);
    let orphans = store.rows(&probes, &target, "mode = \"orphans\"").await;
    assert_eq!((orphans.len(), &orphans[0]["resource"]), (1, &"000/stray.bin".into()));
}

#[tokio::test]
async fn a_touched_file_is_hashed_first_and_the_draw_follows_the_run() {
    let (store, probes) = (Store::of(200).await, probes());
    store.pool.execute("UPDATE tsrecelec SET redatemod = now() + interval '1 day'").await.unwrap();
    store.pool.execute("UPDATE tsrecelec SET redatemod = now() - interval '1 day' WHERE uri = 78").await.unwrap();
    fs::write(store.file(77), "CONTENT of file 77").unwrap();
    for _ in 0..3 {
        let rows = store.rows(&probes, &store.target(), "mode = \"corrupt\"\nsample = 5").await;
        assert_eq!(rows.len(), 1, "{rows:?}");
    }
    // Damage everything without a trace in time: what is found shows what was drawn.
    for index in 0..200 {
        fs::write(store.file(index), format!("CONTENT of file {index}")).unwrap();
    }
    let drawn = async |target: &Target| {
        let mut found: Vec<i64> = store
            .rows(&super::probes(), target, "mode = \"corrupt\"\nsample = 20")
            .await
            .iter()
            .map(|row| row["record_uri"].as_i64().unwrap())
            .collect();
        found.sort_unstable();
        found
    };
    let (one, other) = (store.target(), store.target());
    let first = drawn(&one).await;
    assert_eq!(first.len(), 20);
    assert_eq!(first, drawn(&one).await);
    assert_ne!(first, drawn(&other).await);
}

#[tokio::test]
async fn one_run_walks_once_and_the_next_one_looks_again() {
    let (store, probes) = (Store::of(20).await, probes());
    let target = store.target();
    assert!(store.rows(&probes, &target, "mode = \"missing\"").await.is_empty());
    fs::remove_file(store.file(1)).unwrap();
    assert!(store.rows(&probes, &target, "mode = \"missing\"").await.is_empty());
    let counters = only(measure(&probes, "kind = \"store\"\nmode = \"counters\"", &target).await);
    assert_eq!(counters["items_drift"], 0);
    let next = Target { run: RunId(Uuid::new_v4()), ..target };
    assert_eq!(store.rows(&probes, &next, "mode = \"missing\"").await.len(), 1);
}

#[tokio::test]
async fn a_file_that_vanishes_while_files_are_hashed_is_no_error() {
    let (store, probes) = (Store::of(20).await, probes());
    let target = store.target();
    // The walk of this run has seen the file; by the time of the hashing it is gone.
    store.rows(&probes, &target, "mode = \"layout\"").await;
    fs::remove_file(store.file(2)).unwrap();
    let measured = measure(&probes, "kind = \"store\"\nmode = \"corrupt\"\nsample = 0", &target).await.unwrap();
    assert!(measured.rows.is_empty(), "{:?}", measured.rows);
    assert_eq!((&measured.facts["vanished"], &measured.facts["hashed"]), (&1.into(), &20.into()));
}

#[tokio::test]
async fn a_folder_that_can_not_be_used_is_told_and_a_store_that_is_gone_is_no_measurement() {
    let (store, probes) = (Store::of(1500).await, probes());
    let folder = store.root().join("001");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let rows = store.rows(&probes, &store.target(), "mode = \"access\"").await;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!((rows.len(), &rows[1]["readable"], &rows[1]["writable"]), (2, &true.into(), &false.into()));
    assert!(rows[1]["path"].as_str().unwrap().ends_with("/001"));

    fs::rename(store.root(), store.folder.path().join("elsewhere")).unwrap();
    let error = measure(&probes, "kind = \"store\"\nmode = \"missing\"", &store.target()).await.unwrap_err();
    assert!(error.cause.contains("D1/1"), "{error}");
    let row = only(measure(&probes, "kind = \"store\"\nmode = \"access\"", &store.target()).await);
    assert_eq!(row["readable"], false);
}

#[tokio::test]
async fn ten_thousand_files_take_well_under_a_second() {
    let (store, probes) = (Store::of(10_000).await, probes());
    let target = store.target();
    let begin = Instant::now();
    assert!(store.rows(&probes, &target, "mode = \"missing\"").await.is_empty());
    let walked = begin.elapsed();
    assert!(store.rows(&probes, &target, "mode = \"orphans\"").await.is_empty());
    assert!(store.rows(&probes, &target, "mode = \"corrupt\"\nsample = 500").await.is_empty());
    let all = begin.elapsed();
    println!("missing {walked:?}, with orphans and corrupt {all:?}");
    // Generous: the build is not optimised, and other tests run beside it.
    assert!(all < Duration::from_secs(4), "{all:?}");
}
