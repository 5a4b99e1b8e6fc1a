//! Whole answers, ready to be sent: kept for as long as nothing that they rest on has changed.
//!
//! An answer carries what it rests on ([`Basis`]) and is served only while no newer event touches any of it, as far as
//! the feed of this process has been read, which is at least as far as any view that this process fills. So a kept
//! answer is what the same query would answer now, and needs no invalidation message. Identical questions that come
//! while the first of them is being answered wait for that answer ([`Answers::enter`]).

use super::feed_view::FeedView;
use super::reads::Basis;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use moka::sync::Cache as Store;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What the store itself takes for one answer, roughly.
const OVERHEAD: usize = 400;
const TOPIC_BYTES: usize = 24;

/// How much is kept.
#[derive(Debug, Clone)]
pub struct AnswersOptions {
    /// How much all answers and their questions may take, roughly, in bytes; 0: none is kept.
    pub bytes: u64,
    /// The largest answer kept, with its question.
    pub answer_bytes: usize,
    /// How long one is kept at the most.
    pub time_to_live: Duration,
}

impl Default for AnswersOptions {
    fn default() -> Self {
        Self { bytes: 64 << 20, answer_bytes: 256 << 10, time_to_live: Duration::from_mins(1) }
    }
}

/// What was asked, and for whom. Equal questions have equal answers: all that an answer depends on beside the data is
/// in here, whole, not as a hash that two questions could share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Whose data, and what of it may be read.
    pub scope: Arc<str>,
    /// How it was asked, where the same bytes mean something else each way.
    pub by: &'static str,
    /// The operation with its variables, as sent.
    pub asked: Arc<[u8]>,
}

/// A kept answer.
#[derive(Debug)]
struct Answer {
    body: Bytes,
    basis: Basis,
    /// The feed's position at which it was last found true: as long as that has not moved, it is.
    true_at: AtomicI64,
}

/// What was done so far, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnswerFigures {
    /// Questions answered from what is kept.
    pub hits: u64,
    /// Questions that waited for an identical one's answer.
    pub shared: u64,
    /// Questions whose kept answer was no longer true; these count as misses or as shared, too.
    pub stale: u64,
    /// Questions that had to be answered.
    pub misses: u64,
    /// Answers that were not kept: errors, too large, or resting on something that can not be told.
    pub unkept: u64,
    /// Answers that are kept.
    pub kept: u64,
    /// Their bytes, roughly.
    pub bytes: u64,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    shared: AtomicU64,
    stale: AtomicU64,
    misses: AtomicU64,
    unkept: AtomicU64,
}

/// The kept answers of a process.
pub struct Answers {
    store: Store<Question, Arc<Answer>>,
    flights: Mutex<HashMap<Question, watch::Receiver<Flight>>>,
    feed: FeedView,
    now: fn() -> DateTime<Utc>,
    options: AnswersOptions,
    counters: Counters,
}

/// How far the answering of a question is.
#[derive(Debug, Clone)]
enum Flight {
    UnderWay,
    /// Whoever answered it has an answer that others may have.
    Landed(Arc<Answer>),
    /// There is none to be shared: each has to ask for itself.
    Unshared,
}

/// What becomes of a question that was not answered from what is kept.
pub enum Entered<'a> {
    /// Somebody else has answered it meanwhile.
    Answered(Bytes),
    /// It is yours to answer; others may be waiting.
    Yours(Answering<'a>),
    /// It is yours to answer, for yourself.
    Alone,
}

/// A question that is being answered. Dropped without an answer, the next one who waits takes it up.
pub struct Answering<'a> {
    answers: &'a Answers,
    question: Question,
    /// None once it has ended.
    flight: Option<watch::Sender<Flight>>,
}

impl Answers {
    pub(super) fn new(options: AnswersOptions, feed: FeedView, now: fn() -> DateTime<Utc>) -> Self {
        let store = Store::builder()
            .max_capacity(options.bytes)
            .weigher(|question: &Question, answer: &Arc<Answer>| {
                u32::try_from(weight(question, &answer.body, &answer.basis)).unwrap_or(u32::MAX)
            })
            .time_to_live(options.time_to_live)
            .build();
        let (flights, counters) = (Mutex::default(), Counters::default());
        Self { store, flights, feed, now, options, counters }
    }

    /// Whether anything is kept at all.
    pub fn is_on(&self) -> bool {
        self.options.bytes > 0
    }

