//! What stories tell of remediations, of the policy that governs them and of the emergency stop: as an executor would,
//! by what the domain says is next.

use super::{Story, name};
use domain::any_event::AnyEvent;
use domain::emergency_stop::{EmergencyStop, EmergencyStopCommand, EmergencyStopState};
use domain::policy::{
    About, AdmissionRequest, Approval, Automatic, Budget, DeploymentFacts, Mode, Policy, PolicyCommand,
    PolicyDefinition, PolicyState, Rule, Settlement, Share, answer,
};
use domain::remediation::{
    Next, Outputs, Problem, Remediation, RemediationCommand as Command, RemediationPhase, RemediationState, Rest,
    StepStage, StepWork, Trigger, UndoState, next,
};
use domain::testing as sample;
use domain::{Context, FindingId, Outcome, PolicyId, PolicyName, RemediationId, StepName, TenantId};
use std::collections::BTreeMap;
use uuid::Uuid;

const CHECK_VERSION: &str = "0123456789ab";

/// The states of what is told.
#[derive(Default)]
pub(super) struct Remedies {
    open: Vec<(Uuid, RemediationState)>,
    policy: PolicyState,
    stop: EmergencyStopState,
}

impl Story {
    /// Something happens to one of them.
    pub(super) fn touch_a_remedy(&mut self) {
        let Some(mut remedies) = self.remedies.take() else { return };
        match self.draw(24) {
            0 => self.touch_the_stop(&mut remedies.stop),
            1 => self.touch_the_policy(&mut remedies.policy),
            2..5 => self.request_a_remediation(&mut remedies),
            _ => self.go_on_with_a_remediation(&mut remedies),
        }
        self.remedies = Some(remedies);
    }

    fn touch_the_stop(&mut self, stop: &mut EmergencyStopState) {
        let undo = self.draw(2) == 0;
        let command = match stop.engaged {
            None => EmergencyStopCommand::Engage { undo, reason: "it went wrong".to_owned() },
            Some(_) => EmergencyStopCommand::Release { reason: "put right".to_owned() },
        };
        let id = EmergencyStop::of(&TenantId::default());
        self.tell::<EmergencyStop>(id, stop, command, AnyEvent::EmergencyStop);
    }

    fn touch_the_policy(&mut self, policy: &mut PolicyState) {
        let people = 1 + (self.draw(2) as u8);
        let automatic = self.draw(3) > 0;
        let definition = definition(people, automatic);
        let command = match (&policy.defined, self.draw(4)) {
            (None, _) => PolicyCommand::Define { policy: policy_name(), definition },
            (Some(_), 0) => PolicyCommand::Retire { reason: "the built-in one will do".to_owned() },
            (Some(_), _) => PolicyCommand::Revise { definition, reason: "agreed on".to_owned() },
        };
        self.tell::<Policy>(policy_id(), policy, command, AnyEvent::Policy);
    }

    fn request_a_remediation(&mut self, remedies: &mut Remedies) {
        if remedies.policy.revision == 0 {
            self.touch_the_policy(&mut remedies.policy);
        }
        let (deployment, problem) = (self.a_deployment(), sample::problem());
        let resource = name(&format!("store-1/000/rec_{:07}.docx", self.draw(super::RESOURCES)));
        let finding = FindingId::of(deployment, &problem.check, &resource);
        let command = Command::Request {
            problem: Problem { finding, deployment, resource, ..problem },
            runbook: None,
            trigger: [Trigger::Person, Trigger::Policy][self.draw(2)],
            dry_run: self.draw(12) == 0,
        };
        let (id, mut state) = (self.new_id(), RemediationState::default());
        self.tell::<Remediation>(id, &mut state, command, AnyEvent::Remediation);
        remedies.open.push((id, state));
    }

    fn go_on_with_a_remediation(&mut self, remedies: &mut Remedies) {
        if remedies.open.is_empty() {
            return self.request_a_remediation(remedies);
        }
        let index = self.draw(remedies.open.len());
        let (id, mut state) = remedies.open.swap_remove(index);
        let was_at_rest = state.phase.is_at_rest();
        let command = match self.draw(60) {
            0 => Command::Cancel { reason: "not now".to_owned() },
            1 => Command::Halt { undo: self.draw(2) == 0, reason: "it went wrong".to_owned() },
            _ => self.next_command(id, &state, &mut remedies.policy),
        };
        let by = if matches!(command, Command::Approve { .. }) { "approver" } else { "teller" };
        let actor = format!("{by}-{}", state.approvals.len());
        let context = Context { actor: name(&actor), ..self.context(id) };
        self.tell_in::<Remediation>(&context, &mut state, command, AnyEvent::Remediation);
        if state.phase.is_at_rest() && !was_at_rest {
            self.settle(id, state.phase, &mut remedies.policy);
        }
        let is_waited_for = match state.phase {
            RemediationPhase::Stuck | RemediationPhase::Halted => true,
            RemediationPhase::Succeeded => !was_at_rest && self.draw(4) == 0,
            phase => !phase.is_at_rest(),
        };
        if is_waited_for {
            remedies.open.push((id, state));
        }
    }

