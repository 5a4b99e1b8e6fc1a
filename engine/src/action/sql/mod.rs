//! SQL for actions: a connection of its own for each phase, under the phase's time limits, ended on the server when the
//! phase must end.
//!
//! Who logs in is the component's `action_user` with the secret `action_password`: never the role of the probes, which
//! may only read, and never a fall-back to it.

mod bind;
mod errors;
mod quote;

pub(crate) use bind::Bind;
pub(crate) use quote::{Qualified, identifier, literal};

use super::{ActionError, ActionTarget, setting_of};
use crate::probe::Secret;
use bind::bind_all;
use domain::deployment::{Component, ComponentKind};
use errors::explain;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};
use std::str::FromStr as _;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a connect may take, and a statement to end once it has been cancelled.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a lock that others would queue behind.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long tidying up after a cancel may take.
const TIDY_TIMEOUT: Duration = Duration::from_secs(15);
/// The most rows that one statement gives.
const MAX_ROWS: usize = 20_000;
/// The longest name that PostgreSQL keeps of an application.
const APPLICATION_BYTES: usize = 63;

/// What a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The server refuses every change.
    Read,
    /// Changes, with short waits for locks: whoever waits for a lock blocks others behind it.
    Write,
    /// Statements that wait for old transactions by their nature (`CONCURRENTLY`): a lock may take the whole phase.
    Patient,
}

/// One connection, bound to one phase of one step.
pub(crate) struct Session {
    connection: PgConnection,
    bounds: Bounds,
}

/// When and how a session's statements end.
struct Bounds {
    options: PgConnectOptions,
    component: Component,
    secret: Secret,
    pid: i32,
    cancel: CancellationToken,
    deadline: Duration,
    until: Instant,
}

/// The component whose database is meant: the dataset itself, or the one that a store or processor names.
pub(crate) fn database(target: &ActionTarget) -> Result<&Component, ActionError> {
    match target.component.kind {
        ComponentKind::DatasetDatabase => Ok(&target.component),
        _ => target.named_by("dataset"),
    }
}

impl Session {
    /// Connects to the target's database.
    pub(crate) async fn open(target: &ActionTarget, access: Access) -> Result<Self, ActionError> {
        Self::connect(target, access, target.cancel.clone(), target.deadline).await
    }

    /// A session to clean up what a cancelled statement has left: it does not end with the phase, but soon.
    pub(crate) async fn open_to_tidy(target: &ActionTarget) -> Result<Self, ActionError> {
        Self::connect(target, Access::Write, CancellationToken::new(), TIDY_TIMEOUT).await
    }

    async fn connect(
        target: &ActionTarget,
        access: Access,
        cancel: CancellationToken,
        deadline: Duration,
    ) -> Result<Self, ActionError> {
        let component = database(target)?;
        let secret = password_of(component)?;
        let options = options(target, component, &secret, access, deadline)?;
        let until = Instant::now() + deadline;
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT.min(deadline), PgConnection::connect_with(&options));
        let connected = tokio::select! {
            connected = connecting => connected,
            () = cancel.cancelled() => return Err(ActionError::cancelled()),
        };
        let no_answer = || ActionError::target(format!("{} does not answer", component.name));
        let connection = connected.map_err(|_| no_answer())?.map_err(|error| explain(&error, component, &secret))?;
        let bounds = Bounds { options, component: component.clone(), secret, pid: 0, cancel, deadline, until };
        let mut session = Self { connection, bounds };
        session.bounds.pid = session.introduce().await?;
        Ok(session)
    }

    /// Asks for the backend's id; and where the server can (from 14 on), has it end a statement whose client is gone.
    async fn introduce(&mut self) -> Result<i32, ActionError> {
        let Self { connection, bounds } = self;
        let query = sqlx::query(
            "SELECT pg_backend_pid(), (SELECT set_config(name, '1000', false) FROM pg_catalog.pg_settings
                                       WHERE name = 'client_connection_check_interval')",
        );
        let row = bounds.run(query.fetch_one(&mut *connection).boxed()).await?;
        row.try_get(0).map_err(|error| bounds.explain(&error))
    }

    /// Runs a statement without values by itself: for what can not be prepared, or not within a transaction.
    pub(crate) fn run<'s>(&'s mut self, statement: &'s str) -> BoxFuture<'s, Result<(), ActionError>> {
        let Self { connection, bounds } = self;
        async move { bounds.run(connection.execute(statement)).await.map(drop) }.boxed()
    }

    /// Runs a statement with values; gives how many rows it touched.
    pub(crate) fn execute<'s>(
        &'s mut self,
        statement: &'s str,
        values: &'s [Bind],
    ) -> BoxFuture<'s, Result<u64, ActionError>> {
        let Self { connection, bounds } = self;
        async move {
            let query = bind_all(sqlx::query(statement), values);
            bounds.run(query.execute(&mut *connection).boxed()).await.map(|done| done.rows_affected())
        }
        .boxed()
    }

    /// The rows of a SELECT, by the names of its columns.
    pub(crate) fn rows<'s, T: DeserializeOwned + Send + 's>(
        &'s mut self,
        select: &'s str,
        values: &'s [Bind],
    ) -> BoxFuture<'s, Result<Vec<T>, ActionError>> {
        let Self { connection, bounds } = self;
        async move {
            let limit = MAX_ROWS + 1;
            let statement = format!("SELECT pg_catalog.to_jsonb(answer) FROM ({select}) answer LIMIT {limit}");
            let query = bind_all(sqlx::query(&statement), values);
            let rows = bounds.run(query.fetch_all(&mut *connection).boxed()).await?;
            if rows.len() > MAX_ROWS {
                return Err(ActionError::precondition(format!("more than {MAX_ROWS} rows are concerned")));
            }
            let read = |row: &sqlx::postgres::PgRow| {
                let value: Value = row.try_get(0).map_err(|error| bounds.explain(&error))?;
                serde_json::from_value(value).map_err(|error| {
                    ActionError::target(format!("{} answers otherwise than expected: {error}", bounds.component.name))
                })
            };
            rows.iter().map(read).collect()
        }
        .boxed()
    }

    /// The first row of a SELECT, where there is one.
    pub(crate) fn row<'s, T: DeserializeOwned + Send + 's>(
        &'s mut self,
        select: &'s str,
        values: &'s [Bind],
    ) -> BoxFuture<'s, Result<Option<T>, ActionError>> {
        async move { Ok(self.rows(select, values).await?.into_iter().next()) }.boxed()
    }

    /// Waits a moment before the server is asked again, unless the phase must end.
    pub(crate) async fn pause(&self, moment: Duration) -> Result<(), ActionError> {
        let sleep = async {
            tokio::time::sleep(moment).await;
            Ok(())
        };
        self.bounds.run(sleep.boxed()).await
    }

    /// Says goodbye; a server that is gone needs none.
    pub(crate) async fn close(self) {
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, self.connection.close()).await;
    }
}

