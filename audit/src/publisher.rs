//! Hands checkpoints out: into a folder, to an address. Whoever keeps them elsewhere can show later that the history
//! was not written anew. Publishing follows behind and never keeps the sealer waiting; what could not be published is
//! tried again, in order, for as long as it takes.

use crate::sealer::{Now, SealerState, SealerStatus};
use crate::{AuditError, store};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Checkpoints of one turn.
const TURN: i64 = 50;

/// Where checkpoints go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// A file each, `<number>.checkpoint`: never written over.
    Folder(PathBuf),
    /// A POST each, the note as `text/plain`; any 2xx means that it was kept.
    Http(String),
}

impl Sink {
    /// By which it is known in the database and in the status. Of an address without what may be secret.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(folder) => format!("folder:{}", folder.display()),
            Self::Http(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
                let place = rest.split(['?', '#']).next().unwrap_or_default();
                let place = place.rsplit_once('@').map_or(place, |(_, host)| host);
                format!("{scheme}://{place}")
            }
        }
    }
}

/// How the publisher works.
#[derive(Clone)]
pub struct PublisherOptions {
    /// Where checkpoints go.
    pub sinks: Vec<Sink>,
    /// How long one may take.
    pub timeout: Duration,
    /// The first and the longest pause after a failure.
    pub retry: (Duration, Duration),
    /// The clock.
    pub now: Now,
}

impl PublisherOptions {
    /// With the usual patience.
    pub fn new(sinks: Vec<Sink>) -> Self {
        Self {
            sinks,
            timeout: Duration::from_secs(10),
            retry: (Duration::from_millis(500), Duration::from_secs(60)),
            now: Arc::new(Utc::now),
        }
    }
}

/// How far a sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherStatus {
    /// Which sink.
    pub sink: String,
    /// The last checkpoint that it has.
    pub number: u64,
    /// When it got it.
    pub at: Option<DateTime<Utc>>,
    /// Why it has not the next.
    pub failure: Option<String>,
}

/// A running publisher.
#[derive(Debug)]
pub struct PublisherHandle {
    statuses: Vec<watch::Receiver<PublisherStatus>>,
    tasks: Vec<JoinHandle<()>>,
}

impl PublisherHandle {
    /// Follows each sink.
    pub fn statuses(&self) -> Vec<watch::Receiver<PublisherStatus>> {
        self.statuses.clone()
    }

