//! A small store with its dataset, backup and quarantine, for the tests of the actions on stores.

use crate::action::ActionTarget;
use crate::action::file::testing::{component, target};
use domain::deployment::{Component, ComponentKind, SecretRef};
use private_servers::testing::TestDatabase;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub(super) struct Fixture {
    dir: tempfile::TempDir,
    database: TestDatabase,
    pool: sqlx::PgPool,
}

impl Fixture {
    /// A file `000/a.pdf` of record 1 that is as recorded, in store and backup.
    pub(super) async fn new() -> Self {
        let database = TestDatabase::create().await;
        let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
        let fixture = Self { dir: tempfile::tempdir().unwrap(), database, pool };
        let schema = "CREATE TABLE tsrecelec (uri bigint, resid text, restore bigint, rebytes bigint, rehash text);
            CREATE TABLE tserecvsn (rvrecuri bigint, resid text, restore bigint, rvbytes bigint, rvhash text);
            CREATE TABLE tsrenditio (rdrecuri bigint, resid text, restore bigint, rdbytes bigint, rdhash text);";
        sqlx::raw_sql(schema).execute(&fixture.pool).await.unwrap();
        for part in ["store/D1/1/000", "backup/D1/1/000", "quarantine", "outside"] {
            std::fs::create_dir_all(fixture.path(part)).unwrap();
        }
        let login = fixture.database.url().split("://").nth(1).and_then(|rest| rest.split('@').next()).unwrap();
        std::fs::write(fixture.path("password"), login.split(':').nth(1).unwrap_or_default()).unwrap();
        fixture.record(1, "a.pdf", Some(b"original")).await;
        fixture.put("store/D1/1/000/a.pdf", b"original", 3);
        fixture.put("backup/D1/1/000/a.pdf", b"original", 3);
        fixture
    }

    pub(super) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// A file, so many days older than the target's now.
    pub(super) fn put(&self, relative: &str, bytes: &[u8], days: u64) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let now: SystemTime = SystemTime::from(self.target().now);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(now - Duration::from_hours(24 * days)).unwrap();
        let read_only = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o444);
        std::fs::set_permissions(&path, read_only).unwrap();
    }

    pub(super) fn remove(&self, relative: &str) {
        std::fs::remove_file(self.path(relative)).unwrap();
    }

    /// A row that names a file; without content, one without a hash.
    pub(super) async fn record(&self, uri: i64, resid: &str, content: Option<&[u8]>) {
        let hash = content.map(|content| hex::encode(Sha256::digest(content)));
        sqlx::query("INSERT INTO tsrecelec VALUES ($1, $2, 1, $3, $4)")
            .bind(uri)
            .bind(resid)
            .bind(content.map_or(8, <[u8]>::len) as i64)
            .bind(hash)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    pub(super) async fn sql(&self, statement: &str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }

    pub(super) fn target(&self) -> ActionTarget {
        target(&self.components())
    }

    pub(super) fn components(&self) -> [Component; 2] {
        let text = |part: &str| self.path(part).display().to_string();
        let store = component(
            "store-1",
            ComponentKind::DocumentStore,
            &[
                ("path", text("store")),
                ("backup_path", text("backup")),
                ("quarantine_path", text("quarantine")),
                ("dbid", "D1".to_owned()),
                ("store_number", "1".to_owned()),
                ("dataset", "dataset".to_owned()),
            ],
        );
        let url: sqlx::postgres::PgConnectOptions = self.database.url().parse().unwrap();
        let settings = [("url", self.database.url().to_owned()), ("action_user", url.get_username().to_owned())];
        let mut dataset = component("dataset", ComponentKind::DatasetDatabase, &settings);
        dataset.secrets.insert("action_password".to_owned(), SecretRef::File(text("password")));
        [store, dataset]
    }
}
