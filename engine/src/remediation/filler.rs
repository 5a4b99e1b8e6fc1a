//! Follows the log: wakes the remediations that something has happened to, in this process and in the work table.
//!
//! Every process follows, and the checkpoint's row decides who writes: it is locked, read and moved in the transaction
//! that writes the rows. Events of the remediator itself wake nobody: whoever caused them goes on by himself.

use super::service::Wakers;
use super::status::Board;
use super::stop::StopBoard;
use super::work_table::{self, Wake, WorkTable};
use command_side::{Clock, CommandBus, CommandError};
use domain::any_event::{EMERGENCY_STOP, REMEDIATION};
use domain::{Actor, Position, RemediationId, TenantId};
use event_store::{LiveFeed, LogError, RecordedEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const CHECKPOINT: &str = "remediation_filler";
/// Events that say nothing to it are passed over in memory; the checkpoint follows after so many, or so long.
const PASS_EVENTS: i64 = 2_000;
const PASS_TIME: Duration = Duration::from_secs(5);
const APPLY_TIME: Duration = Duration::from_secs(20);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

pub(super) struct Filler {
    pub table: WorkTable,
    pub bus: CommandBus,
    pub feed: Arc<LiveFeed>,
    pub clock: Arc<dyn Clock>,
    pub wakers: Wakers,
    pub stop: StopBoard,
    pub board: Board,
}

#[derive(Debug, thiserror::Error)]
enum FillError {
    #[error("the work table can not be filled: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the log can not be followed: {0}")]
    Log(#[from] LogError),
    #[error("the emergency stop can not be read: {0}")]
    Stop(#[from] CommandError),
    #[error("filling the work table took longer than {APPLY_TIME:?}")]
    TooSlow,
}

impl Filler {
    pub async fn run(self) {
        let mut backoff = BACKOFF_MIN;
        let mut position = None;
        loop {
            let before = position;
            let error = match self.follow(&mut position).await {
                Ok(()) | Err(FillError::Log(LogError::Closed)) => return,
                Err(error) => error,
            };
            if position > before {
                backoff = BACKOFF_MIN;
            }
            tracing::warn!(%error, backoff_ms = backoff.as_millis(), "remediations are not woken just now");
            self.board.fail(&error.to_string());
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn follow(&self, position: &mut Option<Position>) -> Result<(), FillError> {
        let mut saved = self.checkpoint().await?;
        *position = Some(saved);
        let mut saved_at = Instant::now();
        let mut subscription = self.feed.subscribe(saved);
        loop {
            let events = subscription.next().await?;
            let Some(last) = events.last().map(|event| event.position) else { continue };
            let found = Found::of(&events);
            // In memory first: what runs here must stop at once, whether the database answers or not.
            found.tell(self).await?;
            let due = last.0 - saved.0 >= PASS_EVENTS || saved_at.elapsed() >= PASS_TIME;
            if due || !found.is_empty() {
                saved = tokio::time::timeout(APPLY_TIME, self.apply(found, last))
                    .await
                    .map_err(|_| FillError::TooSlow)??;
                saved_at = Instant::now();
            }
            *position = Some(last);
            self.board.works();
            self.board.update(|status| status.position = last.0);
        }
    }

    async fn checkpoint(&self) -> Result<Position, FillError> {
        sqlx::query("INSERT INTO cmdiag.engine_checkpoints (name, position) VALUES ($1, 0) ON CONFLICT DO NOTHING")
            .bind(CHECKPOINT)
            .execute(self.table.pool())
            .await?;
        let position: i64 = sqlx::query_scalar("SELECT position FROM cmdiag.engine_checkpoints WHERE name = $1")
            .bind(CHECKPOINT)
            .fetch_one(self.table.pool())
            .await?;
        Ok(Position(position))
    }

    async fn apply(&self, found: Found, last: Position) -> Result<Position, FillError> {
        let mut transaction = self.table.pool().begin().await?;
        // Were this process to freeze here, the others must not wait for it.
        let done: i64 = sqlx::query_scalar(
            "SELECT position FROM (SELECT set_config('idle_in_transaction_session_timeout', '10s', true)) s, \
                    cmdiag.engine_checkpoints WHERE name = $1 FOR UPDATE OF engine_checkpoints",
        )
        .bind(CHECKPOINT)
        .fetch_one(&mut *transaction)
        .await?;
        if done >= last.0 {
            // Another process did it; what is due may as well be done here.
            self.wakers.due();
            return Ok(Position(done));
        }
        let now = self.clock.now();
        let wakes: Vec<Wake> = found.wakes.into_values().filter(|(at, _)| at.0 > done).map(|(_, wake)| wake).collect();
        if !wakes.is_empty() {
            work_table::wake(&mut transaction, &wakes, now).await?;
        }
        if !found.stops.is_empty() {
            let tenants: Vec<String> = found.stops.iter().map(TenantId::to_string).collect();
            work_table::wake_tenants(&mut transaction, &tenants, now).await?;
        }
        sqlx::query("UPDATE cmdiag.engine_checkpoints SET position = $2, updated_at = now() WHERE name = $1")
            .bind(CHECKPOINT)
            .bind(last.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.wakers.due();
        Ok(last)
    }
}

/// What a batch of events says.
#[derive(Default)]
struct Found {
    wakes: BTreeMap<RemediationId, (Position, Wake)>,
    stops: BTreeSet<TenantId>,
}

impl Found {
    fn of(events: &[Arc<RecordedEvent>]) -> Self {
        let remediator = Actor::remediator();
        let mut found = Self::default();
        for event in events {
            match &*event.stream.aggregate_type {
                REMEDIATION if event.metadata.actor != remediator => found.wake(event),
                EMERGENCY_STOP => {
                    found.stops.insert(event.metadata.tenant.clone());
                }
                _ => {}
            }
        }
        found
    }

    fn wake(&mut self, event: &RecordedEvent) {
        let Ok(remediation) = event.stream.aggregate_id.parse::<RemediationId>() else {
            tracing::error!(position = event.position.0, "a remediation has a stream without an id");
            return;
        };
        let wake = Wake {
            remediation,
            tenant: event.metadata.tenant.clone(),
            correlation: event.metadata.correlation_id,
            cause: event.event_id,
            traceparent: event.metadata.traceparent.clone(),
        };
        self.wakes.insert(remediation, (event.position, wake));
    }

    fn is_empty(&self) -> bool {
        self.wakes.is_empty() && self.stops.is_empty()
    }

    async fn tell(&self, filler: &Filler) -> Result<(), CommandError> {
        for tenant in &self.stops {
            filler.stop.refresh(&filler.bus, tenant).await?;
        }
        if self.stops.is_empty() {
            self.wakes.keys().for_each(|remediation| filler.wakers.wake(*remediation));
        } else {
            filler.wakers.wake_all();
            let stopped = filler.stop.any();
            filler.board.update(|status| status.stopped = stopped);
        }
        Ok(())
    }
}
