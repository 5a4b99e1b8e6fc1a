//! Telling other processes of our commits, and hearing of theirs. Never on an append's path.
//!
//! A notification is only a hint: LISTEN connections die silently, so a poll stands behind it.

use super::Shared;
use domain::Position;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The channel of "the log has grown to position N".
const CHANNEL: &str = "cmdiag_log";
/// Notifications are at least this far apart; what was committed in between goes into one.
const NOTIFY_EVERY: Duration = Duration::from_millis(10);
/// How often to look at the log's end without being told: while that finds news (so that notifications do not
/// arrive), and otherwise.
const POLL_BUSY: Duration = Duration::from_millis(20);
const POLL_IDLE: Duration = Duration::from_millis(250);
/// After a failed connection.
const RETRY: Duration = Duration::from_millis(500);
/// No question to the database may take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The few connections of these tasks, apart from the pool that requests share.
pub(super) fn side_pool(connect: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(3)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .connect_lazy_with(connect.application_name("cmdiag log wake-up"))
}

pub(super) fn spawn(shared: &Arc<Shared>, pool: &PgPool, cancel: &CancellationToken) {
    let (tell, hear) = (notify(Arc::clone(shared), pool.clone()), listen(Arc::clone(shared), pool.clone()));
    let look = poll(Arc::clone(shared), pool.clone());
    tokio::spawn(cancel.clone().run_until_cancelled_owned(tell));
    tokio::spawn(cancel.clone().run_until_cancelled_owned(hear));
    tokio::spawn(cancel.clone().run_until_cancelled_owned(look));
}

/// Says how far the log has grown by our own commits.
async fn notify(shared: Arc<Shared>, pool: PgPool) {
    let mut committed = shared.committed.subscribe();
    while committed.changed().await.is_ok() {
        let position = committed.borrow_and_update().0.to_string();
        let send = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(position).execute(&pool);
        if let Err(error) = send.await {
            // The others poll.
            tracing::debug!(%error, "a notification of new events was not sent");
        }
        tokio::time::sleep(NOTIFY_EVERY).await;
    }
}

/// Hears how far the log has grown by others' commits.
async fn listen(shared: Arc<Shared>, pool: PgPool) {
    loop {
        if let Err(error) = listen_once(&shared, &pool).await {
            tracing::debug!(%error, "notifications of new events do not arrive just now");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn listen_once(shared: &Shared, pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    while let Some(notification) = listener.try_recv().await? {
        if let Ok(position) = notification.payload().parse() {
            shared.advance(Position(position));
        }
    }
    Ok(())
}

/// Looks at the end of the log from time to time.
async fn poll(shared: Arc<Shared>, pool: PgPool) {
    let mut pause = POLL_IDLE;
    loop {
        tokio::time::sleep(pause).await;
        let head = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM cmdiag.events").fetch_one(&pool);
        pause = match tokio::time::timeout(PATIENCE, head).await {
            Ok(Ok(head)) if shared.advance(Position(head)) => POLL_BUSY,
            Ok(Ok(_)) => POLL_IDLE,
            Ok(Err(_)) | Err(_) => RETRY,
        };
    }
}
