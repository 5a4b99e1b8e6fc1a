//! The writer's own connection, and the end of the log as it knows it.

use super::errors::Failure;
use super::pending::Pending;
use super::statement::{self, Place};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor, Row};
use std::time::Duration;

/// What every session of the writer starts with: its one statement is planned once and never needs another plan, and
/// a commit is on disk before it is acknowledged, whatever the server's default is.
const SESSION: &str =
    "SET plan_cache_mode = force_generic_plan; SET jit = off; SET application_name = 'cmdiag log writer';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// A live connection. `end` is the position of the last event that is known to be committed.
pub(super) struct Link {
    pub connection: PgConnection,
    pub end: i64,
}

impl Link {
    /// Connects and reads the end of the log: after a break it may have moved in either direction.
    pub async fn open(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        let mut connection = PgConnection::connect_with(options).await?;
        connection.execute(SESSION).await?;
        let end = read_end(&mut connection).await?;
        Ok(Self { connection, end })
    }

    /// Writes a batch in one round trip; gives the position of its first event. `end` follows.
    pub async fn write(&mut self, batch: &[Pending], place: Place, within: Duration) -> Result<i64, Failure> {
        let (sql, arguments) = statement::write(batch, place)
            .map_err(|error| Failure::Refused { content: true, reason: error.to_string() })?;
        // `fetch_one` reads the answer to its end, so an error at the commit itself is seen too.
        let query = sqlx::query_with(sql, arguments).fetch_one(&mut self.connection);
        let row = match tokio::time::timeout(within, query).await {
            Ok(answer) => answer.map_err(|error| Failure::of(&error))?,
            Err(_) => return Err(Failure::Unknown(format!("no answer within {within:?}"))),
        };
        let first: i64 = row.try_get(0).map_err(|error| Failure::Unknown(error.to_string()))?;
        let events: usize = batch.iter().map(|append| append.events.len()).sum();
        self.end = self.end.max(first - 1 + events as i64);
        Ok(first)
    }
}

/// The position of the newest committed event.
pub(super) async fn read_end(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM cmdiag.events").fetch_one(connection).await
}
