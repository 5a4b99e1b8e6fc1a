//! A run beside another one of the same deployment: what is new, unchanged, changed and gone, by fingerprint.
//!
//! A problem is gone only where its check measured again: what could not be measured, or what a full list left out, is
//! neither new nor gone for certain.

use super::{Results, RunFacts};
use crate::error::ExportError;
use domain::{CheckCode, DeploymentId, FindingId, Outcome, ResourceName, RunId};
use query_side::{CheckResultView, Queries};
use std::collections::{HashMap, HashSet};

/// How a problem stands beside the base run, in the words of SARIF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not in the base run.
    New,
    /// In both, with the same severity.
    Unchanged,
    /// In both, with another severity.
    Updated,
    /// In the base run only.
    Absent,
}

impl State {
    /// As SARIF writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Unchanged => "unchanged",
            Self::Updated => "updated",
            Self::Absent => "absent",
        }
    }
}

type Key = (String, String);

/// What the base run saw, and what of it was seen again.
pub(crate) struct Baseline {
    pub(crate) run: RunId,
    seen: HashMap<FindingId, Outcome>,
    /// Check and component of base results that say nothing of what they do not list.
    open: HashSet<Key>,
    again: HashSet<FindingId>,
    /// Check and component that this run measured whole.
    measured: HashSet<Key>,
}

/// The fingerprint of a problem; `None` where a stored name is none.
pub(crate) fn fingerprint(deployment: DeploymentId, check: &str, resource: &ResourceName) -> Option<FindingId> {
    let check: CheckCode = check.parse().ok()?;
    Some(FindingId::of(deployment, &check, resource))
}

fn key(result: &CheckResultView) -> Key {
    (result.check_code.clone(), result.component.clone())
}

/// Whether what a result does not list is not there.
fn is_whole(result: &CheckResultView) -> bool {
    result.outcome != Outcome::Unknown && result.omitted == 0
}

impl Baseline {
    pub(crate) async fn read(queries: &Queries, run: &RunFacts, base: &RunFacts) -> Result<Self, ExportError> {
        if base.run.deployment_id != run.run.deployment_id {
            return Err(ExportError::OtherDeployment { run: run.run.id, base: base.run.id });
        }
        let (mut seen, mut whole) = (HashMap::new(), HashSet::new());
        let mut results = Results::of(queries, base.run.id);
        while let Some(page) = results.next().await? {
            for result in &page {
                for problem in &result.observations {
                    let print = fingerprint(result.deployment_id, &result.check_code, &problem.resource);
                    seen.extend(print.map(|print| (print, problem.outcome)));
                }
                if is_whole(result) {
                    whole.insert(key(result));
                }
            }
        }
        let planned = run.planned.iter().map(|key| (key.check.to_string(), key.component.to_string()));
        let open = planned.filter(|key| !whole.contains(key)).collect();
        Ok(Self { run: base.run.id, seen, open, again: HashSet::new(), measured: HashSet::new() })
    }

    /// Takes note of a result of this run: to be called for each before [`Self::is_gone`] is asked.
    pub(crate) fn note(&mut self, result: &CheckResultView) {
        if is_whole(result) {
            self.measured.insert(key(result));
        }
    }

    /// How a problem of this run stands, and whether that is certain.
    pub(crate) fn state(&mut self, result: &CheckResultView, print: FindingId, now: Outcome) -> (State, bool) {
        match self.seen.get(&print) {
            Some(before) => {
                self.again.insert(print);
                (if *before == now { State::Unchanged } else { State::Updated }, true)
            }
            None => (State::New, !self.open.contains(&key(result))),
        }
    }

    /// Whether a problem of the base run is gone: measured again, and not seen.
    pub(crate) fn is_gone(&self, result: &CheckResultView, print: FindingId) -> bool {
        !self.again.contains(&print) && self.measured.contains(&key(result))
    }
}
