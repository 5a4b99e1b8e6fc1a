//! The data are made once, true to each other, and follow from the seed.

use crate::support::{BOUND, folder, listing, picture, small_lab, tables};
use lab::{Lab, LabError, LabHandle, LabOptions};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[tokio::test]
async fn coming_up_twice_gives_the_same_data_and_ports() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let (before, description) = (picture(lab.handle()).await, lab.description().clone());
    lab.stop().await;
    let lab = small_lab(dir.path()).await;
    let after = picture(lab.handle()).await;
    assert_eq!(after.stores, before.stores);
    assert_eq!(after.tables, before.tables);
    assert_eq!(after.config, before.config);
    assert_eq!(lab.description(), &description);
    assert!(matches!(Lab::up(LabOptions::small(dir.path())).await, Err(LabError::AlreadyUp(_))));
    lab.stop().await;
    let other = LabOptions { seed: 2, ..LabOptions::small(dir.path()) };
    assert!(matches!(Lab::up(other).await, Err(LabError::Options(_))), "another seed is not silently the old data");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_files() {
    let (one, two) = (folder(), folder());
    let mut found = Vec::new();
    for dir in [&one, &two] {
        let lab = small_lab(dir.path()).await;
        let stores = lab.handle().folders().stores();
        let contents: Vec<(PathBuf, String)> = listing(&stores)
            .into_iter()
            .map(|(path, told)| {
                let hash = told.rsplit(' ').next().unwrap_or_default().to_owned();
                (path.strip_prefix(&stores).unwrap().to_owned(), hash)
            })
            .collect();
        found.push(contents);
        lab.stop().await;
    }
    assert_eq!(found[0], found[1]);
}

#[tokio::test]
async fn recorded_sizes_hashes_and_counters_are_true() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let pool = lab.handle().dataset().await.unwrap();
    let rows: Vec<(i64, String, i64, String)> = sqlx::query_as(
        "SELECT restore, resid, rebytes, rehash FROM tsrecelec
         UNION ALL SELECT restore, resid, rvbytes, rvhash FROM tserecvsn
         UNION ALL SELECT restore, resid, rdbytes, rdhash FROM tsrenditio",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert_eq!(rows.len(), 100);
    for (store, resid, bytes, hash) in &rows {
        let root = lab.handle().folders().store(*store);
        let path =
            std::fs::read_dir(root).unwrap().flatten().map(|one| one.path().join(resid)).find(|one| one.exists());
        let content = std::fs::read(path.expect("the file is there")).unwrap();
        assert_eq!((content.len() as i64, hex::encode(Sha256::digest(&content))), (*bytes, hash.clone()), "{resid}");
        assert!(content.starts_with(b"DOUBLE"));
    }
    for store in [1, 2] {
        let (items, bytes): (i64, i64) = sqlx::query_as("SELECT esitems, esbytes FROM tselecstor WHERE uri = $1")
            .bind(store)
            .fetch_one(pool)
            .await
            .unwrap();
        let mine: Vec<i64> = rows.iter().filter(|row| row.0 == store).map(|row| row.2).collect();
        assert_eq!((items, bytes), (mine.len() as i64, mine.iter().sum()));
    }
    let lacking: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tsrecord r JOIN tsrectype t ON t.uri = r.rcrectypeuri
         WHERE t.rtneedsdocument <> EXISTS (SELECT 1 FROM tsrecelec e WHERE e.uri = r.uri)",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(lacking, 0, "exactly the records that need a document have one");
    lab.stop().await;
}

#[tokio::test]
async fn the_monitoring_role_reads_and_can_not_write() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let dataset = lab.description().component("dataset").unwrap();
    let lab::SecretPlace::File(file) = &dataset.secrets["password"];
    let password = std::fs::read_to_string(file).unwrap();
    let options: sqlx::postgres::PgConnectOptions = dataset.settings["url"].parse().unwrap();
    let pool = sqlx::PgPool::connect_with(options.password(password.trim())).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>("SELECT count(*) FROM tsrecord").fetch_one(&pool).await.unwrap(), 500);
    assert!(sqlx::query("SET default_transaction_read_only = off").execute(&pool).await.is_ok());
    assert!(sqlx::query("DELETE FROM tsrecord").execute(&pool).await.is_err());
    let others: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE query <> '' AND pid <> pg_backend_pid()")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(others > 0, "pg_monitor sees what others run");
    pool.close().await;
    lab.stop().await;
}

