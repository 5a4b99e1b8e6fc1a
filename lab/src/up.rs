//! Starting the lab and keeping it up.

use crate::config;
use crate::database::{self, Roles};
use crate::describe;
use crate::description::LabDescription;
use crate::error::LabError;
use crate::handle::LabHandle;
use crate::index::{self, IndexDouble};
use crate::layout::{Folders, WORKGROUP_SERVERS, try_lock, write_atomically};
use crate::live::conductor::Conductor;
use crate::live::sessions::Sessions;
use crate::live::wgs::WgsDoubles;
use crate::manifest::Manifest;
use crate::options::LabOptions;
use crate::redis;
use crate::spaces;
use crate::store;
use crate::web::{self, Listener};
use chrono::{DateTime, SubsecRound as _, Utc};
use private_servers::{PostgresOptions, PrivatePostgres};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long tasks may take to end.
const STOP_BOUND: Duration = Duration::from_secs(10);
/// How often to ask for the lock: whoever only asks about it holds it for a moment.
const LOCK_TRIES: u32 = 20;
/// Below the range from which systems take ports for outgoing connections, so that a port that a fault has closed is
/// still free when it is opened again.
const PORTS_FROM: u16 = 20_000;
const PORTS_SPAN: u16 = 10_000;

/// A lab that this process keeps up; it goes down when this is dropped.
pub struct Lab {
    handle: LabHandle,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    postgres: Option<PrivatePostgres>,
    pools: Vec<PgPool>,
    _lock: File,
}

impl Lab {
    /// Makes the lab the first time, and starts it.
    pub async fn up(options: LabOptions) -> Result<Self, LabError> {
        options.check()?;
        let volume = options.volume()?;
        std::fs::create_dir_all(&options.dir).map_err(LabError::io("create", &options.dir))?;
        let root = std::fs::canonicalize(&options.dir).map_err(LabError::io("find", &options.dir))?;
        let folders = Folders::new(root);
        let lock = take_lock(&folders).await?;
        let old = Manifest::read(&folders)?;
        if let Some(old) = &old {
            let same = (old.seed, old.records, old.files) == (options.seed, volume.records, volume.files);
            if !same || old.database != options.database {
                return Err(LabError::Options(format!(
                    "the lab in {} was made with seed {}, {} records, {} files, database {}; remove the folder, or ask \
                     for the same",
                    folders.root().display(),
                    old.seed,
                    old.records,
                    old.files,
                    old.database
                )));
            }
        }
        let mut ports = old.as_ref().map(|old| old.ports.clone()).unwrap_or_default();
        let (postgres, admin_url) = start_postgres(&options, &folders, &mut ports).await?;
        let born = match &old {
            Some(old) => old.born,
            None => make_data(&options, &folders, &admin_url).await?,
        };
        Self::start(options, folders, lock, (postgres, admin_url), ports, born).await
    }

