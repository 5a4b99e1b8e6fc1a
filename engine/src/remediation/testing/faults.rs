//! The kit's faults.

use crate::action::host::PhaseName;
use crate::remediation::{Hooks, Point, Verdict};
use domain::StepName;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// One phase of one step fails, before it is done or after; once the step is under way, not while it is only looked at.
#[derive(Debug)]
pub struct FailAt {
    step: StepName,
    phase: PhaseName,
    done: bool,
    is_under_way: AtomicBool,
}

impl FailAt {
    /// This phase of this step; whether it was done all the same.
    pub fn new(step: StepName, phase: PhaseName, done: bool) -> Self {
        Self { step, phase, done, is_under_way: AtomicBool::new(false) }
    }
}

impl Hooks for FailAt {
    fn at(&self, point: Point<'_>) -> Verdict {
        let here = match point {
            Point::Before(phase, step) => !self.done && phase == self.phase && *step == self.step,
            Point::After(phase, step) => self.done && phase == self.phase && *step == self.step,
            Point::Sent(purpose) => {
                let of_step = purpose.strip_prefix(self.step.as_str()).is_some_and(|rest| rest.starts_with('/'));
                if of_step && purpose.ends_with("/start") {
                    self.is_under_way.store(true, Ordering::SeqCst);
                }
                false
            }
            Point::Sending(_) => false,
        };
        // An undo may be that of another process.
        let begun = self.phase == PhaseName::Undo || self.is_under_way.load(Ordering::SeqCst);
        if here && begun { Verdict::Fail("a fault of the kit".to_owned()) } else { Verdict::GoOn }
    }
}
