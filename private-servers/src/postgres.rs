//! A PostgreSQL of our own.

use crate::guard::{Account, Guarded, ServerError, signal_pid_file};
use crate::programs::postgres_programs;
use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Mutex;

/// The superuser of a private server.
const SUPERUSER: &str = "cmdiag";
const START_BOUND: Duration = Duration::from_secs(30);

/// How to run a private PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Its folder: `data/` (the cluster), `password`, `server.log` are made in it. Kept between starts.
    pub folder: PathBuf,
    /// Settings beside the defaults, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// A fixed port; a free one is chosen where there is none.
    pub port: Option<u16>,
    /// Whether the folder goes when the server ends: for tests.
    pub temporary: bool,
}

impl PostgresOptions {
    /// Durable, on a free port.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), settings: Vec::new(), port: None, temporary: false }
    }

    /// One more setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Trades durability over a power cut for speed: for tests only. A killed server still loses nothing that it had
    /// acknowledged, since the machine goes on.
    #[must_use]
    pub fn without_fsync(self) -> Self {
        // A test that ends in the middle of a connection's handshake leaves a session that nothing but this timeout
        // ends, and that DROP DATABASE waits for.
        self.setting("fsync", "off").setting("full_page_writes", "off").setting("authentication_timeout", "2s")
    }
}

/// A running private PostgreSQL; it stops when this is dropped or its process ends.
#[derive(Debug)]
pub struct PrivatePostgres {
    options: PostgresOptions,
    programs: PathBuf,
    account: Option<Account>,
    port: u16,
    password: String,
    /// `None` where another process of ours runs it.
    server: Mutex<Option<Guarded>>,
    owned: bool,
}

impl PrivatePostgres {
    /// Starts it, making the cluster the first time. Where another process already runs it, attaches to that one.
    pub async fn start(options: PostgresOptions) -> Result<Self, ServerError> {
        let programs = postgres_programs()?;
        let account = Account::unprivileged("postgres")?;
        std::fs::create_dir_all(&options.folder)
            .map_err(ServerError::io(format!("create the folder {}", options.folder.display())))?;
        // The server changes to "/" and may run as somebody else: a relative path would not do.
        let folder = std::fs::canonicalize(&options.folder).map_err(ServerError::io("find the server's folder"))?;
        let options = PostgresOptions { folder, ..options };
        let password = init_cluster(&options.folder, &programs, account).await?;
        if let Some(port) = running_port(&options.folder.join("data")).await {
            let attached = Self { options, programs, account, port, password, server: Mutex::new(None), owned: false };
            if attached.answers().await {
                return Ok(attached);
            }
            return attached.take_over().await;
        }
        Self { options, programs, account, port: 0, password, server: Mutex::new(None), owned: true }
            .launch_first()
            .await
    }

    /// The URL of one of its databases, as its superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The URL of one of its databases, as a role that [`Self::ensure_login`] made.
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a role that can log in and has the rights of `group`, no others, unless it is there; returns its password,
    /// which is kept beside the superuser's. The group is made where there is none.
    pub async fn ensure_login(&self, role: &str, group: &str) -> Result<String, ServerError> {
        let mut connection = self.connect("postgres").await?;
        let mut transaction = connection.begin().await.map_err(not_started)?;
        // Two processes that do this at once would collide.
        sqlx::query("SELECT pg_advisory_xact_lock(7203317152)")
            .execute(&mut *transaction)
            .await
            .map_err(not_started)?;
        let file = self.options.folder.join(format!("password.{role}"));
        let kept = std::fs::read_to_string(&file).ok().map(|text| text.trim().to_owned());
        let password = kept.clone().filter(|text| !text.is_empty()).unwrap_or_else(new_password);
        if kept.as_ref() != Some(&password) {
            write_private(&file, &password)?;
        }
        for (name, attributes) in [(group, "NOLOGIN"), (role, "LOGIN")] {
            let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)")
                .bind(name)
                .fetch_one(&mut *transaction)
                .await
                .map_err(not_started)?;
            if !exists {
                let make = format!("CREATE ROLE {} {attributes}", quoted(name));
                sqlx::query(&make).execute(&mut *transaction).await.map_err(not_started)?;
            }
        }
        // The password is of our own making: hexadecimal digits.
        let settle = format!("ALTER ROLE {} PASSWORD '{password}'", quoted(role));
        sqlx::query(&settle).execute(&mut *transaction).await.map_err(not_started)?;
        let join = format!("GRANT {} TO {}", quoted(group), quoted(role));
        sqlx::query(&join).execute(&mut *transaction).await.map_err(not_started)?;
        transaction.commit().await.map_err(not_started)?;
        connection.close().await.map_err(not_started)?;
        Ok(password)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether this process runs it (and not another that it attached to).
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// Makes a database unless it is there.
    pub async fn ensure_database(&self, name: &str) -> Result<(), ServerError> {
        let mut connection = self.connect("postgres").await?;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .map_err(not_started)?;
        if !exists {
            sqlx::query(&format!("CREATE DATABASE {}", quoted(name)))
                .execute(&mut connection)
                .await
                .map_err(not_started)?;
        }
        connection.close().await.map_err(not_started)
    }

