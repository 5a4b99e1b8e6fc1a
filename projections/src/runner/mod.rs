//! The runner: one per projection, following the log for as long as the process lives.
//!
//! It owns a connection. On it it holds the lock that makes it the active one of all processes, and in one transaction
//! a batch it moves the checkpoint from where it left it, then writes the rows. Where the checkpoint is not where it
//! left it, somebody else projects: it rolls back, forgets what it remembers, and starts again from the checkpoint.

mod pump;
mod session;
pub mod status;

use crate::connection::{self, Place};
use crate::decisions::{self, DecisionsError};
use crate::decoded::DecodeRing;
use crate::projection::Projection;
use crate::rebuild::{self, RebuildError, Recorder};
use crate::replay::{ReplayError, ReplayOptions};
use chrono::{DateTime, Utc};
use domain::{Position, TenantId};
use event_store::{LiveFeed, LogError};
use session::Session;
use sqlx::PgPool;
use status::{ProjectionStatus, Reporter, RunnerState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use pump::Sieve;
pub(crate) use session::Refused;

/// How a runner works; the defaults are right for nearly everybody.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// The most events of one transaction.
    pub batch_events: usize,
    /// Two transactions begin at least this far apart while events keep coming: what comes in between goes together.
    pub pace: Duration,
    /// How long a moved checkpoint may stay unwritten where no row changed.
    pub idle_checkpoint: Duration,
    /// How often a runner that stands by or stands still looks whether that is over.
    pub look_every: Duration,
    /// The first and the longest pause after a failure of the database.
    pub retry: (Duration, Duration),
    /// The clock.
    pub now: fn() -> DateTime<Utc>,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            batch_events: 5_000,
            pace: Duration::from_millis(8),
            idle_checkpoint: Duration::from_millis(100),
            look_every: Duration::from_millis(300),
            retry: (Duration::from_millis(50), Duration::from_secs(5)),
            now: Utc::now,
        }
    }
}

/// On whose word a newer version's view is served, where no person said so.
const PROJECTOR: &str = "system:projector";

/// What ends a session with the database.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Told to stop.
    Cancelled,
    /// The log is closed: the process ends.
    Closed,
    /// To be tried again.
    Retry(String),
    /// The checkpoint was moved by somebody else.
    Overtaken,
    /// An event can not be taken.
    Event { position: Position, reason: String },
}

impl From<LogError> for Halt {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Damaged { position, reason } => Self::Event { position, reason },
            LogError::Closed => Self::Closed,
            LogError::Unavailable(reason) => Self::Retry(reason),
        }
    }
}

impl From<DecisionsError> for Halt {
    fn from(error: DecisionsError) -> Self {
        match error {
            DecisionsError::Log(error) => error.into(),
            DecisionsError::Database(error) => error.into(),
        }
    }
}

impl From<sqlx::Error> for Halt {
    fn from(error: sqlx::Error) -> Self {
        Self::Retry(error.to_string())
    }
}

/// Starts runners.
pub struct Runner {
    pool: PgPool,
    feed: Arc<LiveFeed>,
    projection: Box<dyn Projection>,
    ring: Arc<DecodeRing>,
    options: RunnerOptions,
    reporter: Arc<Reporter>,
    cancel: CancellationToken,
}

/// A running runner.
pub struct RunnerHandle {
    name: &'static str,
    reporter: Arc<Reporter>,
    task: JoinHandle<()>,
}

impl RunnerHandle {
    /// The projection's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Follows how it is.
    pub fn status(&self) -> watch::Receiver<ProjectionStatus> {
        self.reporter.status()
    }

    /// Follows how far the view has come.
    pub fn position(&self) -> watch::Receiver<Position> {
        self.reporter.position()
    }

    /// Waits until it has stopped, after its token was cancelled.
    pub async fn stopped(self) {
        // A panic in the task was reported where it happened; here it has stopped all the same.
        let _ = self.task.await;
    }
}

impl Runner {
    /// Starts one projection. `cancel` stops it: a batch under way is finished or rolled back.
    pub fn start(
        pool: PgPool,
        feed: Arc<LiveFeed>,
        projection: Box<dyn Projection>,
        cancel: CancellationToken,
    ) -> RunnerHandle {
        let ring = Arc::new(DecodeRing::default());
        Self::start_with(pool, feed, projection, ring, RunnerOptions::default(), cancel)
    }

