//! Connections to the databases under care: few, reused for a short time, each with the process id of its backend so
//! that its query can be cancelled on the server.
//!
//! This is no `sqlx::Pool`: a pool hides why it can not connect behind its own time-out, and it waits for a forgotten
//! query to end where we want it cancelled.

use super::errors::explain;
use crate::probe::{ProbeError, Secret, setting_of};
use domain::deployment::Component;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The most connections to one target at a time.
const MAX_CONNECTIONS: usize = 4;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(20);
/// The most targets whose connections are kept.
const MAX_TARGETS: usize = 64;
/// How long a connect, and a cancel on the server, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// All targets.
#[derive(Default)]
pub(crate) struct SqlTargets {
    targets: Mutex<HashMap<String, Arc<SqlTarget>>>,
    closing: CancellationToken,
    cancels: TaskTracker,
}

struct SqlTarget {
    component: Component,
    options: PgConnectOptions,
    secret: Option<Secret>,
    permits: Arc<Semaphore>,
    idle: Mutex<Idle>,
    closing: CancellationToken,
    cancels: TaskTracker,
}

/// Connections that wait for the next check, and whether somebody sees to their end.
#[derive(Default)]
struct Idle {
    connections: Vec<(PgConnection, Instant)>,
    is_watched: bool,
}

impl SqlTargets {
    /// A connection: an idle one where there is one.
    pub(super) async fn lease(&self, on: &Component) -> Result<Lease, ProbeError> {
        let target = self.target(on)?;
        let permit = target.permit().await?;
        let reused = target.take_idle();
        let was_idle = reused.is_some();
        let connection = match reused {
            Some(connection) => connection,
            None => target.connect().await?,
        };
        Ok(Lease { target, connection: Some(connection), pid: None, was_idle, _permit: permit })
    }

    /// A fresh connection.
    pub(super) async fn connect(&self, on: &Component) -> Result<Lease, ProbeError> {
        let target = self.target(on)?;
        let permit = target.permit().await?;
        let connection = target.connect().await?;
        Ok(Lease { target, connection: Some(connection), pid: None, was_idle: false, _permit: permit })
    }

    fn target(&self, on: &Component) -> Result<Arc<SqlTarget>, ProbeError> {
        let url = setting_of(on, "url")?;
        let secret = Secret::of(on, "password")?;
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let schema = on.settings.get("schema").cloned().unwrap_or_default();
        let ca = on.settings.get("ca").cloned().unwrap_or_default();
        let key = format!("{}|{url}|{schema}|{ca}", on.name);
        // A changed password is another target: the old connections are not used with it.
        if let Some(known) = targets.get(&key).filter(|known| known.secret == secret) {
            return Ok(Arc::clone(known));
        }
        if targets.len() >= MAX_TARGETS {
            targets.retain(|_, target| target.is_in_use());
        }
        let target = Arc::new(SqlTarget {
            options: options(on, url, secret.as_ref(), &schema, &ca)?,
            component: on.clone(),
            secret,
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            idle: Mutex::default(),
            closing: self.closing.child_token(),
            cancels: self.cancels.clone(),
        });
        targets.insert(key, Arc::clone(&target));
        Ok(target)
    }

    /// Closes idle connections and waits for the cancels under way.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        let targets: Vec<_> =
            self.targets.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, target)| target).collect();
        for target in targets {
            while let Some(connection) = target.take_idle() {
                // A server that is gone needs no goodbye.
                let _ = tokio::time::timeout(CANCEL_TIMEOUT, connection.close()).await;
            }
        }
        self.cancels.close();
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, self.cancels.wait()).await;
    }
}

fn options(
    on: &Component,
    url: &str,
    secret: Option<&Secret>,
    schema: &str,
    ca: &str,
) -> Result<PgConnectOptions, ProbeError> {
    let name = &on.name;
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(ProbeError::configuration(format!("the url of {name} is not one of PostgreSQL (postgres://…)")));
    }
    let parsed = PgConnectOptions::from_str(url);
    let mut options = parsed.map_err(|error| explain(&error, on, secret))?.application_name("cmdiag probe");
    if let Some(secret) = secret {
        options = options.password(secret.reveal());
    }
    if !schema.is_empty() {
        options = options.options([("search_path", schema)]);
    }
    if !ca.is_empty() {
        options = options.ssl_root_cert(ca);
    }
    Ok(options.log_statements(tracing::log::LevelFilter::Off))
}

