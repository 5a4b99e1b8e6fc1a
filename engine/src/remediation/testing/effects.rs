//! What a process is about to do, in words: everything that happens to a remediation or its target lies between two of
//! these. A process that dies anywhere between them leaves the same behind.

use crate::action::host::PhaseName;
use crate::remediation::{Hooks, Point, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What comes next at this point; `None` where nothing has happened since the last one.
fn effect(point: Point<'_>) -> Option<String> {
    match point {
        Point::Sending(purpose) => Some(format!("recording {}", plain(purpose))),
        Point::Before(phase, step) => Some(format!("{} of {step}", format!("{phase:?}").to_lowercase())),
        Point::After(..) | Point::Sent(_) => None,
    }
}

/// A purpose without what is another one at the next try: versions, attempts and times.
fn plain(purpose: &str) -> String {
    let lasts = |part: &&str| !part.chars().all(|c| c.is_ascii_digit()) && !part.contains(':');
    purpose.split('/').filter(lasts).collect::<Vec<_>>().join("/")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An effect, and the how-manieth of its name in the life of one process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    name: String,
    number: usize,
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            1 => f.write_str(&self.name),
            number => write!(f, "{} ({number})", self.name),
        }
    }
}

/// Counts effects by their names.
#[derive(Debug, Default)]
struct Counter(Mutex<BTreeMap<String, usize>>);

impl Counter {
    fn next(&self, name: String) -> Effect {
        let mut counts = lock(&self.0);
        let number = counts.entry(name.clone()).or_default();
        *number += 1;
        Effect { name, number: *number }
    }
}

/// Notes what a process did, in order, and the end.
#[derive(Debug, Default)]
pub struct Recorder {
    counter: Counter,
    effects: Mutex<Vec<Effect>>,
    last: Mutex<Option<Effect>>,
}

impl Recorder {
    /// What was done so far; at last, when all of it was.
    pub fn effects(&self) -> Vec<Effect> {
        let mut effects = lock(&self.effects).clone();
        effects.extend(lock(&self.last).clone());
        effects
    }
}

impl Hooks for Recorder {
    fn at(&self, point: Point<'_>) -> Verdict {
        if let Some(name) = effect(point) {
            let effect = self.counter.next(name);
            lock(&self.effects).push(effect);
        } else if let Point::Sent(purpose) = point {
            *lock(&self.last) = Some(self.counter.next(ended(purpose)));
        }
        Verdict::GoOn
    }
}

fn ended(purpose: &str) -> String {
    format!("anything after {}", plain(purpose))
}

/// The process dies before this effect.
#[derive(Debug)]
pub struct DieBefore {
    effect: Effect,
    counter: Counter,
    dead: Death,
}

impl DieBefore {
    /// Before this one.
    pub fn new(effect: Effect) -> Self {
        Self { effect, counter: Counter::default(), dead: Death::default() }
    }

    /// Completes when it is dead.
    pub async fn dead(&self) {
        self.dead.is_there().await;
    }
}

impl Hooks for DieBefore {
    fn at(&self, point: Point<'_>) -> Verdict {
        let name = match point {
            Point::Sent(purpose) => Some(ended(purpose)),
            other => effect(other),
        };
        self.dead.unless(|| name.is_some_and(|name| self.counter.next(name) == self.effect))
    }
}

/// Each process dies before the first effect that none has died before, until steps begin.
#[derive(Debug, Default)]
pub struct Relay {
    died: Arc<Mutex<BTreeSet<String>>>,
    dead: Death,
}

impl Relay {
    /// The process that takes over.
    #[must_use]
    pub fn heir(&self) -> Self {
        Self { died: Arc::clone(&self.died), dead: Death::default() }
    }

    /// Completes when it is dead.
    pub async fn dead(&self) {
        self.dead.is_there().await;
    }

    /// How many have died.
    pub fn deaths(&self) -> usize {
        lock(&self.died).len()
    }
}

impl Hooks for Relay {
    fn at(&self, point: Point<'_>) -> Verdict {
        let name = effect(point).filter(|_| is_before_steps(point));
        self.dead.unless(|| name.is_some_and(|name| lock(&self.died).insert(name)))
    }
}

/// Planning, running dry, asking the policy, looking once more. What is recorded of a step, or after all of them, is
/// not.
fn is_before_steps(point: Point<'_>) -> bool {
    match point {
        Point::Sending(purpose) => !plain(purpose).contains('/') && !purpose.ends_with("post-check"),
        Point::Before(phase, _) => phase == PhaseName::Capture,
        Point::After(..) | Point::Sent(_) => false,
    }
}

/// Whether a process is dead: then nothing of it goes on.
#[derive(Debug, Default)]
struct Death {
    is_dead: Mutex<bool>,
    there: Notify,
}

impl Death {
    fn unless(&self, dies: impl FnOnce() -> bool) -> Verdict {
        let mut is_dead = lock(&self.is_dead);
        if !*is_dead && dies() {
            *is_dead = true;
            self.there.notify_one();
        }
        if *is_dead { Verdict::Freeze } else { Verdict::GoOn }
    }

    async fn is_there(&self) {
        self.there.notified().await;
    }
}
