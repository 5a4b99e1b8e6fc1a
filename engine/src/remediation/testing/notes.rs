//! What processes did to the target, for whoever wants to know whether it was done twice.

use crate::action::host::PhaseName;
use crate::remediation::{Hooks, Point, Verdict};
use domain::StepName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One thing that a process did with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Look,
    Change,
    Changed,
}

/// What several processes, one after another, did with each step.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Vec<BTreeMap<StepName, Vec<Did>>>>);

impl Notes {
    /// A process that may have these faults, and whose doings are noted.
    pub fn watch(self: &Arc<Self>, faults: Option<Arc<dyn Hooks>>) -> Arc<dyn Hooks> {
        let mut processes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        processes.push(BTreeMap::new());
        Arc::new(Watched { notes: Arc::clone(self), process: processes.len() - 1, faults })
    }

    /// Whether any process has begun to change this step.
    pub fn was_changed(&self, step: &StepName) -> bool {
        let processes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        processes.iter().filter_map(|process| process.get(step)).flatten().any(|did| *did == Did::Change)
    }

    /// What is wrong with how steps were repeated: what had been changed is changed again (where `may_repeat` does not
    /// allow it), or changed again without having been looked at.
    pub fn wrong_repeats(&self, may_repeat: impl Fn(&StepName) -> bool) -> Vec<String> {
        let processes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wrong = Vec::new();
        for (place, process) in processes.iter().enumerate() {
            for (step, did) in process {
                let before = || processes[..place].iter().filter_map(|earlier| earlier.get(step)).flatten();
                let Some(change) = did.iter().position(|one| *one == Did::Change) else { continue };
                if before().any(|one| *one == Did::Change) && !did[..change].contains(&Did::Look) {
                    wrong.push(format!("{step} was changed again without having been looked at"));
                }
                if before().any(|one| *one == Did::Changed) && !may_repeat(step) {
                    wrong.push(format!("{step} had been changed, and was changed again"));
                }
            }
        }
        wrong
    }
}

struct Watched {
    notes: Arc<Notes>,
    process: usize,
    faults: Option<Arc<dyn Hooks>>,
}

impl Hooks for Watched {
    fn at(&self, point: Point<'_>) -> Verdict {
        let verdict = self.faults.as_ref().map_or(Verdict::GoOn, |faults| faults.at(point));
        let did = match point {
            // What dies here, or fails here, has not begun.
            Point::Before(..) if matches!(verdict, Verdict::Freeze | Verdict::Fail(_)) => return verdict,
            Point::Before(PhaseName::Apply, step) => (step, Did::Change),
            Point::After(PhaseName::Apply, step) => (step, Did::Changed),
            Point::Before(PhaseName::Verify, step) => (step, Did::Look),
            _ => return verdict,
        };
        let mut processes = self.notes.0.lock().unwrap_or_else(PoisonError::into_inner);
        processes[self.process].entry(did.0.clone()).or_default().push(did.1);
        verdict
    }
}
