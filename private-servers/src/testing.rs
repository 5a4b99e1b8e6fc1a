//! Databases for tests: each test has its own, and leaves nothing.
//!
//! They live on the server that `CMDIAG_TEST_DATABASE_URL` names (`make test` starts one and names it), or on a private
//! one that is started for the test's process.

use crate::{PostgresOptions, PrivatePostgres};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor};
use tokio::sync::OnceCell;

static SERVER: OnceCell<TestServer> = OnceCell::const_new();

/// A panic is a test's way to say that its set-up failed.
#[derive(Debug)]
struct TestServer {
    admin_url: String,
    _private: Option<PrivatePostgres>,
}

/// A database of one test; dropped with it.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    admin_url: String,
}

impl TestDatabase {
    /// An empty database.
    pub async fn create() -> Self {
        Self::from_template("template0").await
    }

    /// A database with all migrations applied.
    pub async fn migrated() -> Self {
        let server = server().await;
        let template = migrated_template(&server.admin_url).await;
        Self::from_template(&template).await
    }

    /// Its URL, as superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A small pool on it, with the platform's search path.
    pub async fn pool(&self) -> PgPool {
        self.pool_of(8).await
    }

    /// A pool of so many connections.
    #[expect(clippy::expect_used, reason = "a test's set-up fails by panicking")]
    pub async fn pool_of(&self, connections: u32) -> PgPool {
        let options = migrations::connect_options(&self.url).expect("a valid URL");
        PgPoolOptions::new()
            .max_connections(connections)
            .connect_with(options)
            .await
            .expect("the test database answers")
    }

    #[expect(clippy::expect_used, reason = "a test's set-up fails by panicking")]
    async fn from_template(template: &str) -> Self {
        let server = server().await;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut admin = connect(&server.admin_url).await;
        admin
            .execute(format!("CREATE DATABASE {name} TEMPLATE {template}").as_str())
            .await
            .expect("the test server makes a database");
        let _ = admin.close().await;
        let url = with_database(&server.admin_url, &name);
        Self { name, url, admin_url: server.admin_url.clone() }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, url) = (self.name.clone(), self.admin_url.clone());
        // Drop is not async, and the test's runtime may be single-threaded: another thread does it, and we wait.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                if let Ok(mut admin) = PgConnection::connect(&url).await {
                    let _ = admin.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)").as_str()).await;
                }
            });
        });
        let _ = thread.join();
    }
}

#[expect(clippy::expect_used, reason = "a test's set-up fails by panicking")]
async fn server() -> &'static TestServer {
    SERVER
        .get_or_init(|| async {
            if let Ok(admin_url) = std::env::var("CMDIAG_TEST_DATABASE_URL") {
                return TestServer { admin_url, _private: None };
            }
            // A static is never dropped: the server's guard removes the folder when this process has ended.
            let folder = test_folder().keep();
            let options = PostgresOptions { temporary: true, ..PostgresOptions::new(folder).without_fsync() };
            let private = PrivatePostgres::start(options).await.expect("a private PostgreSQL for the tests");
            TestServer { admin_url: private.url("postgres"), _private: Some(private) }
        })
        .await
}

/// A folder that a server's unprivileged account can enter; gone with its handle.
#[expect(clippy::expect_used, reason = "a test's set-up fails by panicking")]
pub fn test_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::Builder::new().prefix("cmdiag-test-").tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("an open folder");
    folder
}

/// Makes the template with all migrations once per server and set of migrations; others wait for it.
#[expect(clippy::expect_used, reason = "a test's set-up fails by panicking")]
async fn migrated_template(admin_url: &str) -> String {
    let mut print: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in migrations::MIGRATOR.iter().flat_map(|one| one.checksum.iter()) {
        print = (print ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let name = format!("template_{print:016x}");
    let mut admin = connect(admin_url).await;
    admin.execute("SELECT pg_advisory_lock(7203317151)").await.expect("the lock on the template");
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut admin)
        .await
        .expect("the list of databases");
    if !exists {
        let making = format!("{name}_making");
        for statement in [format!("DROP DATABASE IF EXISTS {making} WITH (FORCE)"), format!("CREATE DATABASE {making}")]
        {
            admin.execute(statement.as_str()).await.expect("the template's database");
        }
        migrations::migrate(&with_database(admin_url, &making)).await.expect("the migrations apply");
        let rename = format!("ALTER DATABASE {making} RENAME TO {name}");
        admin.execute(rename.as_str()).await.expect("the template's name");
    }
    let _ = admin.close().await;
    name
}

#[expect(clippy::expect_used, reason = "a test's set-up fails by panicking")]
async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the test server answers")
}

/// The same server, another database.
fn with_database(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap_or((url, ""));
    format!("{server}/{database}")
}