#[tokio::test]
async fn the_operator_maintains_and_can_neither_delete_nor_help_itself() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let dataset = lab.description().component("dataset").unwrap();
    let lab::SecretPlace::File(file) = &dataset.secrets["action_password"];
    let password = std::fs::read_to_string(file).unwrap();
    let options: sqlx::postgres::PgConnectOptions = dataset.settings["url"].parse().unwrap();
    let options = options.username(&dataset.settings["action_user"]).password(password.trim());
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    for allowed in [
        "ANALYZE tsrecord",
        "VACUUM tsrecord",
        "CREATE INDEX CONCURRENTLY made ON tsrecord (rctitle)",
        "REINDEX INDEX CONCURRENTLY made",
        "DROP INDEX CONCURRENTLY made",
        "ALTER SEQUENCE tsreclink_uri_seq AS bigint MAXVALUE 9000000000",
        "UPDATE tsrecelec SET reindexstatus = reindexstatus WHERE uri = 1",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(allowed).execute(&pool).await.unwrap_or_else(|error| panic!("{allowed}: {error}"));
    }
    for forbidden in [
        "DELETE FROM tsrecord",
        "DELETE FROM tsrecelec",
        "TRUNCATE tsrecord",
        "DROP TABLE tsrecord",
        "UPDATE tsrecelec SET rebytes = 1",
        "UPDATE tsrecord SET rctitle = 'x'",
        "INSERT INTO tsrectype VALUES (99, 'x', false)",
        "ALTER TABLE tsrecord DROP COLUMN rctitle",
        "ALTER TABLE tsrecord DISABLE TRIGGER ALL",
        "CREATE TABLE x (a int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "GRANT DELETE ON tsrecord TO CURRENT_USER",
        "GRANT DELETE ON tsrecord TO PUBLIC",
        "DROP EVENT TRIGGER double_operator_guard",
        "ALTER SYSTEM SET archive_command = 'x'",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "COPY tsrecord TO PROGRAM 'true'",
    ] {
        assert!(sqlx::query(forbidden).execute(&pool).await.is_err(), "{forbidden}");
        let owned = format!("SET ROLE cm_tables; {forbidden}");
        assert!(sqlx::raw_sql(&owned).execute(&pool).await.is_err(), "{owned}");
        sqlx::raw_sql("RESET ROLE").execute(&pool).await.unwrap();
    }
    pool.close().await;
    lab.stop().await;
}

#[tokio::test]
async fn a_healthy_database_looks_cared_for() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let pool = lab.handle().dataset().await.unwrap();
    let neglected: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_stat_user_tables
         WHERE last_analyze IS NULL OR last_vacuum IS NULL OR n_dead_tup > 100 + n_live_tup",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(neglected.is_empty(), "{neglected:?}");
    lab.stop().await;
}

#[tokio::test]
async fn a_creation_that_was_cut_off_is_done_again_and_foreign_folders_are_left_alone() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let before = tables(lab.handle().dataset().await.unwrap()).await["tsrectype"].clone();
    lab.stop().await;
    // As if it had ended just before its last step.
    std::fs::remove_file(dir.path().join("lab.json")).unwrap();
    let lab = small_lab(dir.path()).await;
    assert_eq!(tables(lab.handle().dataset().await.unwrap()).await["tsrectype"], before);
    lab.stop().await;
    let foreign = folder();
    std::fs::create_dir(foreign.path().join("stores")).unwrap();
    assert!(Lab::up(LabOptions::small(foreign.path())).await.is_err());
    assert!(foreign.path().join("stores").exists());
    assert!(matches!(LabHandle::open(foreign.path()), Err(LabError::NoLab(_))));
}

#[tokio::test]
async fn two_labs_share_a_server_under_different_names() {
    let database = private_servers::testing::TestDatabase::create().await;
    let dir = folder();
    let name = database.name().to_owned() + "_lab";
    let options = LabOptions {
        postgres_url: Some(database.url().to_owned()),
        database: name.clone(),
        ..LabOptions::small(dir.path())
    };
    let lab = Lab::up(options).await.expect("it comes up on a given server");
    assert!(lab.description().component("dataset").unwrap().settings["url"].contains(&format!("{name}_monitor@")));
    lab.stop().await;
    let pool = database.pool().await;
    for statement in [
        format!("DROP DATABASE {name} WITH (FORCE)"),
        // What it may do with the server's settings belongs to the server.
        format!("DROP OWNED BY {name}_operator"),
        format!("DROP ROLE {name}_operator"),
        format!("DROP ROLE {name}_owner"),
        format!("DROP ROLE {name}_monitor"),
        format!("DROP ROLE {name}_tables"),
    ] {
        tokio::time::timeout(BOUND, sqlx::query(&statement).execute(&pool)).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_default_lab_has_its_volume_and_comes_up_again_quickly() {
    let dir = folder();
    let options = || LabOptions { without_fsync: true, ..LabOptions::new(dir.path()) };
    let start = Instant::now();
    let lab = Lab::up(options()).await.unwrap();
    let made = start.elapsed();
    let pool = lab.handle().dataset().await.unwrap();
    let records: i64 = sqlx::query_scalar("SELECT count(*) FROM tsrecord").fetch_one(pool).await.unwrap();
    let files = listing(&lab.handle().folders().stores()).into_keys().filter(|path| path.is_file()).count();
    assert_eq!((records, files), (50_000, 10_000));
    lab.stop().await;
    let start = Instant::now();
    let lab = Lab::up(options()).await.unwrap();
    println!("made in {made:?}, up again in {:?}", start.elapsed());
    // Measured 4 s and 0.3 s; other tests run beside this one.
    assert!(made < Duration::from_mins(1) && start.elapsed() < Duration::from_secs(15));
    lab.stop().await;
}