    /// Starts several projections that decode each event once for all of them.
    pub fn start_all(
        pool: &PgPool,
        feed: &Arc<LiveFeed>,
        projections: Vec<Box<dyn Projection>>,
        options: &RunnerOptions,
        cancel: &CancellationToken,
    ) -> Vec<RunnerHandle> {
        let ring = Arc::new(DecodeRing::default());
        let start = |projection| {
            let (pool, feed, ring) = (pool.clone(), Arc::clone(feed), Arc::clone(&ring));
            Self::start_with(pool, feed, projection, ring, options.clone(), cancel.clone())
        };
        projections.into_iter().map(start).collect()
    }

    /// Starts one projection with everything given.
    pub fn start_with(
        pool: PgPool,
        feed: Arc<LiveFeed>,
        projection: Box<dyn Projection>,
        ring: Arc<DecodeRing>,
        options: RunnerOptions,
        cancel: CancellationToken,
    ) -> RunnerHandle {
        let name = projection.name();
        let reporter = Arc::new(Reporter::new(name, projection.version(), feed.newest(), options.now));
        let runner = Self { pool, feed, projection, ring, options, reporter: Arc::clone(&reporter), cancel };
        let task = tokio::spawn(watched(runner.run(), Arc::clone(&reporter)));
        RunnerHandle { name, reporter, task }
    }

    async fn run(mut self) {
        let reporter = Arc::clone(&self.reporter);
        let tick = async {
            loop {
                tokio::time::sleep(Duration::from_millis(250)).await;
                reporter.publish();
            }
        };
        tokio::select! {
            () = self.sessions() => {}
            () = tick => {}
        }
        self.reporter.enter(RunnerState::Stopped);
    }

    async fn sessions(&mut self) {
        let mut pause = self.options.retry.0;
        loop {
            let started_at = self.reporter.status().borrow().position;
            let halt = match self.session().await {
                Err(halt) => halt,
                Ok(never) => match never {},
            };
            self.projection.forget();
            if self.reporter.status().borrow().position > started_at {
                pause = self.options.retry.0;
            }
            match halt {
                Halt::Cancelled | Halt::Closed => return,
                Halt::Overtaken => {
                    tracing::info!(projection = self.projection.name(), "projections.overtaken: another process moved");
                }
                Halt::Retry(reason) => {
                    let pause_ms = pause.as_millis() as u64;
                    tracing::warn!(projection = self.projection.name(), reason, pause_ms, "projections.retrying");
                    self.reporter.enter(RunnerState::Retrying(reason));
                    if !self.sleep(pause).await {
                        return;
                    }
                    pause = (pause * 2).min(self.options.retry.1);
                }
                Halt::Event { position, reason } => {
                    if !self.stand_still(position, &reason).await {
                        return;
                    }
                }
            }
        }
    }

    /// One session with the database: connects, becomes the active one, follows the log until something is in the way.
    async fn session(&mut self) -> Result<std::convert::Infallible, Halt> {
        let cancel = self.cancel.clone();
        let opening = connection::open(&self.pool, Place::Served);
        let opened = cancel.run_until_cancelled(opening).await.ok_or(Halt::Cancelled)?;
        let mut db = opened?;
        while !connection::try_lock(&mut db, Place::Served, self.projection.name()).await? {
            self.stand_by(&mut db).await?;
        }
        let (position, filling) = self.begin(&mut db).await?;
        let skips = decisions::skips(self.feed.log().as_ref(), &mut db, self.projection.name(), position).await?;
        let sieve = Sieve::new(self.projection.as_ref(), Arc::clone(&self.ring), position, skips);
        self.reporter.reached(position);
        self.reporter.enter(RunnerState::Running);
        let session = Session {
            db,
            projection: self.projection.as_mut(),
            options: &self.options,
            reporter: &self.reporter,
            cancel: &self.cancel,
            filling,
            persisted: position,
            reached: position,
        };
        session.follow(self.feed.subscribe(position), sieve).await
    }