impl SqlTarget {
    async fn permit(&self) -> Result<OwnedSemaphorePermit, ProbeError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|_| ProbeError::internal("the connections are being closed"))
    }

    fn is_in_use(&self) -> bool {
        self.permits.available_permits() < MAX_CONNECTIONS
    }

    fn take_idle(&self) -> Option<PgConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.retain(|(_, since)| since.elapsed() < IDLE);
        idle.connections.pop().map(|(connection, _)| connection)
    }

    /// Keeps a connection for the next check; the first that is kept has somebody see to the end of all.
    fn keep(self: &Arc<Self>, connection: PgConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.connections.len() >= MAX_CONNECTIONS || self.closing.is_cancelled() {
            return;
        }
        idle.connections.push((connection, Instant::now()));
        if let (false, Ok(runtime)) = (idle.is_watched, tokio::runtime::Handle::try_current()) {
            idle.is_watched = true;
            let target = Arc::clone(self);
            self.cancels.spawn_on(async move { target.close_idle().await }, &runtime);
        }
    }

    /// Closes connections that nobody has used for long, until none is left.
    async fn close_idle(&self) {
        while !self.closing.is_cancelled() {
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = tokio::time::sleep(IDLE / 4) => {}
            }
            let (old, goes_on) = self.take_old();
            for (connection, _) in old {
                // A server that is gone needs no goodbye.
                let _ = tokio::time::timeout(CANCEL_TIMEOUT, connection.close()).await;
            }
            if !goes_on {
                return;
            }
        }
    }

    /// The connections to close, and whether there are others left to watch: decided under one lock, so that a
    /// connection kept meanwhile is never left alone.
    fn take_old(&self) -> (Vec<(PgConnection, Instant)>, bool) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let all = std::mem::take(&mut idle.connections);
        let (fresh, old) = all.into_iter().partition(|(_, since)| since.elapsed() < IDLE);
        idle.connections = fresh;
        idle.is_watched = !idle.connections.is_empty();
        (old, idle.is_watched)
    }

    async fn connect(&self) -> Result<PgConnection, ProbeError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.options)).await {
            Ok(connected) => connected.map_err(|error| explain(&error, &self.component, self.secret.as_ref())),
            Err(_) => Err(ProbeError::unreachable(format!(
                "{} did not answer within {} s",
                self.component.name,
                CONNECT_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Cancels what a backend is at. The connection is held open meanwhile, so that its process id stays its own.
    async fn cancel(&self, pid: i32, held: PgConnection) {
        let cancelled = tokio::time::timeout(CANCEL_TIMEOUT, async {
            let mut second = PgConnection::connect_with(&self.options).await?;
            sqlx::query("SELECT pg_cancel_backend($1)").bind(pid).execute(&mut second).await?;
            second.close().await
        });
        match cancelled.await {
            Ok(Ok(())) => tracing::debug!(component = %self.component.name, pid, "cancelled a query on its server"),
            Ok(Err(error)) => {
                let error = explain(&error, &self.component, self.secret.as_ref());
                tracing::warn!(component = %self.component.name, pid, %error, "not cancelled: the time limit ends it");
            }
            Err(_) => {
                tracing::warn!(component = %self.component.name, pid, "no cancel in time: the time limit ends it");
            }
        }
        drop(held);
    }
}

/// A connection in use. Dropped before it is given back or discarded, it cancels its query on the server.
pub(super) struct Lease {
    target: Arc<SqlTarget>,
    connection: Option<PgConnection>,
    pid: Option<i32>,
    pub(super) was_idle: bool,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, ProbeError> {
        self.connection.as_mut().ok_or_else(|| ProbeError::internal("the connection is gone"))
    }

    pub(super) fn raw(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// From here on the query is cancelled if the lease is dropped.
    pub(super) fn arm(&mut self, pid: i32) {
        self.pid = Some(pid);
    }

    /// The transaction has ended: others may use the connection.
    pub(super) fn give_back(mut self) {
        self.pid = None;
        if let Some(connection) = self.connection.take() {
            self.target.keep(connection);
        }
    }

    /// The server has ended the query itself, or is gone: there is nothing to cancel. Gives the error in words.
    pub(super) fn discard(mut self, error: &sqlx::Error) -> ProbeError {
        self.pid = None;
        self.connection = None;
        explain(error, &self.target.component, self.target.secret.as_ref())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(connection), Some(pid)) = (self.connection.take(), self.pid) else { return };
        let target = Arc::clone(&self.target);
        // Outside of a runtime nothing can be cancelled: closing the socket and the time limit must do.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.target.cancels.spawn_on(async move { target.cancel(pid, connection).await }, &runtime);
        }
    }
}
