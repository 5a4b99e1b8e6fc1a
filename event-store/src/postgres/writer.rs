//! The one task of the process that writes: group commit at an optimistic end of the log.
//!
//! Whatever was queued while the last batch was under way becomes the next one. A batch that fails is settled before
//! the next begins: the database is asked who lost, only they fail, and the rest is written again. Where the
//! connection broke and the outcome is not known, the same batch is tried again on a new connection: its command ids
//! are unique in the database, so what was written the first time is found there and nothing is written twice.

use super::errors::Failure;
use super::judge::{settle_losers, unsettled};
use super::link::Link;
use super::pending::{BatchBounds, Pending, Reply, late, next_batch};
use super::statement::Place;
use super::{PostgresLogOptions, Shared};
use crate::log::{AppendError, CommandOutcome};
use domain::Position;
use futures::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// For so long after another process was seen to write, positions are asked for under the lock.
const SHARED_LOG: Duration = Duration::from_secs(1);
/// How often a batch may fail for reasons that should have gone away, before its callers are told.
const STRIKES_MAX: u32 = 5;
/// Between attempts to reach the database.
const RECONNECT_MIN: Duration = Duration::from_millis(10);
const RECONNECT_MAX: Duration = Duration::from_millis(500);

pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Pending>,
    waiting: VecDeque<Pending>,
    connect: PgConnectOptions,
    link: Option<Link>,
    bounds: BatchBounds,
    answer_within: Duration,
    others_write_until: Option<Instant>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        queue: mpsc::UnboundedReceiver<Pending>,
        connect: PgConnectOptions,
        link: Link,
        options: &PostgresLogOptions,
    ) -> Self {
        let bounds = BatchBounds {
            appends: options.batch_appends_max,
            events: options.batch_events_max,
            bytes: options.batch_bytes_max,
        };
        Self {
            shared,
            queue,
            waiting: VecDeque::new(),
            connect,
            link: Some(link),
            bounds,
            answer_within: options.answer_within,
            others_write_until: None,
        }
    }

    /// Runs until the log is closed and every append that was queued until then is answered.
    pub async fn run(mut self) {
        let mut answered = 0;
        while self.gather(answered).await {
            let mut batch = next_batch(&mut self.waiting, self.bounds, &self.shared.known);
            answered = batch.len();
            if !batch.is_empty() {
                self.settle(&mut batch).await;
            }
        }
        if let Some(link) = self.link.take() {
            let _ = sqlx::Connection::close(link.connection).await;
        }
    }

    /// Waits for something to do and takes all that is there; false once there will never be anything again.
    async fn gather(&mut self, answered: usize) -> bool {
        // Those just answered run first: what they send next is then part of this batch instead of the one after it.
        // Where it was one alone and nobody waits, waiting for the queue does the same, without waking a second
        // thread of the runtime as a yield of an otherwise idle one does.
        if answered > 1 || !self.waiting.is_empty() || !self.queue.is_empty() {
            tokio::task::yield_now().await;
        }
        if self.waiting.is_empty() {
            match self.queue.recv().await {
                Some(append) => self.waiting.push_back(append),
                None => return false,
            }
        }
        // Looking further ahead than two batches only helps where many appends go to one stream.
        let room = (2 * self.bounds.appends).saturating_sub(self.waiting.len());
        for _ in 0..room {
            let Ok(append) = self.queue.try_recv() else { break };
            self.waiting.push_back(append);
        }
        true
    }

    /// Writes a batch; every one of its appends is answered when this returns.
    async fn settle(&mut self, batch: &mut Vec<Pending>) {
        let mut strikes = 0;
        let mut ask_first = false;
        while !batch.is_empty() {
            if strikes > 0 {
                drop_late(batch);
            }
            let attempt = match self.linked(batch).await {
                Some(link) if ask_first => {
                    settle_losers(&mut link.connection, batch).await.map(|()| None).map_err(|error| Failure::of(&error))
                }
                Some(_) => self.write(batch).await.map(Some),
                None => return,
            };
            match attempt {
                Ok(Some(first)) => return self.confirm(batch, first),
                Ok(None) => ask_first = false,
                Err(failure) => {
                    strikes += 1;
                    ask_first = self.weigh(batch, failure, strikes).await;
                }
            }
        }
    }

    async fn write(&mut self, batch: &[Pending]) -> Result<i64, Failure> {
        let Some(link) = &mut self.link else { return Err(Failure::Unknown("not connected".to_owned())) };
        let has_events = batch.iter().any(|append| !append.events.is_empty());
        let others_write = self.others_write_until.is_some_and(|until| Instant::now() < until);
        // Refusals and empty appends need no position, hence no lock.
        let place = match (has_events, others_write) {
            (true, true) => Place::Asked,
            (true, false) => Place::After(link.end),
            (false, _) => Place::After(link.end.max(self.shared.newest.borrow().0)),
        };
        let end_before = link.end;
        let first = link.write(batch, place, self.answer_within).await?;
        if has_events && first != end_before + 1 {
            self.others_write();
        }
        Ok(first)
    }

    /// Decides how to go on after a failure; true: ask the database who lost before writing again.
    async fn weigh(&mut self, batch: &mut Vec<Pending>, failure: Failure, strikes: u32) -> bool {
        match failure {
            Failure::PositionTaken => {
                self.others_write();
                false
            }
            Failure::KeyTaken if strikes <= STRIKES_MAX + batch.len() as u32 => true,
            Failure::Entangled if strikes <= STRIKES_MAX => {
                self.others_write();
                true
            }
            Failure::Unknown(reason) => {
                tracing::warn!(reason, appends = batch.len(), "event log writer lost its connection, outcome unknown");
                self.link = None;
                self.shared.known.forget();
                tokio::time::sleep(RECONNECT_MIN * strikes.min(20)).await;
                true
            }
            Failure::KeyTaken | Failure::Entangled => {
                answer_all(batch, &unsettled("the append was in the way of others too often"));
                false
            }
            Failure::Refused { reason, .. } if batch.len() == 1 => {
                tracing::error!(reason, "the database refused an append");
                answer_all(batch, &unsettled(&reason));
                false
            }
            Failure::Refused { content, reason } => {
                tracing::warn!(reason, appends = batch.len(), "the database refused a batch of appends");
                if content {
                    self.one_by_one(batch).await;
                } else {
                    answer_all(batch, &unsettled(&reason));
                }
                false
            }
        }
    }

    /// Some append holds what the database can not store: each is judged by itself, so that only that one fails.
    fn one_by_one<'a>(&'a mut self, batch: &'a mut Vec<Pending>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for append in std::mem::take(batch) {
                self.settle(&mut vec![append]).await;
            }
        })
    }

    fn confirm(&mut self, batch: &mut Vec<Pending>, first: i64) {
        let end = self.link.as_ref().map_or(first - 1, |link| link.end);
        self.shared.advance(Position(end));
        let mut last = first - 1;
        for append in batch.drain(..) {
            last += append.events.len() as i64;
            let outcome = append.outcome(last);
            let version = match &outcome {
                CommandOutcome::Accepted(appended) if appended.events > 0 => appended.version.0,
                _ => 0,
            };
            self.shared.known.note_command(append.metadata.command_id.0, &append.stream, version);
            append.answer(Reply::Recorded(outcome));
        }
        self.shared.committed.send_replace(Position(end));
    }

    fn others_write(&mut self) {
        self.others_write_until = Some(Instant::now() + SHARED_LOG);
    }

    /// The connection, made anew where it is gone. `None`: the database stayed out of reach until the last of the
    /// batch had to be answered, and all of it is answered.
    async fn linked(&mut self, batch: &mut Vec<Pending>) -> Option<&mut Link> {
        let mut pause = RECONNECT_MIN;
        while self.link.is_none() {
            drop_late(batch);
            let give_up = batch.iter().map(|append| append.deadline).max()?;
            match tokio::time::timeout_at(give_up, Link::open(&self.connect)).await {
                Ok(Ok(link)) => self.link = Some(link),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "event log writer can not connect yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RECONNECT_MAX);
                    self.drop_late_waiting();
                }
                Err(_) => {}
            }
        }
        self.link.as_mut()
    }

    /// Nobody in the queue waits longer than promised because the database is away.
    fn drop_late_waiting(&mut self) {
        while let Ok(append) = self.queue.try_recv() {
            self.waiting.push_back(append);
        }
        let now = Instant::now();
        for append in std::mem::take(&mut self.waiting) {
            if append.deadline <= now {
                append.answer(Reply::Failed(late()));
            } else {
                self.waiting.push_back(append);
            }
        }
    }
}

fn drop_late(batch: &mut Vec<Pending>) {
    let now = Instant::now();
    for append in std::mem::take(batch) {
        if append.deadline <= now {
            append.answer(Reply::Failed(late()));
        } else {
            batch.push(append);
        }
    }
}

fn answer_all(batch: &mut Vec<Pending>, error: &AppendError) {
    for append in batch.drain(..) {
        append.answer(Reply::Failed(error.clone()));
    }
}
