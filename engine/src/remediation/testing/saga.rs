//! One runbook on one problem, put through everything.

use super::faults::{FailAt, FreezeAt, Recorder, Twice};
use super::kit::Kit;
use crate::action::host::PhaseName;
use crate::action::{self, ActionTarget, Arguments};
use crate::remediation::{Hooks, Remediator};
use domain::remediation::{
    Argument, Plan, PlannedStep, Problem, Remediation, RemediationCommand, RemediationPhase, RemediationState, Undoing,
};
use domain::{RemediationId, StepName};
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

type Reset<'a> = Box<dyn Fn() -> BoxFuture<'a, ()> + Send + Sync + 'a>;

/// A runbook, a problem, and a target that has it.
pub struct Saga<'a> {
    kit: &'a Kit,
    problem: Problem,
    runbook: String,
    reset: Option<Reset<'a>>,
}

impl<'a> Saga<'a> {
    /// Of this runbook on this problem. The target has the problem now.
    pub fn new(kit: &'a Kit, problem: Problem, runbook: &str) -> Self {
        Self { kit, problem, runbook: runbook.to_owned(), reset: None }
    }

    /// How the target is given the problem again, where an undo does not do it.
    #[must_use]
    pub fn with_reset(mut self, reset: impl Fn() -> BoxFuture<'a, ()> + Send + Sync + 'a) -> Self {
        self.reset = Some(Box::new(reset));
        self
    }

    /// All of it.
    pub async fn prove(&self) {
        self.each_step_twice().await;
        self.fails_at_each_step().await;
        self.killed_between_any_two_events().await;
    }

    /// Each step and each undo is done twice: it succeeds, and is undone to where it was.
    pub async fn each_step_twice(&self) {
        let plan = self.plan().await;
        let before = self.slate(&plan).await;
        let remediator = self.kit.remediator(Some(Arc::new(Twice)));
        let id = self.succeeds().await;
        self.undo(id, &plan, &before).await;
        remediator.stop().await;
    }

    /// It fails at each step in turn, before and after the step has changed something, and leaves a clean slate.
    pub async fn fails_at_each_step(&self) {
        let plan = self.plan().await;
        for step in &plan.steps {
            for (phase, done) in [(PhaseName::Apply, false), (PhaseName::Apply, true), (PhaseName::Verify, false)] {
                self.reset().await;
                let before = self.slate(&plan).await;
                let fault = FailAt { step: step.name.clone(), phase, done };
                let remediator = self.kit.remediator(Some(Arc::new(fault)));
                let id = self.requested(false).await;
                self.kit.let_run(id).await;
                let state = self.kit.rested(id).await;
                remediator.stop().await;
                let at = format!("failing at {phase:?} (done: {done}) of {}", step.name);
                if Self::may_stick(&plan, &state) {
                    let phase = state.phase;
                    assert!(matches!(phase, RemediationPhase::Stuck | RemediationPhase::Failed), "{at}: {state:#?}");
                    continue;
                }
                assert_eq!(state.phase, RemediationPhase::Failed, "{at}: {state:#?}");
                assert_eq!(self.slate(&plan).await, before, "{at}: the slate is clean");
            }
        }
        self.reset().await;
    }

    /// Its process dies at each point at which it can, and another one takes over.
    pub async fn killed_between_any_two_events(&self) {
        let plan = self.plan().await;
        let recorder = Arc::new(Recorder::default());
        let before = self.slate(&plan).await;
        let remediator = self.kit.remediator(Some(Arc::clone(&recorder) as Arc<dyn Hooks>));
        let id = self.succeeds().await;
        remediator.stop().await;
        let points = recorder.points();
        self.undo_by_another(id, &plan, &before).await;
        for place in 0..points.len() {
            self.killed_at(place, &plan).await;
        }
    }

    async fn killed_at(&self, place: usize, plan: &Plan) {
        self.reset().await;
        let before = self.slate(plan).await;
        let fault = Arc::new(FreezeAt::new(place));
        let dying = self.kit.remediator(Some(Arc::clone(&fault) as Arc<dyn Hooks>));
        let id = self.requested(false).await;
        {
            let running = self.kit.let_run(id);
            tokio::pin!(running);
            let frozen = fault.frozen();
            tokio::pin!(frozen);
            let mut has_run = false;
            loop {
                tokio::select! {
                    () = &mut frozen => break,
                    () = &mut running, if !has_run => has_run = true,
                    // Another order of parallel steps may have fewer points: then it has come to its end.
                    () = tokio::time::sleep(Duration::from_millis(200)) => {
                        if self.kit.state(id).await.phase.is_at_rest() {
                            break;
                        }
                    }
                }
            }
        }
        drop(dying);
        let heir = self.kit.remediator(None);
        self.kit.let_run(id).await;
        let state = self.kit.rested(id).await;
        assert_eq!(state.phase, RemediationPhase::Succeeded, "killed at point {place}: {state:#?}");
        self.undo(id, plan, &before).await;
        heir.stop().await;
    }

