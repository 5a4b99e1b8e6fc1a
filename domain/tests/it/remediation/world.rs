//! A double of the targets and of the people around a remediation: what its steps change, and what goes wrong.

use domain::ContentHash;
use domain::remediation::{BeforeImage, PlannedStep, StepPreview, Undoing};
use domain::testing::content_hash;
use serde_json::json;
use std::collections::BTreeMap;

/// Where a choice is to be made the next byte says how; they come round again.
#[derive(Debug)]
pub struct Chance {
    bytes: Vec<u8>,
    at: usize,
}

impl Chance {
    pub const fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn draw(&mut self) -> u8 {
        self.at += 1;
        self.bytes[(self.at - 1) % self.bytes.len()]
    }

    /// One time in so many.
    pub fn one_in(&mut self, times: u8) -> bool {
        self.draw().is_multiple_of(times)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.draw()) % bound
    }
}

/// One target for each step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// Whether the step's change is there.
    pub applied: bool,
    /// How often somebody else has changed it.
    pub others: u32,
}

#[derive(Debug, Default)]
pub struct World {
    pub targets: BTreeMap<String, Target>,
}

impl World {
    pub fn target(&mut self, step: &PlannedStep) -> &mut Target {
        self.targets.entry(step.name.to_string()).or_default()
    }

    /// The state's hash as an action reads it. What is no state is always the same.
    pub fn state(&mut self, step: &PlannedStep) -> ContentHash {
        let is_state = !matches!(step.undo, Undoing::Nothing { .. });
        let Target { applied, others } = *self.target(step);
        content_hash(&format!("{} {} {others}", step.name, applied && is_state))
    }

    pub fn image(&mut self, step: &PlannedStep) -> BeforeImage {
        BeforeImage { state: self.state(step), inline: Some(json!({"others": self.target(step).others})), kept: None }
    }

    pub fn preview(&mut self, step: &PlannedStep, sample: &StepPreview) -> StepPreview {
        StepPreview { step: step.name.clone(), state: Some(self.state(step)), ..sample.clone() }
    }

    /// Puts back what the image says.
    pub fn undo(&mut self, step: &PlannedStep, image: &BeforeImage) {
        let others = image.inline.as_ref().and_then(|image| image["others"].as_u64()).expect("an image");
        *self.target(step) = Target { applied: false, others: u32::try_from(others).expect("a small number") };
    }
}