    /// Waits until it has stopped, after its token was cancelled.
    pub async fn stopped(self) {
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Publishes to one sink.
pub struct Publisher {
    pool: PgPool,
    sink: Sink,
    sealer: watch::Receiver<SealerStatus>,
    options: PublisherOptions,
    status: watch::Sender<PublisherStatus>,
    client: reqwest::Client,
}

impl Publisher {
    /// Starts a task for each sink. They work while this process's sealer is the active one.
    pub fn start(
        pool: &PgPool,
        sealer: &watch::Receiver<SealerStatus>,
        options: &PublisherOptions,
        cancel: &CancellationToken,
    ) -> PublisherHandle {
        let mut handle = PublisherHandle { statuses: Vec::new(), tasks: Vec::new() };
        for sink in &options.sinks {
            let mut status = PublisherStatus { sink: sink.name(), number: 0, at: None, failure: None };
            // A redirect to a page that says 200 would pass for a checkpoint that was kept.
            let client = match reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build() {
                Ok(client) => client,
                Err(error) => {
                    status.failure = Some(format!("no HTTP client: {error}"));
                    handle.statuses.push(watch::Sender::new(status).subscribe());
                    continue;
                }
            };
            let publisher = Self {
                pool: pool.clone(),
                sink: sink.clone(),
                sealer: sealer.clone(),
                options: options.clone(),
                status: watch::Sender::new(status),
                client,
            };
            handle.statuses.push(publisher.status.subscribe());
            let cancel = cancel.clone();
            handle.tasks.push(tokio::spawn(async move {
                cancel.run_until_cancelled(publisher.run()).await;
            }));
        }
        handle
    }

    async fn run(mut self) {
        let mut pause = self.options.retry.0;
        loop {
            let rest = match self.turn().await {
                Ok(()) => {
                    pause = self.options.retry.0;
                    self.news().await;
                    continue;
                }
                Err(error) => {
                    let failure = describe(&error);
                    tracing::warn!(sink = self.sink.name(), failure, "audit.unpublished: tried again later");
                    self.status.send_modify(|status| status.failure = Some(failure));
                    pause
                }
            };
            tokio::time::sleep(rest).await;
            pause = (pause * 2).min(self.options.retry.1);
        }
    }

    /// Waits for a checkpoint that is not published.
    async fn news(&mut self) {
        let published = self.status.borrow().number;
        let newer = |status: &SealerStatus| {
            status.state == SealerState::Running && status.checkpoint.as_ref().is_some_and(|one| one.number > published)
        };
        if self.sealer.wait_for(newer).await.is_err() {
            // The sealer has stopped: so will this.
            std::future::pending::<()>().await;
        }
    }

    /// Publishes what there is.
    async fn turn(&mut self) -> Result<(), AuditError> {
        if self.sealer.borrow().state != SealerState::Running {
            return Ok(());
        }
        let name = self.sink.name();
        let done: Option<i64> = sqlx::query_scalar("SELECT number FROM cmdiag.audit_publications WHERE sink = $1")
            .bind(&name)
            .fetch_optional(&self.pool)
            .await?;
        let mut done = done.unwrap_or(0) as u64;
        self.status.send_modify(|status| status.number = done);
        loop {
            let notes = store::notes_after(&self.pool, done, TURN).await?;
            if notes.is_empty() {
                return Ok(());
            }
            for (number, note) in notes {
                self.publish(number, &note).await?;
                sqlx::query(
                    "INSERT INTO cmdiag.audit_publications (sink, number) VALUES ($1, $2) \
                     ON CONFLICT (sink) DO UPDATE SET number = EXCLUDED.number, published_at = clock_timestamp()",
                )
                .bind(&name)
                .bind(number as i64)
                .execute(&self.pool)
                .await?;
                done = number;
                let at = (self.options.now)();
                self.status.send_modify(|status| {
                    (status.number, status.at, status.failure) = (number, Some(at), None);
                });
            }
        }
    }

    async fn publish(&self, number: u64, note: &str) -> Result<(), AuditError> {
        match &self.sink {
            Sink::Folder(folder) => {
                let (folder, note) = (folder.clone(), note.to_owned());
                let written = tokio::task::spawn_blocking(move || write(&folder, number, &note)).await;
                written.unwrap_or_else(|error| Err(AuditError::Missing(format!("writing a checkpoint: {error}"))))
            }
            Sink::Http(url) => {
                let sent = self
                    .client
                    .post(url)
                    .header("content-type", "text/plain; charset=utf-8")
                    .header("idempotency-key", format!("checkpoint-{number}"))
                    .timeout(self.options.timeout)
                    .body(note.to_owned())
                    .send();
                // Without the address, which may hold a secret.
                let answer = sent.await.map_err(|error| AuditError::Missing(error.without_url().to_string()))?;
                if answer.status().is_success() {
                    return Ok(());
                }
                Err(AuditError::Missing(format!("the address answers {}", answer.status())))
            }
        }
    }
}

/// Writes a checkpoint's file. One that is there must be the same: another one means that the log was written anew.
fn write(folder: &Path, number: u64, note: &str) -> Result<(), AuditError> {
    let path = folder.join(format!("{number:012}.checkpoint"));
    let shown = path.display();
    match std::fs::read_to_string(&path) {
        Ok(there) if there == note => return Ok(()),
        Ok(_) => {
            let what =
                format!("{shown} holds another checkpoint {number}: is it of this log, and was it written anew?");
            return Err(AuditError::Malformed(what));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(AuditError::file(format!("read {shown}"))(error)),
    }
    let making = path.with_extension("making");
    let written = (|| {
        std::fs::create_dir_all(folder)?;
        let mut file = std::fs::File::create(&making)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&making, &path)
    })();
    written.map_err(AuditError::file(format!("write {shown}")))
}

fn describe(error: &AuditError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_named_without_secrets() {
        let name = |url: &str| Sink::Http(url.to_owned()).name();
        assert_eq!(name("https://user:word@host/place?token=x"), "https://host/place");
        assert_eq!(name("http://host:1/"), "http://host:1/");
    }

    #[test]
    fn a_published_checkpoint_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new");
        write(&place, 3, "one").unwrap();
        write(&place, 3, "one").unwrap();
        assert!(write(&place, 3, "another").unwrap_err().to_string().contains("written anew"));
        assert_eq!(std::fs::read_to_string(place.join("000000000003.checkpoint")).unwrap(), "one");
    }
}