    /// What was done so far.
    pub fn figures(&self) -> AnswerFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AnswerFigures {
            hits: read(&self.counters.hits),
            shared: read(&self.counters.shared),
            stale: read(&self.counters.stale),
            misses: read(&self.counters.misses),
            unkept: read(&self.counters.unkept),
            kept: self.store.entry_count(),
            bytes: self.store.weighted_size(),
        }
    }

    /// The kept answer, where there is one that is true.
    pub async fn get(&self, question: &Question) -> Option<Bytes> {
        let answer = self.store.get(question)?;
        if self.is_true(&answer).await {
            self.counters.hits.fetch_add(1, Ordering::Relaxed);
            return Some(answer.body.clone());
        }
        self.counters.stale.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Takes a question up that no kept answer answers. Identical ones that are under way are waited for.
    pub async fn enter(&self, question: &Question) -> Entered<'_> {
        let mut came_before = false;
        loop {
            let mut flight = match self.take_off(question) {
                Ok(answering) => {
                    // Between the look at what is kept and here another may have landed.
                    if let Some(answer) = self.store.get(question)
                        && self.is_true(&answer).await
                    {
                        self.counters.shared.fetch_add(1, Ordering::Relaxed);
                        return Entered::Answered(answer.body.clone());
                    }
                    self.counters.misses.fetch_add(1, Ordering::Relaxed);
                    return Entered::Yours(answering);
                }
                Err(flight) => flight,
            };
            let landed = flight.wait_for(|flight| !matches!(flight, Flight::UnderWay)).await;
            match landed.map(|flight| flight.clone()) {
                // One that took off after this question came has read all that this question could have seen; of an
                // earlier one only what is still true is.
                Ok(Flight::Landed(answer)) if came_before || self.is_true(&answer).await => {
                    self.counters.shared.fetch_add(1, Ordering::Relaxed);
                    return Entered::Answered(answer.body.clone());
                }
                Ok(Flight::Unshared) => {
                    self.counters.misses.fetch_add(1, Ordering::Relaxed);
                    return Entered::Alone;
                }
                // Landed and outdated, or given up by who answered: the next flight takes off after this question came.
                Ok(Flight::Landed(_) | Flight::UnderWay) | Err(_) => came_before = true,
            }
        }
    }

    fn take_off(&self, question: &Question) -> Result<Answering<'_>, watch::Receiver<Flight>> {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(question) {
            return Err(flight.clone());
        }
        let (sender, receiver) = watch::channel(Flight::UnderWay);
        flights.insert(question.clone(), receiver);
        Ok(Answering { answers: self, question: question.clone(), flight: Some(sender) })
    }

    /// Whether an answer is what the same question would be answered now.
    async fn is_true(&self, answer: &Answer) -> bool {
        let Basis { as_of, topics, expires_at } = &answer.basis;
        if expires_at.is_some_and(|at| at <= (self.now)()) {
            return false;
        }
        let Some(followed) = self.feed.caught_up().await else { return false };
        if answer.true_at.load(Ordering::Acquire) >= followed.0 {
            return true;
        }
        let is_true = self.feed.freshness.are_current(topics, *as_of);
        if is_true {
            answer.true_at.fetch_max(followed.0, Ordering::AcqRel);
        }
        is_true
    }

    /// A poisoned lock is a panic between two calls of the map: it is whole.
    fn flights(&self) -> MutexGuard<'_, HashMap<Question, watch::Receiver<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answering<'_> {
    /// Answered, with what it rests on where that is known: kept, and given to those who wait.
    pub fn landed(mut self, body: Bytes, basis: Option<Basis>) {
        let kept = basis.filter(|basis| weight(&self.question, &body, basis) <= self.answers.options.answer_bytes);
        let Some(basis) = kept else { return self.unshared() };
        let answer = Arc::new(Answer { body, basis, true_at: AtomicI64::new(-1) });
        self.answers.store.insert(self.question.clone(), Arc::clone(&answer));
        self.end(Some(Flight::Landed(answer)));
    }

    /// Answered, in a way that is good for nobody else.
    pub fn unshared(mut self) {
        self.answers.counters.unkept.fetch_add(1, Ordering::Relaxed);
        self.end(Some(Flight::Unshared));
    }

    /// Those who wait hear of it only when no other can meet it any more: so whoever has waited once meets later
    /// flights only.
    fn end(&mut self, how: Option<Flight>) {
        let Some(flight) = self.flight.take() else { return };
        self.answers.flights().remove(&self.question);
        if let Some(how) = how {
            flight.send_replace(how);
        }
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.end(None);
    }
}

fn weight(question: &Question, body: &[u8], basis: &Basis) -> usize {
    OVERHEAD + question.asked.len() + body.len() + basis.topics.len() * TOPIC_BYTES
}
