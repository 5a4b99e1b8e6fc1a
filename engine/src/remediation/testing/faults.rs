//! The kit's faults.

use crate::action::host::PhaseName;
use crate::remediation::{Hooks, Point, Verdict};
use domain::StepName;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Every phase that changes something is done twice.
#[derive(Debug, Default)]
pub struct Twice;

impl Hooks for Twice {
    fn at(&self, point: Point<'_>) -> Verdict {
        match point {
            Point::Before(PhaseName::Apply | PhaseName::Undo, _) => Verdict::Twice,
            _ => Verdict::GoOn,
        }
    }
}

/// One phase of one step fails, before it is done or after.
#[derive(Debug)]
pub struct FailAt {
    /// Which.
    pub step: StepName,
    /// Which of its phases.
    pub phase: PhaseName,
    /// Whether it was done all the same.
    pub done: bool,
}

impl Hooks for FailAt {
    fn at(&self, point: Point<'_>) -> Verdict {
        let here = match point {
            Point::Before(phase, step) => !self.done && phase == self.phase && *step == self.step,
            Point::After(phase, step) => self.done && phase == self.phase && *step == self.step,
            _ => false,
        };
        if here { Verdict::Fail("a fault of the kit".to_owned()) } else { Verdict::GoOn }
    }
}

/// Notes what was sent, and counts the points at which a process can die.
#[derive(Debug, Default)]
pub struct Recorder {
    points: Mutex<Vec<String>>,
}

impl Recorder {
    /// The points passed so far, in order.
    pub fn points(&self) -> Vec<String> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Hooks for Recorder {
    fn at(&self, point: Point<'_>) -> Verdict {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{point:?}"));
        Verdict::GoOn
    }
}

/// The process dies at the so-manieth point.
#[derive(Debug)]
pub struct FreezeAt {
    place: usize,
    passed: AtomicUsize,
    frozen: Notify,
}

impl FreezeAt {
    /// At this one, from 0.
    pub fn new(place: usize) -> Self {
        Self { place, passed: AtomicUsize::new(0), frozen: Notify::new() }
    }

    /// Completes when it is there.
    pub async fn frozen(&self) {
        self.frozen.notified().await;
    }
}

impl Hooks for FreezeAt {
    fn at(&self, _point: Point<'_>) -> Verdict {
        let passed = self.passed.fetch_add(1, Ordering::SeqCst);
        if passed < self.place {
            return Verdict::GoOn;
        }
        self.frozen.notify_one();
        Verdict::Freeze
    }
}
