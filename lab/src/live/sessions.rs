//! Database sessions that misbehave on demand: a lock that another waits for, a transaction left open.

use crate::control::Switch;
use crate::database;
use crate::error::LabError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Executor, PgPool};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long a session may take to show its behaviour.
const SHOW_BOUND: Duration = Duration::from_secs(10);
/// Long enough for any diagnosis, and not for ever.
const HOLD: &str = "SELECT pg_sleep(86400)";
const LOCKED_ROW: &str = "SELECT lcname FROM tslocation WHERE uri = 21 FOR UPDATE";

/// The sessions that are open.
pub struct Sessions {
    admin: PgPool,
    options: PgConnectOptions,
    blocking: Option<[Session; 2]>,
    idle: Option<Session>,
}

/// One session: its backend, and what keeps it open.
struct Session {
    pid: i32,
    keeper: Keeper,
}

enum Keeper {
    /// A statement runs, or waits, in this task.
    Running(JoinHandle<()>),
    /// Nothing runs: the connection is just held.
    Idle(Box<PgConnection>),
}

impl Sessions {
    /// None yet. `options` say who opens them.
    pub fn new(admin: PgPool, options: PgConnectOptions) -> Self {
        Self { admin, options, blocking: None, idle: None }
    }

    /// Opens and closes sessions until they are as the switches say; waits until the database shows it.
    pub async fn apply(&mut self, switches: &[Switch]) -> Result<(), LabError> {
        match (switches.contains(&Switch::BlockingLock), self.blocking.is_some()) {
            (true, false) => self.blocking = Some(self.block().await?),
            (false, true) => {
                for session in self.blocking.take().into_iter().flatten() {
                    self.close(session).await?;
                }
            }
            _ => {}
        }
        match (switches.contains(&Switch::IdleTransaction), self.idle.take()) {
            (true, None) => self.idle = Some(self.stay_idle().await?),
            (false, Some(session)) => self.close(session).await?,
            (_, kept) => self.idle = kept,
        }
        Ok(())
    }

    async fn block(&self) -> Result<[Session; 2], LabError> {
        let holder = self.open(&["BEGIN", LOCKED_ROW], Some(HOLD)).await?;
        let waiter = self.open(&["BEGIN"], Some(LOCKED_ROW)).await?;
        self.wait_until("cardinality(pg_blocking_pids($1)) > 0", waiter.pid).await?;
        Ok([waiter, holder])
    }

    async fn stay_idle(&self) -> Result<Session, LabError> {
        let session = self.open(&["BEGIN", "SELECT count(*) FROM tsrectype"], None).await?;
        let idle = "(SELECT state = 'idle in transaction' FROM pg_stat_activity WHERE pid = $1)";
        self.wait_until(idle, session.pid).await?;
        Ok(session)
    }

    async fn open(&self, first: &[&str], running: Option<&'static str>) -> Result<Session, LabError> {
        let mut connection = database::connect(&self.options).await?;
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await;
        let pid = pid.map_err(LabError::db("ask for a backend's id"))?;
        for statement in first {
            connection.execute(*statement).await.map_err(LabError::db("prepare a session"))?;
        }
        let keeper = match running {
            None => Keeper::Idle(Box::new(connection)),
            // It ends by being terminated: its error is expected.
            Some(statement) => Keeper::Running(tokio::spawn(async move {
                let _ = connection.execute(statement).await;
            })),
        };
        Ok(Session { pid, keeper })
    }

    async fn close(&self, session: Session) -> Result<(), LabError> {
        sqlx::query("SELECT pg_terminate_backend($1)")
            .bind(session.pid)
            .execute(&self.admin)
            .await
            .map_err(LabError::db("end a session"))?;
        match session.keeper {
            Keeper::Running(task) => task.abort(),
            Keeper::Idle(connection) => drop(connection),
        }
        self.wait_until("NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)", session.pid).await
    }

    async fn wait_until(&self, condition: &str, pid: i32) -> Result<(), LabError> {
        let deadline = Instant::now() + SHOW_BOUND;
        loop {
            let shows: Option<bool> = sqlx::query_scalar(&format!("SELECT {condition}"))
                .bind(pid)
                .fetch_one(&self.admin)
                .await
                .map_err(LabError::db("look at a session"))?;
            if shows == Some(true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(LabError::Options("a database session does not behave as told".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
