//! What a remediation is going to do: a graph of steps, and what a dry run says of each.

use crate::diagnostic_run::CheckKey;
use crate::ids::{ActionName, ComponentName, ContentHash, EvidenceHash, RunbookName, StepName};
use crate::outcome::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most steps of a plan.
pub const STEPS_MAX: usize = 64;

/// A graph of steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The runbook that it was made from.
    pub runbook: RunbookName,
    /// The version of the runbook (first 12 hex digits of the SHA-256 of its file).
    pub version: String,
    /// In words.
    pub title: String,
    /// Each step stands after those that it depends on; 1 to [`STEPS_MAX`].
    pub steps: Vec<PlannedStep>,
    /// What must be well at the end.
    pub post_check: PostCheck,
}

impl Plan {
    /// The hash that an approval is bound to.
    pub fn hash(&self) -> Result<ContentHash, serde_json::Error> {
        ContentHash::of(self)
    }

    /// The step of this name.
    pub fn step(&self, name: &StepName) -> Option<&PlannedStep> {
        self.steps.iter().find(|step| step.name == *name)
    }
}

/// One step: one action on one component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its name in the plan.
    pub name: StepName,
    /// In words, with the values that it is about.
    pub title: String,
    /// What it does.
    pub action: ActionName,
    /// The version of the action: changes where what it does changes.
    pub action_version: u32,
    /// What it does it to.
    pub component: ComponentName,
    /// The steps that must have succeeded before it starts. Steps without dependence run in parallel.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<StepName>,
    /// What the action is told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Argument>,
    /// Whether it can be taken back.
    pub undo: Undoing,
    /// It never runs without a person's approval, whatever the policy says.
    #[serde(default)]
    pub always_approve: bool,
    /// How long one of its phases (capture, apply, verify, undo) may take, in milliseconds.
    pub deadline_ms: u32,
}

/// What an action is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Argument {
    /// A value, known when planning.
    Value(serde_json::Value),
    /// An output of an earlier step, which is among those that this one comes after.
    OutputOf {
        /// The step.
        step: StepName,
        /// Which of its outputs.
        output: String,
    },
}

/// Whether and how a step is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undoing {
    /// From its before-image; proven by the hash of the state.
    FromBeforeImage,
    /// Nothing is left to take back: what it changed is not state (a restart, statistics that are counted again).
    Nothing {
        /// Why.
        reason: String,
    },
    /// It can not be taken back.
    Impossible {
        /// Why.
        reason: String,
    },
}

/// What must be well after the last step, by the very check that raised the finding and by others of the runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostCheck {
    /// The checks: that of the finding first.
    pub checks: Vec<CheckKey>,
    /// How long the effect may take to show, in milliseconds: until then a problem is measured again.
    pub within_ms: u32,
}

/// What one post-check gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostCheckResult {
    /// The check.
    pub key: CheckKey,
    /// The version of its definition that judged.
    pub version: String,
    /// `Ok` where the finding's resource is well again, whatever else the check sees; `Unknown` is no success.
    pub outcome: Outcome,
    /// One line.
    pub summary: String,
}

/// How much a plan touches, in units that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct BlastRadius {
    /// Deployments.
    pub deployments: u64,
    /// Document stores.
    pub stores: u64,
    /// Documents or files.
    pub documents: u64,
    /// Users, or sessions of users.
    pub users: u64,
    /// Bytes moved, rewritten or locked.
    pub bytes: u64,
}

impl BlastRadius {
    /// Both together; a sum that does not fit stays at the highest number.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            deployments: self.deployments.saturating_add(other.deployments),
            stores: self.stores.saturating_add(other.stores),
            documents: self.documents.saturating_add(other.documents),
            users: self.users.saturating_add(other.users),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// One thing that a step would change, read from the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// In words: `set work_mem from 4MB to 64MB`.
    pub summary: String,
    /// What is changed, such as a file's path, a table, a setting.
    pub subject: String,
    /// As it is; `None` where there is nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<serde_json::Value>,
    /// As it would be; `None` where there would be nothing left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<serde_json::Value>,
}

/// What a dry run says of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPreview {
    /// The step.
    pub step: StepName,
    /// What it would change; empty where it would change nothing. At most 100, the rest is counted in `omitted`.
    pub changes: Vec<Change>,
    /// How many further changes were left out of `changes`.
    #[serde(default)]
    pub omitted: u64,
    /// The hash of the target's state; `None` where the step depends on what an earlier one gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ContentHash>,
    /// How much it touches.
    #[serde(default)]
    pub blast: BlastRadius,
    /// Why it can not be said yet what it would change, where it can not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undetermined: Option<String>,
}

/// What was there before a step: enough to put it back, and the hash that proves that it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeforeImage {
    /// The hash of the state as the action describes it.
    pub state: ContentHash,
    /// The image itself, where it is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<serde_json::Value>,
    /// Where it is kept otherwise: in the evidence store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<EvidenceHash>,
}

/// What a step gave to those after it.
pub type Outputs = BTreeMap<String, serde_json::Value>;