    /// Reads the checkpoint. Where the view is of an older version, the newer one is filled first, while the older one
    /// serves.
    async fn begin(&mut self, db: &mut sqlx::PgConnection) -> Result<(Position, i64), Halt> {
        let (name, version) = (self.projection.name(), self.projection.version());
        let checkpoint = connection::checkpoint(db, name, version).await?;
        if checkpoint.version == version {
            return Ok((checkpoint.position, checkpoint.filling));
        }
        if checkpoint.version > version {
            let reason = format!("the view is of version {}, this process writes {version}", checkpoint.version);
            return Err(Halt::Retry(reason));
        }
        tracing::info!(projection = name, from = checkpoint.version, to = version, "projections.rebuilding");
        if checkpoint.position > Position::START && self.can_be_made_anew() {
            self.fill_beside().await?;
            let checkpoint = connection::checkpoint(db, name, version).await?;
            return Ok((checkpoint.position, checkpoint.filling));
        }
        connection::reset(db, self.projection.as_ref()).await?;
        Ok((Position::START, checkpoint.filling))
    }

    /// Whether it is one of this program's projections, which can be had as often as needed.
    fn can_be_made_anew(&self) -> bool {
        rebuild::projection_named(self.projection.name()).is_some_and(|one| one.version() == self.projection.version())
    }

    /// Fills the view beside the older one, which goes on to be read, and exchanges the two when it is full.
    async fn fill_beside(&mut self) -> Result<(), Halt> {
        let name = self.projection.name();
        self.reporter.enter(RunnerState::Rebuilding);
        let by = Recorder {
            actor: PROJECTOR.parse().map_err(|error| Halt::Retry(format!("{error}")))?,
            tenant: TenantId::default(),
        };
        let log = self.feed.log();
        let one = || rebuild::projection_named(name).into_iter().collect::<Vec<_>>();
        let options = ReplayOptions::default();
        let work = async {
            rebuild::fill(&self.pool, log, &one, false, &options).await?;
            rebuild::exchange(&self.pool, log, &one, Place::Shadow, &by).await
        };
        match self.cancel.run_until_cancelled(work).await {
            None => Err(Halt::Cancelled),
            Some(Ok(_)) => Ok(()),
            Some(Err(RebuildError::Replay(ReplayError::Event { position, reason }))) => {
                Err(Halt::Event { position, reason })
            }
            Some(Err(error)) => Err(Halt::Retry(error.to_string())),
        }
    }

    async fn stand_by(&mut self, db: &mut sqlx::PgConnection) -> Result<(), Halt> {
        let name = self.projection.name();
        let checkpoint = connection::checkpoint(db, name, self.projection.version()).await?;
        self.reporter.reached(checkpoint.position);
        self.reporter.enter(RunnerState::Standby);
        if self.sleep(self.options.look_every).await { Ok(()) } else { Err(Halt::Cancelled) }
    }

    /// Writes down why it stands still, and waits until an operator has decided. False when told to stop.
    async fn stand_still(&self, position: Position, reason: &str) -> bool {
        let name = self.projection.name();
        tracing::error!(projection = name, position = position.0, reason, "projections.failed: standing still");
        self.reporter.fail(position, reason);
        let mut recorded = false;
        loop {
            // Not while connected: a newer version of this process, which can take the event, must get the lock.
            match self.look_at_failure(position, reason, &mut recorded).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(projection = name, error = %error, "projections.failed: can not look"),
            }
            if !self.sleep(self.options.look_every).await {
                return false;
            }
        }
    }

    async fn look_at_failure(
        &self,
        position: Position,
        reason: &str,
        recorded: &mut bool,
    ) -> Result<bool, sqlx::Error> {
        let name = self.projection.name();
        let mut db = self.pool.acquire().await?;
        if !*recorded {
            connection::record_failure(&mut db, name, position, reason).await?;
            *recorded = true;
            return Ok(false);
        }
        let checkpoint = connection::checkpoint(&mut db, name, self.projection.version()).await?;
        if checkpoint.failed_position.is_none() {
            return Ok(true);
        }
        // Passed over by a decision that is on record since.
        let before = Position(position.0 - 1);
        let decided = decisions::skips(self.feed.log().as_ref(), &mut db, name, before).await;
        Ok(decided.map_err(|error| sqlx::Error::Protocol(error.to_string()))?.contains(&position.0))
    }

    /// False when told to stop.
    async fn sleep(&self, pause: Duration) -> bool {
        self.cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_some()
    }
}

/// A panic is a defect of the projection: it must show like any other failure, not leave a view that silently stands
/// still.
async fn watched(run: impl Future<Output = ()> + Send + 'static, reporter: Arc<Reporter>) {
    if let Err(error) = tokio::spawn(run).await {
        let position = reporter.position().borrow().next();
        tracing::error!(position = position.0, error = %error, "projections.failed: the projection panicked");
        reporter.fail(position, "the projection panicked; the log of this process says where");
    }
}
