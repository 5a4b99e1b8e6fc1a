//! The sealer: follows the log as a projection does, and seals what it finds. It is never in the append.
//!
//! One at a time of all processes, by a lock of the database; and should the lock ever fail, the statement that writes
//! a batch only writes it where the last one ended. What is sealed stays sealed: the sealer only ever goes on from the
//! newest seal, so an event that is changed afterwards is never sealed anew. What it can not go on from (a gap in the
//! positions, a stream without its last event, seals that are not those of the newest checkpoint) stops it, and shows.

mod batch;
mod session;
mod status;

pub use status::{NewestCheckpoint, SealerState, SealerStatus};

use crate::signing::Keyring;
use chrono::{DateTime, Utc};
use domain::Position;
use session::Session;
use sqlx::PgPool;
use status::Reporter;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Tells the time.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How often the status is looked at where nothing happens.
const TICK: Duration = Duration::from_millis(250);

/// How the sealer works; the defaults are right for nearly everybody.
#[derive(Clone)]
pub struct SealerOptions {
    /// The most events of one row of seals.
    pub batch_events: usize,
    /// Two batches begin at least this far apart while events keep coming: what comes in between goes together.
    pub pace: Duration,
    /// How often it looks by itself, should a wake-up be lost; and whether a lock has become free.
    pub look_every: Duration,
    /// A checkpoint is signed after at most so many events …
    pub checkpoint_events: u64,
    /// … or, where there are fewer, so much time after the one before.
    pub checkpoint_every: Duration,
    /// The first and the longest pause after a failure of the database.
    pub retry: (Duration, Duration),
    /// How often it looks again at what it can not seal.
    pub fault_every: Duration,
    /// The clock.
    pub now: Now,
}

impl Default for SealerOptions {
    fn default() -> Self {
        Self {
            batch_events: 4_096,
            pace: Duration::from_millis(10),
            look_every: Duration::from_millis(300),
            checkpoint_events: 10_000,
            checkpoint_every: Duration::from_secs(10),
            retry: (Duration::from_millis(50), Duration::from_secs(5)),
            fault_every: Duration::from_secs(10),
            now: Arc::new(Utc::now),
        }
    }
}

impl fmt::Debug for SealerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealerOptions")
            .field("batch_events", &self.batch_events)
            .field("pace", &self.pace)
            .field("checkpoint_events", &self.checkpoint_events)
            .field("checkpoint_every", &self.checkpoint_every)
            .finish_non_exhaustive()
    }
}

/// What ends a session with the database.
#[derive(Debug)]
enum Halt {
    /// Told to stop.
    Cancelled,
    /// To be tried again.
    Retry(String),
    /// Another sealer was quicker.
    Overtaken,
    /// Here the log or its seals are not what they must be.
    Fault { position: u64, reason: String },
}

impl From<sqlx::Error> for Halt {
    fn from(error: sqlx::Error) -> Self {
        Self::Retry(error.to_string())
    }
}

/// Starts sealers.
pub struct Sealer {
    pool: PgPool,
    newest: watch::Receiver<Position>,
    keyring: Keyring,
    options: SealerOptions,
    reporter: Arc<Reporter>,
    cancel: CancellationToken,
}

/// A running sealer.
#[derive(Debug)]
pub struct SealerHandle {
    reporter: Arc<Reporter>,
    task: JoinHandle<()>,
}

impl SealerHandle {
    /// Follows how it is.
    pub fn status(&self) -> watch::Receiver<SealerStatus> {
        self.reporter.status()
    }

    /// Follows how far the log is sealed.
    pub fn position(&self) -> watch::Receiver<Position> {
        self.reporter.position()
    }

    /// Waits until it has stopped, after its token was cancelled.
    pub async fn stopped(self) {
        // A panic in the task was reported where it happened; here it has stopped all the same.
        let _ = self.task.await;
    }
}

impl Sealer {
    /// Starts sealing. `newest` is the log's wake-up; `cancel` stops it: what has come by then is sealed and signed.
    pub fn start(
        pool: PgPool,
        newest: watch::Receiver<Position>,
        keyring: Keyring,
        options: SealerOptions,
        cancel: CancellationToken,
    ) -> SealerHandle {
        let reporter = Arc::new(Reporter::new(newest.clone(), Arc::clone(&options.now)));
        let sealer = Self { pool, newest, keyring, options, reporter: Arc::clone(&reporter), cancel };
        let watched = Arc::clone(&reporter);
        let task = tokio::spawn(async move {
            // A panic is a defect: it must show, not leave a log that silently goes unsealed.
            if let Err(error) = tokio::spawn(sealer.run()).await {
                tracing::error!(%error, "audit.failed: the sealer panicked");
                watched.enter(SealerState::Failed("the sealer panicked; this process's log says where".to_owned()));
            }
        });
        SealerHandle { reporter, task }
    }

    async fn run(mut self) {
        let reporter = Arc::clone(&self.reporter);
        let tick = async {
            loop {
                tokio::time::sleep(TICK).await;
                reporter.tick();
            }
        };
        tokio::select! {
            () = self.sessions() => {}
            () = tick => {}
        }
        self.reporter.enter(SealerState::Stopped);
    }

    async fn sessions(&mut self) {
        let mut pause = self.options.retry.0;
        loop {
            let before = self.reporter.sealed();
            let halt = self.session().await;
            if self.reporter.sealed() > before {
                pause = self.options.retry.0;
            }
            let rest = match halt {
                Halt::Cancelled => return,
                Halt::Overtaken => {
                    tracing::info!("audit.overtaken: another process seals");
                    self.options.look_every
                }
                Halt::Retry(reason) => {
                    tracing::warn!(reason, pause_ms = pause.as_millis() as u64, "audit.retrying");
                    self.reporter.enter(SealerState::Retrying(reason));
                    let rest = pause;
                    pause = (pause * 2).min(self.options.retry.1);
                    rest
                }
                Halt::Fault { position, reason } => {
                    tracing::error!(position, reason, "audit.failed: nothing more is sealed");
                    self.reporter.enter(SealerState::Failed(format!("position {position}: {reason}")));
                    self.options.fault_every
                }
            };
            if self.cancel.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                return;
            }
        }
    }

    async fn session(&mut self) -> Halt {
        let opening = Session::open(&self.pool, &self.options, &self.keyring, &self.reporter, self.newest.clone());
        let opened = match self.cancel.run_until_cancelled(opening).await {
            None => return Halt::Cancelled,
            Some(Err(halt)) => return halt,
            Some(Ok(opened)) => opened,
        };
        opened.follow(&self.cancel).await
    }
}