    async fn start(
        options: LabOptions,
        folders: Folders,
        lock: File,
        (postgres, admin_url): (Option<PrivatePostgres>, String),
        mut ports: BTreeMap<String, u16>,
        born: DateTime<Utc>,
    ) -> Result<Self, LabError> {
        let roles = Roles::of(&options.database);
        let volume = options.volume()?;
        let admin = database::pool(database::connect_options(&admin_url, &options.database)?, 6).await?;
        database::ensure_roles(&mut *admin.acquire().await.map_err(LabError::db("connect"))?, &folders, &roles).await?;
        database::ensure_later_tables(&admin, &roles).await?;
        database::ensure_operator(&admin, &roles).await?;
        config::render_all(&folders, options.seed)?;
        web::ensure_authority(&folders, (options.clock)())?;
        web::issue(&folders, (options.clock)())?;
        spaces::ensure(&folders, volume, options.seed, born).await?;
        for part in WORKGROUP_SERVERS.into_iter().chain(["web", "index"]) {
            drop(listen(&mut ports, part).await?);
        }
        if options.redis_url.is_some() {
            redis::allow_actions(&options, &folders).await?;
        }
        let description = describe::describe(&options, &folders, &roles, &ports, &admin_url)?;
        let manifest = Manifest {
            double: true,
            seed: options.seed,
            records: volume.records,
            files: volume.files,
            born,
            database: options.database.clone(),
            ports: ports.clone(),
            description,
        };
        manifest.write(&folders)?;
        let handle = LabHandle::new(folders.clone(), manifest.clone(), options.clock);
        let sessions = Sessions::new(admin.clone(), owner_options(&options, &folders, &roles, &admin_url)?);
        let web_options = owner_options(&options, &folders, &roles, &admin_url)?;
        let web_pool = database::pool(web_options.options([("statement_timeout", "10s")]), 4).await?;
        let (sender, receiver) = watch::channel(Arc::new(Vec::new()));
        let authorization: Arc<str> = describe::authorization(&folders)?.into();
        let state = web::WebState {
            pool: web_pool.clone(),
            switches: receiver.clone(),
            clock: options.clock,
            folders: folders.clone(),
            seed: options.seed,
            authorization: Arc::clone(&authorization),
        };
        let content_index = IndexDouble::new(folders.clone(), web_pool.clone(), authorization);
        let tls = web::server_config(&folders)?;
        let mut lab = Self {
            handle: LabHandle::new(folders, manifest, options.clock),
            cancel: CancellationToken::new(),
            tasks: JoinSet::new(),
            postgres,
            pools: vec![admin.clone(), web_pool],
            _lock: lock,
        };
        let port = |part: &str| ports.get(part).copied().unwrap_or_default();
        let web = Listener::new(port("web"), Some(tls), web::router(state));
        let index = Listener::new(port("index"), None, index::router(content_index.clone()));
        ports.retain(|name, _| WORKGROUP_SERVERS.contains(&name.as_str()));
        let doubles = (WgsDoubles::new(ports), web);
        let conductor = Conductor::new(handle, admin, sender, doubles, sessions)?;
        content_index.follow().await?;
        lab.run(conductor, index).await?;
        Ok(lab)
    }

