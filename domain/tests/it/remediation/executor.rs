//! A double of the executor that performs what `next` says, with failures and crashes anywhere: it always comes to
//! rest, and what it leaves behind is what the log says.

use super::invariants;
use super::plans::any_plan;
use super::world::{Chance, World};
use crate::replay::Story;
use chrono::TimeDelta;
use domain::remediation::{
    Admission, Next, Plan, PlannedStep, Remediation, RemediationCommand as Command, RemediationState, Rest, StepPhase,
    StepStage, StepWork, Undoing, next,
};
use domain::testing::{REMEDIATION, post_check_results, remediation_previews, request_remediation};
use domain::{Actor, Outcome, StepName};
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeSet, HashSet};

/// More than any life takes: each of its loops is bounded.
const PERFORMED_MAX: usize = 20_000;
const VERSION: &str = "0123456789ab";

struct Executor {
    story: Story<Remediation>,
    plan: Plan,
    world: World,
    chance: Chance,
    /// Crashes before anything is recorded: the world must grant progress now and then.
    crashes_left: u32,
    /// The steps that were begun by somebody who is gone.
    orphans: BTreeSet<StepName>,
}

fn person(number: usize) -> Actor {
    format!("person-{number}@example.org").parse().expect("a name")
}

impl Executor {
    fn new(plan: Plan, bytes: Vec<u8>) -> Self {
        let mut story = Story::of(REMEDIATION.0);
        story.send(request_remediation()).expect("accepted");
        let (world, chance) = (World::default(), Chance::of(bytes));
        Self { story, plan, world, chance, crashes_left: 50, orphans: BTreeSet::new() }
    }

    /// Sends what `next` has proposed: it must be accepted.
    fn must(&mut self, command: Command) {
        self.must_by("system:remediator".parse().expect("a name"), command);
    }

    fn must_by(&mut self, actor: Actor, command: Command) {
        let told = format!("{command:?} of {:?}", self.story.state);
        assert!(self.story.send_by(actor, command).is_some(), "next proposed what is refused: {told}");
    }

    fn planned(&self, step: &StepName) -> PlannedStep {
        self.plan.step(step).expect("a step of the plan").clone()
    }

    fn crashes(&mut self) -> bool {
        if self.crashes_left == 0 || !self.chance.one_in(8) {
            return false;
        }
        self.crashes_left -= 1;
        self.die();
        true
    }

    /// Whoever performs is gone; somebody else takes over.
    fn die(&mut self) {
        let is_begun = |phase| matches!(phase, StepPhase::Started | StepPhase::Captured);
        let begun = self.story.state.steps.iter().filter(|(_, step)| is_begun(step.phase));
        self.orphans = begun.map(|(name, _)| name.clone()).collect();
    }

    fn run(&mut self) -> Rest {
        for _ in 0..PERFORMED_MAX {
            if self.chance.one_in(64) {
                self.interfere();
            }
            match next(&self.story.state, self.story.now) {
                Next::Rest(rest) => return rest,
                next => self.perform(next),
            }
        }
        panic!("it did not come to rest: {:?}", self.story.state)
    }

    /// Somebody cancels or halts it, or changes a target.
    fn interfere(&mut self) {
        let reason = || "enough".to_owned();
        match self.chance.below(4) {
            0 => drop(self.story.send(Command::Cancel { reason: reason() })),
            1 => drop(self.story.send(Command::Halt { undo: true, reason: reason() })),
            2 => drop(self.story.send(Command::Halt { undo: false, reason: reason() })),
            _ => {
                let place = self.chance.below(self.plan.steps.len());
                let step = self.plan.steps[place].clone();
                self.world.target(&step).others += 1;
            }
        }
    }