    /// What is going to be done.
    pub async fn plan(&self) -> Plan {
        self.reset().await;
        let remediator = self.kit.remediator(None);
        let id = self.requested(true).await;
        let state = self.kit.rested(id).await;
        remediator.stop().await;
        let plan = state.plan.unwrap_or_else(|| panic!("there is no plan: {:?}", state.reason));
        Arc::unwrap_or_clone(plan)
    }

    /// What the steps that can be taken back find, by their own eyes; those that are told what others give are left
    /// out.
    pub async fn slate(&self, plan: &Plan) -> BTreeMap<StepName, Value> {
        let mut slate = BTreeMap::new();
        for step in plan.steps.iter().filter(|step| step.undo == Undoing::FromBeforeImage) {
            if let Some(arguments) = known_arguments(step) {
                slate.insert(step.name.clone(), self.capture(step, &arguments).await);
            }
        }
        slate
    }

    async fn capture(&self, step: &PlannedStep, arguments: &Arguments) -> Value {
        let action = action::list::named(step.action.as_str()).unwrap_or_else(|| panic!("no action {}", step.action));
        let component = self.kit.components.get(&step.component).cloned();
        let target = ActionTarget {
            deployment: self.kit.deployment,
            component: component.unwrap_or_else(|| panic!("no component {}", step.component)),
            components: Arc::new(self.kit.components.clone()),
            idempotency_key: "slate".to_owned(),
            now: self.kit.parts.clock.now(),
            deadline: Duration::from_millis(step.deadline_ms.into()),
            cancel: CancellationToken::new(),
        };
        match action.capture(arguments, &target).await {
            Ok(state) => state,
            // What an earlier step is to bring about is not there yet: that, too, is part of the slate.
            Err(error) => Value::from(format!("{}: {error}", error.kind.as_str())),
        }
    }

    async fn reset(&self) {
        if let Some(reset) = &self.reset {
            reset().await;
        }
    }

    async fn requested(&self, dry_run: bool) -> RemediationId {
        self.kit.request(&self.problem, Some(&self.runbook), dry_run).await
    }

    async fn succeeds(&self) -> RemediationId {
        self.reset().await;
        let id = self.requested(false).await;
        self.kit.let_run(id).await;
        let state = self.kit.rested(id).await;
        assert_eq!(state.phase, RemediationPhase::Succeeded, "{state:#?}");
        id
    }

    /// Whether something was done that can not be taken back.
    fn may_stick(plan: &Plan, state: &RemediationState) -> bool {
        let impossible = |step: &PlannedStep| matches!(step.undo, Undoing::Impossible { .. });
        let touched = |step: &PlannedStep| state.steps.get(&step.name).is_some_and(|known| known.image.is_some());
        plan.steps.iter().any(|step| impossible(step) && touched(step))
    }

    /// A person takes it back; everything is as it was before it was begun.
    async fn undo(&self, id: RemediationId, plan: &Plan, before: &BTreeMap<StepName, Value>) {
        if plan.steps.iter().any(|step| matches!(step.undo, Undoing::Impossible { .. })) {
            return;
        }
        let command = RemediationCommand::Undo { reason: "to see it undone".to_owned() };
        self.kit.send::<Remediation>(id.0, command, "operator").await;
        let state = self.kit.until(id, |state| state.phase.is_at_rest() && state.phase != RemediationPhase::Succeeded);
        let state = state.await;
        assert_eq!(state.phase, RemediationPhase::Undone, "{state:#?}");
        assert_eq!(self.slate(plan).await, *before, "undone to where it was");
    }

    async fn undo_by_another(&self, id: RemediationId, plan: &Plan, before: &BTreeMap<StepName, Value>) {
        let remediator: Remediator = self.kit.remediator(None);
        self.undo(id, plan, before).await;
        remediator.stop().await;
    }
}

fn known_arguments(step: &PlannedStep) -> Option<Arguments> {
    let value = |argument: &Argument| match argument {
        Argument::Value(value) => Some(value.clone()),
        Argument::OutputOf { .. } => None,
    };
    step.arguments.iter().map(|(name, argument)| Some((name.clone(), value(argument)?))).collect()
}