    async fn run(&mut self, conductor: Conductor, mut index: Listener) -> Result<(), LabError> {
        let conductor = Arc::new(conductor);
        let generation = conductor.begin().await?;
        index.apply(true, false).await?;
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            cancel.cancelled().await;
            drop(index);
        });
        let (watching, cancel) = (Arc::clone(&conductor), self.cancel.clone());
        self.tasks.spawn(async move { watching.watch_control(generation, cancel).await });
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move { conductor.pass_time(cancel).await });
        Ok(())
    }

    /// The deployment to register.
    pub fn description(&self) -> &LabDescription {
        self.handle.description()
    }

    /// To plant and mend faults, and to look at the lab's parts.
    pub fn handle(&self) -> &LabHandle {
        &self.handle
    }

    /// Takes it down in good order. Its data stay.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(STOP_BOUND, ended).await;
        for pool in &self.pools {
            let _ = tokio::time::timeout(STOP_BOUND, pool.close()).await;
        }
        if let Some(postgres) = self.postgres.take() {
            postgres.stop().await;
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn take_lock(folders: &Folders) -> Result<File, LabError> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = try_lock(&folders.up_lock())? {
            return Ok(lock);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(LabError::AlreadyUp(folders.root().to_owned()))
}

/// The server: the given one, or our own on the port it had before. Returns the URL of its superuser.
async fn start_postgres(
    options: &LabOptions,
    folders: &Folders,
    ports: &mut BTreeMap<String, u16>,
) -> Result<(Option<PrivatePostgres>, String), LabError> {
    if let Some(url) = &options.postgres_url {
        write_atomically(&folders.admin_url(), url.as_bytes(), 0o600)?;
        return Ok((None, url.clone()));
    }
    let mut own = PostgresOptions::new(folders.postgres());
    if options.without_fsync {
        own = own.without_fsync();
    }
    let before = ports.get("postgres").copied();
    let port = before.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let server = PrivatePostgres::start(PostgresOptions { port, ..own }).await?;
    ports.insert("postgres".to_owned(), server.port());
    let url = server.url("postgres");
    write_atomically(&folders.admin_url(), url.as_bytes(), 0o600)?;
    Ok((Some(server), url))
}

/// Makes stores and dataset from nothing. What an earlier, unfinished try has left is removed first.
async fn make_data(options: &LabOptions, folders: &Folders, admin_url: &str) -> Result<DateTime<Utc>, LabError> {
    let volume = options.volume()?;
    let born = (options.clock)().trunc_subsecs(0);
    clear(folders)?;
    let text =
        "Everything in this folder is a DOUBLE of a Content Manager deployment, made by a lab. Nothing is real.\n";
    write_atomically(&folders.marker(), text.as_bytes(), 0o644)?;
    let roles = Roles::of(&options.database);
    let mut admin = database::connect(&database::connect_options(admin_url, "postgres")?).await?;
    let planned = store::plan(volume, options.seed);
    let database_made = async {
        database::ensure_roles(&mut admin, folders, &roles).await?;
        database::recreate(&mut admin, options, &roles).await
    };
    let (stored, made) =
        tokio::join!(store::write_all(folders, store::Tree::Stores, planned, options.seed, born), database_made);
    made?;
    let pool = database::pool(database::connect_options(admin_url, &options.database)?, 1).await?;
    database::make_schema(&pool, &roles).await?;
    database::ensure_later_tables(&pool, &roles).await?;
    database::load(&pool, folders, volume, options.seed, born, &stored?).await?;
    // All tables: nothing may look neglected from the start.
    database::vacuum(&pool, &[]).await?;
    pool.close().await;
    Ok(born)
}

/// Only where the marker says that the lab made it.
fn clear(folders: &Folders) -> Result<(), LabError> {
    let made = [
        "stores",
        "logs",
        "audit",
        "config",
        "faults",
        "content-index",
        "services",
        "backup",
        "quarantine",
        "archive",
        "temp",
    ]
    .map(|name| folders.root().join(name));
    let files = [folders.control(), folders.control_ack(), folders.planted()];
    let there: Vec<&Path> = made.iter().chain(&files).map(PathBuf::as_path).filter(|path| path.exists()).collect();
    if there.is_empty() {
        return Ok(());
    }
    if !folders.marker().exists() {
        return Err(LabError::Options(format!(
            "{} holds something that no lab has made; choose another folder",
            folders.root().display()
        )));
    }
    for path in there {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.map_err(LabError::io("remove", path))?;
    }
    Ok(())
}

fn owner_options(
    options: &LabOptions,
    folders: &Folders,
    roles: &Roles,
    admin_url: &str,
) -> Result<sqlx::postgres::PgConnectOptions, LabError> {
    let file = folders.owner_password();
    let password = std::fs::read_to_string(&file).map_err(LabError::io("read", &file))?;
    let base = database::connect_options(admin_url, &options.database)?;
    Ok(base.username(&roles.owner).password(password.trim()))
}

/// Listens on the port that a part had before, or on a free one.
async fn listen(ports: &mut BTreeMap<String, u16>, part: &str) -> Result<TcpListener, LabError> {
    if let Some(before) = ports.get(part)
        && let Ok(listener) = TcpListener::bind(("127.0.0.1", *before)).await
    {
        return Ok(listener);
    }
    let mut last = std::io::Error::other("no port was tried");
    for _ in 0..200 {
        let candidate = PORTS_FROM + rand::random_range(0..PORTS_SPAN);
        if ports.values().any(|used| *used == candidate) {
            continue;
        }
        match TcpListener::bind(("127.0.0.1", candidate)).await {
            Ok(listener) => {
                ports.insert(part.to_owned(), candidate);
                return Ok(listener);
            }
            Err(error) => last = error,
        }
    }
    Err(LabError::io("find a free port on", "127.0.0.1")(last))
}