    fn perform(&mut self, next: Next) {
        if self.crashes() {
            return;
        }
        match next {
            Next::Plan if self.chance.one_in(32) => self.must(Command::FailPlanning { reason: "none".to_owned() }),
            Next::Plan => {
                self.must(Command::RecordPlan { plan: self.plan.clone(), check_version: VERSION.to_owned() });
            }
            Next::DryRun | Next::Confirm if self.chance.one_in(32) => {
                self.must(Command::FailDryRun { reason: "no route to host".to_owned() });
            }
            Next::DryRun => {
                let sample = &remediation_previews()[0];
                let previews = self.plan.steps.iter().map(|step| self.world.preview(step, sample)).collect();
                self.must(Command::RecordDryRun { previews });
            }
            Next::Admit => self.admit(),
            Next::AwaitApproval { until } => self.approve_or_wait(until),
            Next::AwaitExecution { until } => self.execute_or_wait(until),
            Next::Retry { at } => self.story.now = at,
            Next::Confirm => {
                let states = self.plan.steps.iter().map(|step| Some(self.world.state(step))).collect();
                self.must(Command::Begin { states, check_version: VERSION.to_owned() });
            }
            Next::Steps(work) => {
                assert!(!work.is_empty(), "nothing to do in {:?}", self.story.state);
                let place = self.chance.below(work.len());
                self.work(&work[place]);
            }
            Next::PostCheck => {
                let outcome = if self.chance.one_in(4) { Outcome::Unknown } else { Outcome::Ok };
                self.must(Command::RecordPostCheck { results: post_check_results(outcome) });
            }
            Next::Undo(step) => self.undo(&step),
            Next::GiveUpUndo(step) => {
                self.must(Command::RecordUndoFailed { step, error: "again and again".to_owned() });
            }
            Next::Nothing | Next::Rest(_) => panic!("nothing to perform"),
        }
    }

    fn admit(&mut self) {
        let later = |seconds: i64| self.story.now + TimeDelta::seconds(seconds);
        let (soon, tomorrow) = (later(5), later(86_400));
        let admission = match self.chance.below(8) {
            0 => Admission::Deferred { retry_at: soon },
            1 => Admission::Unattended,
            2 | 3 => Admission::Approval { people: 2, expires_at: tomorrow },
            4 => Admission::Approval { people: 1, expires_at: soon },
            _ => Admission::Automatic,
        };
        let policy = "default".parse().expect("a name");
        self.must(Command::Admit { policy, admission, reason: "by rule 1".to_owned() });
    }

    fn approve_or_wait(&mut self, until: chrono::DateTime<chrono::Utc>) {
        if self.story.now >= until || self.chance.one_in(8) {
            self.story.now = self.story.now.max(until);
            return self.must(Command::ExpireApproval);
        }
        let binding = self.story.state.binding().cloned().expect("something is bound");
        // Whoever it is may be refused: for having part in it already.
        let by = person(self.chance.below(5));
        self.story.send_by(by, Command::Approve { binding, comment: String::new(), on_behalf_of: None });
        self.story.now += TimeDelta::hours(1);
    }

    fn execute_or_wait(&mut self, until: Option<chrono::DateTime<chrono::Utc>>) {
        match until {
            Some(until) if self.story.now >= until || self.chance.one_in(8) => {
                self.story.now = self.story.now.max(until);
                self.must(Command::ExpireApproval);
            }
            _ => {
                let by = person(5 + self.chance.below(2));
                self.must_by(by, Command::Execute);
            }
        }
    }

    /// One stage of one step.
    fn work(&mut self, work: &StepWork) {
        let (step, name) = (self.planned(&work.step), work.step.clone());
        let is_adopted = self.orphans.remove(&name);
        if work.from == StepStage::Intent || (is_adopted && work.from != StepStage::GiveUp) {
            self.must(Command::StartStep { step: name.clone() });
        }
        let failed = |error: &str| Command::RecordStepFailed { step: name.clone(), error: error.to_owned() };
        match work.from {
            StepStage::Intent => {}
            StepStage::GiveUp => self.must(failed("again and again")),
            StepStage::Capture if self.chance.one_in(16) => self.must(failed("no route to host")),
            StepStage::Capture => {
                let image = self.world.image(&step);
                // Somebody may have changed the target since it was approved.
                if self.story.send(Command::RecordBeforeImage { step: name.clone(), image }).is_none() {
                    self.must(failed("not as approved"));
                }
            }
            StepStage::Decide => self.apply(&step),
        }
    }