    fn next_command(&mut self, id: Uuid, state: &RemediationState, policy: &mut PolicyState) -> Command {
        let check_version = CHECK_VERSION.to_owned();
        match next(state, self.now) {
            Next::Plan => Command::RecordPlan { plan: sample::remediation_plan(), check_version },
            Next::DryRun => Command::RecordDryRun { previews: sample::remediation_previews() },
            Next::Admit => self.admit(id, state, policy),
            Next::AwaitApproval { until } if until > self.now => match state.binding() {
                Some(binding) => {
                    let (binding, comment) = (binding.clone(), "looks right".to_owned());
                    Command::Approve { binding, comment, on_behalf_of: None }
                }
                None => Command::ExpireApproval,
            },
            Next::AwaitExecution { until } if until.is_none_or(|until| until > self.now) => Command::Execute,
            Next::AwaitApproval { .. } | Next::AwaitExecution { .. } | Next::Retry { .. } | Next::Nothing => {
                Command::ExpireApproval
            }
            Next::Confirm => {
                let other = self.draw(12) == 0;
                let check_version = if other { "changed since".to_owned() } else { check_version };
                Command::Begin { states: sample::remediation_states(), check_version }
            }
            Next::Steps(work) => match work.into_iter().next() {
                Some(work) => self.step(work),
                None => Command::ExpireApproval,
            },
            Next::PostCheck => {
                let outcome = if self.draw(4) == 0 { Outcome::Critical } else { Outcome::Ok };
                Command::RecordPostCheck { results: sample::post_check_results(outcome) }
            }
            Next::Undo(step) => self.undo(state, step),
            Next::GiveUpUndo(step) => Command::RecordUndoFailed { step, error: "again and again".to_owned() },
            Next::Rest(Rest::Succeeded | Rest::Halted) => Command::Undo { reason: "not as meant".to_owned() },
            Next::Rest(_) => Command::Release { comment: "put back by hand".to_owned() },
        }
    }

    fn step(&mut self, StepWork { step, from }: StepWork) -> Command {
        match from {
            StepStage::Intent => Command::StartStep { step },
            StepStage::Capture => Command::RecordBeforeImage { image: sample::step_image(step.as_str()), step },
            StepStage::Decide if self.draw(10) > 0 => {
                let copy = serde_json::json!("/backup/rec_0000012.docx");
                let outputs = if step.as_str() == "find-copy" {
                    Outputs::from([("copy".to_owned(), copy)])
                } else {
                    Outputs::new()
                };
                Command::RecordStepSucceeded { step, outputs, found_done: false }
            }
            StepStage::Decide | StepStage::GiveUp => {
                Command::RecordStepFailed { step, error: "no route to host".to_owned() }
            }
        }
    }

    fn undo(&mut self, state: &RemediationState, step: StepName) -> Command {
        let under_way = state.steps.get(&step).is_some_and(|step| matches!(step.undone, UndoState::UnderWay { .. }));
        match (under_way, self.draw(12)) {
            (false, _) => Command::StartUndo { step },
            (true, 0) => Command::RecordUndoFailed { step, error: "the file is locked".to_owned() },
            (true, 1) => Command::RecordStepUndone { step, state: Some(sample::content_hash("something else")) },
            (true, _) => {
                let hash = (step.as_str() != "find-copy").then(|| sample::content_hash(step.as_str()));
                Command::RecordStepUndone { step, state: hash }
            }
        }
    }

    /// Asks the policy, and tells the remediation what it says.
    fn admit(&mut self, id: Uuid, state: &RemediationState, policy: &mut PolicyState) -> Command {
        let (Some(plan), Some(problem), Some(binding)) = (&state.plan, &state.problem, state.binding()) else {
            return Command::ExpireApproval;
        };
        let about = About {
            policy: policy_name(),
            remediation: RemediationId(id),
            binding: binding.clone(),
            check_version: CHECK_VERSION.to_owned(),
            flapping: self.draw(20) == 0,
            trigger: state.trigger.unwrap_or(Trigger::Person),
        };
        let facts = DeploymentFacts { name: "records".to_owned(), labels: BTreeMap::new() };
        let request = AdmissionRequest::of(plan, state.blast, problem, facts, about);
        let asked = PolicyCommand::Admit { request: Box::new(request.clone()) };
        self.tell::<Policy>(policy_id(), policy, asked, AnyEvent::Policy);
        let (admission, reason) = answer(policy, &request, self.now);
        Command::Admit { policy: policy_name(), admission, reason }
    }

    fn settle(&mut self, id: Uuid, phase: RemediationPhase, policy: &mut PolicyState) {
        let outcome = match phase {
            RemediationPhase::Succeeded => Settlement::Succeeded,
            RemediationPhase::Failed => Settlement::Failed,
            RemediationPhase::Undone => Settlement::Undone,
            RemediationPhase::Stuck | RemediationPhase::Halted => Settlement::Stuck,
            _ => Settlement::Cancelled,
        };
        let remediation = RemediationId(id);
        let command = PolicyCommand::Settle { remediation, outcome, attributable: true, failed_actions: Vec::new() };
        self.tell::<Policy>(policy_id(), policy, command, AnyEvent::Policy);
    }
}

fn policy_name() -> PolicyName {
    name("default")
}

fn policy_id() -> Uuid {
    PolicyId::of(&TenantId::default(), &policy_name()).0
}

fn definition(people: u8, automatic: bool) -> PolicyDefinition {
    let earned = Automatic {
        min_lower_bound: Share::millionths(300_000),
        confidence: Share::millionths(900_000),
        min_samples: 2,
        probation: 1,
        otherwise_people: 1,
    };
    let rule = Rule {
        name: "all".to_owned(),
        actions: Vec::new(),
        checks: Vec::new(),
        deployments: Vec::new(),
        severities: Vec::new(),
        windows: Vec::new(),
        mode: if automatic { Mode::Automatic(earned) } else { Mode::Approval(Approval { people }) },
    };
    let budget = Budget { deployments: 100, stores: 100, ..Budget::default() };
    PolicyDefinition { rules: vec![rule], budget, ..PolicyDefinition::default() }
}