impl Bounds {
    /// Waits for a statement; where the phase must end before it, ends it on the server too.
    async fn run<T>(&self, mut work: BoxFuture<'_, Result<T, sqlx::Error>>) -> Result<T, ActionError> {
        if self.cancel.is_cancelled() {
            return Err(ActionError::cancelled());
        }
        let why = tokio::select! {
            biased;
            done = &mut work => return done.map_err(|error| self.explain(&error)),
            () = self.cancel.cancelled() => ActionError::cancelled(),
            () = tokio::time::sleep_until(self.until) => ActionError::timed_out(self.deadline),
        };
        // The connection is held meanwhile, so that the process id stays its own.
        match tokio::time::timeout(CANCEL_TIMEOUT, self.end_on_server()).await {
            Ok(Ok(())) => {
                let _ = tokio::time::timeout(CANCEL_TIMEOUT, work).await;
            }
            Ok(Err(error)) => {
                let error = self.explain(&error);
                tracing::warn!(component = %self.component.name, %error, "not cancelled: the time limit ends it");
            }
            Err(_) => {
                tracing::warn!(component = %self.component.name, "no cancel in time: the time limit ends it");
            }
        }
        Err(why)
    }

    async fn end_on_server(&self) -> Result<(), sqlx::Error> {
        let mut second = PgConnection::connect_with(&self.options).await?;
        sqlx::query("SELECT pg_catalog.pg_cancel_backend($1)").bind(self.pid).execute(&mut second).await?;
        second.close().await
    }

    fn explain(&self, error: &sqlx::Error) -> ActionError {
        explain(error, &self.component, &self.secret)
    }
}

fn password_of(component: &Component) -> Result<Secret, ActionError> {
    ActionTarget::secret(component, "action_password")?.ok_or_else(|| {
        ActionError::configuration(format!(
            "component {} has no secret \"action_password\": actions log in as action_user, never as the probes do",
            component.name
        ))
    })
}

fn options(
    target: &ActionTarget,
    component: &Component,
    secret: &Secret,
    access: Access,
    deadline: Duration,
) -> Result<PgConnectOptions, ActionError> {
    let url = setting_of(component, "url")?;
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        let text = format!("the url of {} is not one of PostgreSQL (postgres://…)", component.name);
        return Err(ActionError::configuration(text));
    }
    let user = setting_of(component, "action_user").map_err(|_| {
        ActionError::configuration(format!("component {} has no setting \"action_user\"", component.name))
    })?;
    let lock = if access == Access::Patient { deadline } else { LOCK_TIMEOUT.min(deadline) };
    let statement_ms = deadline.as_millis().max(1).to_string();
    let settings = [
        ("statement_timeout", statement_ms.clone()),
        ("lock_timeout", lock.as_millis().max(1).to_string()),
        ("idle_in_transaction_session_timeout", statement_ms),
        ("default_transaction_read_only", if access == Access::Read { "on" } else { "off" }.to_owned()),
        ("timezone", "UTC".to_owned()),
    ];
    let parsed = PgConnectOptions::from_str(url).map_err(|error| explain(&error, component, secret))?;
    let mut options = parsed
        .username(user)
        .password(secret.reveal())
        .application_name(&application(&target.idempotency_key))
        .options(settings);
    if let Some(schema) = component.settings.get("schema").filter(|schema| !schema.is_empty()) {
        options = options.options([("search_path", schema)]);
    }
    if let Some(ca) = component.settings.get("ca").filter(|ca| !ca.is_empty()) {
        options = options.ssl_root_cert(ca);
    }
    Ok(options.disable_statement_logging())
}

/// What the sessions of an action are called on the server.
pub(crate) fn application(idempotency_key: &str) -> String {
    let mut name = format!("cmdiag action {idempotency_key}");
    let end = (0..=APPLICATION_BYTES.min(name.len())).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
    name.truncate(end);
    name
}