    fn apply(&mut self, step: &PlannedStep) {
        let found_done = self.world.target(step).applied;
        let failed = |error: &str| Command::RecordStepFailed { step: step.name.clone(), error: error.to_owned() };
        match self.chance.below(16) {
            0 => return self.must(failed("refused by the target")),
            1 => {
                self.world.target(step).applied = true;
                return self.must(failed("applied, then not verified"));
            }
            // It dies with the change made and nothing recorded.
            2 | 3 => {
                self.world.target(step).applied = true;
                return self.die();
            }
            _ => self.world.target(step).applied = true,
        }
        let outputs = [("copy".to_owned(), json!("x"))].into();
        self.must(Command::RecordStepSucceeded { step: step.name.clone(), outputs, found_done });
    }

    fn undo(&mut self, name: &StepName) {
        let step = self.planned(name);
        self.must(Command::StartUndo { step: name.clone() });
        if self.chance.one_in(8) {
            return self.die();
        }
        if self.chance.one_in(16) {
            return self.must(Command::RecordUndoFailed { step: name.clone(), error: "no route to host".to_owned() });
        }
        let mut state = None;
        match step.undo {
            Undoing::FromBeforeImage => {
                let image = self.story.state.steps[name].image.clone().expect("what is taken back has an image");
                self.world.undo(&step, &image);
                if self.chance.one_in(32) {
                    self.world.target(&step).others += 100;
                }
                state = Some(self.world.state(&step));
            }
            Undoing::Nothing { .. } => self.world.target(&step).applied = false,
            Undoing::Impossible { .. } => panic!("what can not be taken back is"),
        }
        self.must(Command::RecordStepUndone { step: name.clone(), state });
    }
}

/// The doubles are no easy ones: each way to rest is come to.
#[test]
fn it_comes_to_rest_in_every_way() {
    let mut seen = HashSet::new();
    for seed in 0..500_u64 {
        // A plain generator of bytes: the same ones each time.
        let byte = |place: u64| ((seed * 521 + place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        let mut executor = Executor::new(domain::testing::remediation_plan(), (0..199).map(byte).collect());
        executor.plan.steps.iter_mut().for_each(|step| step.arguments.clear());
        seen.insert(executor.run());
    }
    let all = [Rest::Succeeded, Rest::Failed, Rest::Cancelled, Rest::Stuck, Rest::Halted];
    assert!(all.iter().all(|rest| seen.contains(rest)), "only {seen:?}");
}

/// The targets are what the log says that they are.
fn check_world(rest: Rest, state: &RemediationState, world: &World) {
    let applied = |step: &PlannedStep| world.targets.get(step.name.as_str()).is_some_and(|target| target.applied);
    for (planned, step) in state.planned_steps() {
        match rest {
            Rest::Succeeded => assert!(applied(planned), "{} was not applied", planned.name),
            Rest::Failed | Rest::Undone | Rest::Cancelled => {
                assert!(!applied(planned), "{rest:?}, and {} is still applied", planned.name);
            }
            Rest::Stuck | Rest::Halted => {
                let is_told = step.image.is_some() || !applied(planned);
                assert!(is_told, "{} was applied and the log does not know", planned.name);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn it_always_comes_to_rest(plan in any_plan(), bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut executor = Executor::new(plan, bytes);
        let rest = executor.run();
        invariants::check_all(&executor.story.events);
        executor.story.check_replay();
        check_world(rest, &executor.story.state, &executor.world);
    }

    #[test]
    fn a_success_is_undone_or_needs_a_person(plan in any_plan(), bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        let calm = vec![63, 62, 61];
        let mut executor = Executor::new(plan, calm);
        prop_assume!(executor.run() == Rest::Succeeded);
        executor.chance = Chance::of(bytes);
        let undo = Command::Undo { reason: "not what we meant".to_owned() };
        if executor.story.send(undo).is_some() {
            let rest = executor.run();
            prop_assert!(matches!(rest, Rest::Undone | Rest::Stuck | Rest::Halted), "{:?}", rest);
            check_world(rest, &executor.story.state, &executor.world);
        }
        invariants::check_all(&executor.story.events);
    }
}