    /// Stops it in good order.
    pub async fn stop(&self) {
        if let Some(mut server) = self.server.lock().await.take() {
            server.stop().await;
        }
    }

    /// Kills it as a crash would: `SIGKILL` to the postmaster, nothing flushed. For tests of what outlives a crash.
    pub async fn kill(&self) -> Result<(), ServerError> {
        signal_pid_file(&self.data().join("postmaster.pid"), Signal::KILL)
            .map_err(ServerError::io("kill the server"))?;
        if let Some(mut server) = self.server.lock().await.take() {
            server.stop().await;
        }
        Ok(())
    }

    /// Starts it again on the same port after [`Self::stop`] or [`Self::kill`].
    pub async fn restart(&self) -> Result<(), ServerError> {
        let deadline = tokio::time::Instant::now() + START_BOUND;
        loop {
            // After a kill, orphaned backends need a moment before the shared memory is free.
            match self.launch(self.port).await {
                Ok(server) => {
                    *self.server.lock().await = Some(server);
                    return Ok(());
                }
                Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn launch_first(mut self) -> Result<Self, ServerError> {
        let mut last = None;
        for _ in 0..5 {
            // Between asking for a free port and taking it somebody else may be quicker: hence the tries.
            self.port = self.options.port.map_or_else(free_port, Ok)?;
            match self.launch(self.port).await {
                Ok(server) => {
                    self.server = Mutex::new(Some(server));
                    return Ok(self);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(ServerError::NotStarted { what: "PostgreSQL", reason: "no port".to_owned() }))
    }

    /// The pid file is a dead server's: start our own.
    async fn take_over(mut self) -> Result<Self, ServerError> {
        self.owned = true;
        self.launch_first().await
    }

    async fn launch(&self, port: u16) -> Result<Guarded, ServerError> {
        let log_path = self.options.folder.join("server.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&log_path);
        let log = log.map_err(ServerError::io("open the server's log"))?;
        let argv = self.arguments(port);
        let removes = self.options.temporary.then_some(self.options.folder.as_path());
        let mut server = Guarded::start(self.account, "INT", &argv, log, removes)?;
        let deadline = tokio::time::Instant::now() + START_BOUND;
        loop {
            if try_connect(port, &self.password, "postgres").await.is_ok() {
                return Ok(server);
            }
            if !server.is_running() || tokio::time::Instant::now() > deadline {
                server.stop().await;
                return Err(ServerError::NotStarted { what: "PostgreSQL", reason: last_lines(&log_path) });
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    fn arguments(&self, port: u16) -> Vec<OsString> {
        let mut argv: Vec<OsString> = vec![self.programs.join("postgres").into(), "-D".into(), self.data().into()];
        let fixed = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("unix_socket_directories", String::new()),
            ("max_connections", "200".to_owned()),
            ("shared_buffers", "128MB".to_owned()),
            ("max_wal_size", "2GB".to_owned()),
            ("log_min_messages", "warning".to_owned()),
        ];
        for (name, value) in fixed.into_iter().map(owned).chain(self.options.settings.iter().cloned()) {
            argv.push("-c".into());
            argv.push(format!("{name}={value}").into());
        }
        argv
    }

    fn data(&self) -> PathBuf {
        self.options.folder.join("data")
    }

    async fn answers(&self) -> bool {
        try_connect(self.port, &self.password, "postgres").await.is_ok()
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, ServerError> {
        try_connect(self.port, &self.password, database).await.map_err(not_started)
    }
}

fn new_password() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn try_connect(port: u16, password: &str, database: &str) -> Result<PgConnection, sqlx::Error> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(SUPERUSER)
        .password(password)
        .database(database)
        .disable_statement_logging();
    let bound = Duration::from_secs(5);
    tokio::time::timeout(bound, options.connect()).await.map_err(|_| sqlx::Error::PoolTimedOut)?
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn not_started(error: sqlx::Error) -> ServerError {
    ServerError::NotStarted { what: "PostgreSQL", reason: error.to_string() }
}

/// Makes the cluster and its password unless they are there; returns the password.
async fn init_cluster(folder: &Path, programs: &Path, account: Option<Account>) -> Result<String, ServerError> {
    let password_file = folder.join("password");
    let data = folder.join("data");
    if data.join("PG_VERSION").exists() && password_file.exists() {
        let text = std::fs::read_to_string(&password_file).map_err(ServerError::io("read the server's password"))?;
        return Ok(text.trim().to_owned());
    }
    // The cluster is made beside its place and moved there whole: a start that was cut off leaves no half cluster.
    let making = folder.join("data.making");
    if making.exists() {
        std::fs::remove_dir_all(&making).map_err(ServerError::io("remove a half-made cluster"))?;
    }
    reachable(folder, account).await?;
    Account::own(account, &making)?;
    let password = new_password();
    let handed = making.with_extension("password");
    write_private(&handed, &password)?;
    if account.is_some() {
        Account::own(account, &making)?;
        give(&handed, account)?;
    }
    let argv: Vec<OsString> = vec![
        programs.join("initdb").into(),
        "-D".into(),
        making.clone().into(),
        "-U".into(),
        SUPERUSER.into(),
        "-A".into(),
        "scram-sha-256".into(),
        "--pwfile".into(),
        handed.clone().into(),
        "-E".into(),
        "UTF8".into(),
        "--locale=C.UTF-8".into(),
        "--data-checksums".into(),
        "--no-sync".into(),
    ];
    let made = Account::run(account, &argv).await;
    let _ = std::fs::remove_file(&handed);
    made?;
    write_private(&password_file, &password)?;
    std::fs::rename(&making, &data).map_err(ServerError::io("move the new cluster to its place"))?;
    Ok(password)
}

/// The account must be able to enter the folder; said clearly here, instead of by initdb's own words.
async fn reachable(folder: &Path, account: Option<Account>) -> Result<(), ServerError> {
    let argv: Vec<OsString> = vec!["test".into(), "-x".into(), folder.into()];
    match Account::run(account, &argv).await {
        Ok(_) => Ok(()),
        Err(ServerError::NotStarted { .. }) => Err(ServerError::NotStarted {
            what: "PostgreSQL",
            reason: format!(
                "its account can not enter {}; choose another folder (CMDIAG_DATA_DIR) that every account may enter",
                folder.display()
            ),
        }),
        Err(other) => Err(other),
    }
}

fn give(file: &Path, account: Option<Account>) -> Result<(), ServerError> {
    if let Some(owner) = account {
        owner.own_file(file)?;
    }
    Ok(())
}

fn write_private(file: &Path, text: &str) -> Result<(), ServerError> {
    let open = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(file);
    let written = open.and_then(|mut handle| handle.write_all(text.as_bytes()));
    written.map_err(ServerError::io(format!("write {}", file.display())))
}

/// The port of a server that runs on the cluster, by its pid file.
async fn running_port(data: &Path) -> Option<u16> {
    let text = tokio::fs::read_to_string(data.join("postmaster.pid")).await.ok()?;
    let mut lines = text.lines();
    let pid: u32 = lines.next()?.trim().parse().ok()?;
    let port = lines.nth(2)?.trim().parse().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(port)
}

pub(crate) fn free_port() -> Result<u16, ServerError> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(ServerError::io("find a free port"))?;
    listener.local_addr().map(|address| address.port()).map_err(ServerError::io("find a free port"))
}

pub(crate) fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

pub(crate) fn owned((name, value): (&str, String)) -> (String, String) {
    (name.to_owned(), value)
}
