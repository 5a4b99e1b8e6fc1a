//! One runbook on one problem, put through everything.

use super::effects::{DieBefore, Effect, Recorder, Relay};
use super::faults::{FailAt, Twice};
use super::kit::Kit;
use super::notes::Notes;
use super::target;
use crate::action::host::PhaseName;
use crate::remediation::Hooks;
use domain::remediation::{
    Argument, Plan, PlannedStep, Problem, Remediation, RemediationCommand, RemediationEvent, RemediationPhase,
    RemediationState, Undoing,
};
use domain::{RemediationId, StepName};
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

type Given<'a> = Box<dyn Fn() -> BoxFuture<'a, Problem> + Send + Sync + 'a>;
type Slate = BTreeMap<StepName, Value>;

/// Where it fails: in which phase, and whether the phase was done all the same.
const FAILURES: [(PhaseName, bool); 4] =
    [(PhaseName::Capture, false), (PhaseName::Apply, false), (PhaseName::Apply, true), (PhaseName::Verify, false)];

/// A process that comes to its very end needs no longer than this.
const FOR_GOOD: Duration = Duration::from_secs(5);

/// A runbook, and a target that has its problem.
pub struct Saga<'a> {
    kit: &'a Kit,
    runbook: String,
    given: Given<'a>,
    /// The problem, while the target has it.
    problem: Mutex<Option<Problem>>,
    names_what_it_makes: bool,
}

/// How an undisturbed run goes.
struct Undisturbed {
    plan: Plan,
    /// What was done on the way there, before the steps and from the first of them on.
    forward: Vec<Effect>,
    /// What was done on the way back.
    back: Vec<Effect>,
    /// The events of the way there, and how many of each.
    events: BTreeMap<&'static str, usize>,
    /// What the steps find when all is done.
    end: Slate,
}

impl<'a> Saga<'a> {
    /// Of this runbook on this problem. The target has the problem now, and has it again whenever it was taken back.
    pub fn new(kit: &'a Kit, problem: Problem, runbook: &str) -> Self {
        Self::given(kit, runbook, move || {
            let problem = problem.clone();
            Box::pin(async move { problem })
        })
    }

    /// Of this runbook on a problem that the target is given, at first and where an undo does not give it back.
    pub fn given(kit: &'a Kit, runbook: &str, given: impl Fn() -> BoxFuture<'a, Problem> + Send + Sync + 'a) -> Self {
        Self {
            kit,
            runbook: runbook.to_owned(),
            given: Box::new(given),
            problem: Mutex::new(None),
            names_what_it_makes: false,
        }
    }

    /// What it makes is named after the remediation: each run ends with another name.
    #[must_use]
    pub fn names_what_it_makes(self) -> Self {
        Self { names_what_it_makes: true, ..self }
    }

    /// All of it.
    pub async fn prove(&self) {
        let plan = self.plan().await;
        self.each_step_twice(&plan).await;
        self.fails_at_each_step(&plan).await;
        let undisturbed = self.undisturbed(plan).await;
        self.killed_before_it_begins(&undisturbed).await;
        self.killed_between_any_two_events(&undisturbed).await;
    }

    /// Each step and each undo is done twice: it succeeds, and is undone to where it was.
    async fn each_step_twice(&self, plan: &Plan) {
        let at = "each step twice";
        let before = self.before(plan).await;
        let remediator = self.kit.remediator(Some(Arc::new(Twice)));
        let id = self.succeeds(at).await;
        self.undone(id, plan, &before, at).await;
        remediator.stop().await;
    }

    /// It fails at each step in turn, before and after the step has changed something, and leaves a clean slate; or
    /// says what it could not take back, and why.
    async fn fails_at_each_step(&self, plan: &Plan) {
        for step in &plan.steps {
            for (phase, done) in FAILURES {
                let at = format!("failing at {phase:?} of {}, {}", step.name, if done { "done" } else { "not done" });
                let before = self.before(plan).await;
                let fault = FailAt::new(step.name.clone(), phase, done);
                let remediator = self.kit.remediator(Some(Arc::new(fault)));
                let id = self.requested(false).await;
                self.kit.let_run(id).await;
                let state = self.kit.rested(id).await;
                self.settled(id, &at).await;
                remediator.stop().await;
                let touched = plan.steps.len() > 1 || done || phase == PhaseName::Verify;
                self.failed(&state, plan, &before, &at, touched).await;
            }
        }
    }

    /// A failure is what the plan promises: everything as it was, or stuck with each step named that is not.
    async fn failed(&self, state: &RemediationState, plan: &Plan, before: &Slate, at: &str, was_changed: bool) {
        if was_changed && !restores(plan) {
            self.forget().await;
        }
        let touched = |step: &&PlannedStep| state.steps.get(&step.name).is_some_and(|known| known.image.is_some());
        let reasons: Vec<&str> = plan.steps.iter().filter(touched).filter_map(impossible).collect();
        if reasons.is_empty() {
            self.must(state.phase == RemediationPhase::Failed, at, "it has not failed", state);
            self.same("the slate is not clean", &self.slate(plan).await, before, at);
            return;
        }
        self.must(state.phase == RemediationPhase::Stuck, at, "it is not stuck", state);
        let said = state.reason.as_deref().unwrap_or_default();
        let silent = reasons.iter().find(|reason| !said.contains(**reason));
        self.must(silent.is_none(), at, &format!("it does not say {silent:?}"), state);
    }

    /// One run that nothing disturbs, there and back.
    async fn undisturbed(&self, plan: Plan) -> Undisturbed {
        let at = "undisturbed";
        let before = self.before(&plan).await;
        let there = Arc::new(Recorder::default());
        let remediator = self.kit.remediator(Some(Arc::clone(&there) as Arc<dyn Hooks>));
        let id = self.succeeds(at).await;
        self.settled(id, at).await;
        remediator.stop().await;
        let end = self.slate(&plan).await;
        let events = counted(&self.kit.events(id).await);
        let back = Arc::new(Recorder::default());
        let remediator = self.kit.remediator(Some(Arc::clone(&back) as Arc<dyn Hooks>));
        self.undone(id, &plan, &before, at).await;
        remediator.stop().await;
        let (forward, back) = (there.effects(), back.effects());
        tracing::info!(there = words(&forward), back = words(&back), "undisturbed");
        Undisturbed { plan, forward, back, events, end }
    }

    /// Its process dies before each thing that comes before the steps, each heir at the next one.
    async fn killed_before_it_begins(&self, undisturbed: &Undisturbed) {
        let at = "killed before it begins";
        let before = self.before(&undisturbed.plan).await;
        let id = self.requested(false).await;
        let people = self.kit.let_run(id);
        tokio::pin!(people);
        let (mut relay, mut approved) = (Arc::new(Relay::default()), false);
        loop {
            let process = self.kit.remediator(Some(Arc::clone(&relay) as Arc<dyn Hooks>));
            let died = loop {
                tokio::select! {
                    () = relay.dead() => break true,
                    () = &mut people, if !approved => approved = true,
                    _ = self.kit.rested(id), if approved => break false,
                }
            };
            if !died {
                self.settled(id, at).await;
                process.stop().await;
                break;
            }
            drop(process);
            self.kit.expire_leases().await;
            relay = Arc::new(relay.heir());
        }
        let state = self.kit.state(id).await;
        self.must(relay.deaths() >= 5, at, &format!("only {} have died", relay.deaths()), &state);
        self.ends_like(undisturbed, id, at).await;
        let remediator = self.kit.remediator(None);
        self.undone(id, &undisturbed.plan, &before, at).await;
        remediator.stop().await;
    }

    /// Its process dies before each thing that it does from the first step on, and another one takes over: once on the
    /// way there, and once on the way back.
    async fn killed_between_any_two_events(&self, undisturbed: &Undisturbed) {
        let Undisturbed { plan, forward, back, .. } = undisturbed;
        let steps = forward.iter().position(|effect| effect.to_string().ends_with("/start")).unwrap_or(0);
        let forward = &forward[steps..];
        let way_back = if can_undo(plan) { back.len() } else { 0 };
        for place in 0..forward.len().max(way_back) {
            let before = self.before(plan).await;
            let id = self.killed_on_the_way_there(undisturbed, forward.get(place)).await;
            match back.get(place).filter(|_| can_undo(plan)) {
                Some(effect) => self.killed_on_the_way_back(id, plan, effect, &before).await,
                None => {
                    let remediator = self.kit.remediator(None);
                    self.undone(id, plan, &before, "taken back after a kill").await;
                    remediator.stop().await;
                }
            }
        }
    }

    async fn killed_on_the_way_there(&self, undisturbed: &Undisturbed, effect: Option<&Effect>) -> RemediationId {
        let id = self.requested(false).await;
        let notes = Arc::new(Notes::default());
        let at = match effect {
            Some(effect) => {
                let fault = Arc::new(DieBefore::new(effect.clone()));
                let dying = self.kit.remediator(Some(notes.watch(Some(Arc::clone(&fault) as Arc<dyn Hooks>))));
                let at = format!("killed before {effect}");
                self.kit.let_run(id).await;
                tokio::select! {
                    biased;
                    () = fault.dead() => {}
                    // At the end it rests already when its process dies.
                    state = self.stays(id, at_rest) => self.must(false, &at, "it was never come to", &state),
                }
                drop(dying);
                self.kit.expire_leases().await;
                at
            }
            None => "not killed on the way there".to_owned(),
        };
        let heir = self.kit.remediator(Some(notes.watch(None)));
        self.kit.let_run(id).await;
        self.kit.rested(id).await;
        self.settled(id, &at).await;
        heir.stop().await;
        self.ends_like(undisturbed, id, &at).await;
        self.nothing_twice(&undisturbed.plan, &notes, id, &at).await;
        id
    }

    /// Everything was done, and what was done is not done again; except where what it gave is lost and needed, and
    /// where nothing can tell.
    async fn nothing_twice(&self, plan: &Plan, notes: &Notes, id: RemediationId, at: &str) {
        let state = self.kit.state(id).await;
        let mut may_repeat = BTreeSet::new();
        for (step, known) in state.planned_steps() {
            let believed = format!("{} is said to be done, and nobody has done it", step.name);
            self.must(notes.was_changed(&step.name), at, &believed, &state);
            if tells_others(plan, &step.name) || target::leaves_no_trace(self.kit, step, known).await {
                may_repeat.insert(step.name.clone());
            }
        }
        let wrong = notes.wrong_repeats(|step| may_repeat.contains(step));
        self.must(wrong.is_empty(), at, &wrong.join("; "), &state);
    }

    async fn killed_on_the_way_back(&self, id: RemediationId, plan: &Plan, effect: &Effect, before: &Slate) {
        let at = format!("killed before {effect}, on the way back");
        let fault = Arc::new(DieBefore::new(effect.clone()));
        let dying = self.kit.remediator(Some(Arc::clone(&fault) as Arc<dyn Hooks>));
        self.ask_to_undo(id).await;
        tokio::select! {
            biased;
            () = fault.dead() => {}
            state = self.stays(id, back_at_rest) => self.must(false, &at, "it was never come to", &state),
        }
        drop(dying);
        self.kit.expire_leases().await;
        let heir = self.kit.remediator(None);
        self.is_undone(id, plan, before, &at).await;
        self.settled(id, &at).await;
        heir.stop().await;
    }

    /// At rest for longer than a process takes to come to its very end.
    async fn stays(&self, id: RemediationId, rests: fn(&RemediationState) -> bool) -> RemediationState {
        let state = self.kit.until(id, rests).await;
        tokio::time::sleep(FOR_GOOD).await;
        state
    }

    /// It has succeeded, and is what an undisturbed run is: the same events, the same target, nothing held.
    async fn ends_like(&self, undisturbed: &Undisturbed, id: RemediationId, at: &str) {
        let state = self.kit.state(id).await;
        self.must(state.phase == RemediationPhase::Succeeded, at, "it has not succeeded", &state);
        let (is, end) = (self.slate(&undisturbed.plan).await, &undisturbed.end);
        if self.names_what_it_makes {
            self.same("the target is not as after an undisturbed run", &nameless(&is), &nameless(end), at);
        } else {
            self.same("the target is not as after an undisturbed run", &is, end, at);
        }
        let events = counted(&self.kit.events(id).await);
        let told = format!("its events are {events:?}, and not {:?}", undisturbed.events);
        self.must(events == undisturbed.events, at, &told, &state);
    }

    /// The policy gets back what was reserved for it: a moment after it rests.
    async fn settled(&self, id: RemediationId, at: &str) {
        let begin = Instant::now();
        while self.kit.is_reserved(id).await {
            let soon = begin.elapsed() < FOR_GOOD;
            self.must(soon, at, "the policy still holds its reservation", &self.kit.state(id).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What is going to be done.
    async fn plan(&self) -> Plan {
        self.problem().await;
        let remediator = self.kit.remediator(None);
        let id = self.requested(true).await;
        let state = self.kit.rested(id).await;
        remediator.stop().await;
        let plan = state.plan.clone().filter(|_| state.previews.len() == state.steps.len() && !state.steps.is_empty());
        let Some(plan) = plan else { panic!("{}: there is no plan: {:?}", self.runbook, state.reason) };
        Arc::unwrap_or_clone(plan)
    }

    /// What the steps that can be taken back find, by their own eyes; those that are told what others give are left
    /// out.
    async fn slate(&self, plan: &Plan) -> Slate {
        let mut slate = BTreeMap::new();
        for step in plan.steps.iter().filter(|step| step.undo == Undoing::FromBeforeImage) {
            if let Some(arguments) = target::known_arguments(step) {
                slate.insert(step.name.clone(), target::capture(self.kit, step, &arguments).await);
            }
        }
        slate
    }

    /// The target has the problem; what it is like then.
    async fn before(&self, plan: &Plan) -> Slate {
        self.problem().await;
        self.slate(plan).await
    }

    async fn problem(&self) -> Problem {
        let mut problem = self.problem.lock().await;
        if let Some(problem) = &*problem {
            return problem.clone();
        }
        problem.insert((self.given)().await).clone()
    }

    /// The target does not have the problem any more.
    async fn forget(&self) {
        *self.problem.lock().await = None;
    }

    async fn requested(&self, dry_run: bool) -> RemediationId {
        let problem = self.problem().await;
        self.kit.request(&problem, Some(&self.runbook), dry_run).await
    }

    async fn succeeds(&self, at: &str) -> RemediationId {
        let id = self.requested(false).await;
        self.kit.let_run(id).await;
        let state = self.kit.rested(id).await;
        self.must(state.phase == RemediationPhase::Succeeded, at, "it has not succeeded", &state);
        id
    }

    /// A person takes it back; everything is as it was before it was begun. What can not be taken back is refused.
    async fn undone(&self, id: RemediationId, plan: &Plan, before: &Slate, at: &str) {
        if can_undo(plan) {
            self.ask_to_undo(id).await;
            self.is_undone(id, plan, before, at).await;
            return;
        }
        self.forget().await;
        let command = RemediationCommand::Undo { reason: "to see it refused".to_owned() };
        let refused = self.kit.try_send::<Remediation>(id.0, command, "operator").await.is_err();
        self.must(refused, at, "what can not be taken back was not refused", &self.kit.state(id).await);
    }

    async fn ask_to_undo(&self, id: RemediationId) {
        let command = RemediationCommand::Undo { reason: "to see it undone".to_owned() };
        self.kit.send::<Remediation>(id.0, command, "operator").await;
    }

    async fn is_undone(&self, id: RemediationId, plan: &Plan, before: &Slate, at: &str) {
        let state = self.kit.until(id, back_at_rest).await;
        self.must(state.phase == RemediationPhase::Undone, at, "it is not undone", &state);
        self.same("it is not undone to where it was", &self.slate(plan).await, before, at);
        if !restores(plan) {
            self.forget().await;
        }
    }

    fn same(&self, what: &str, is: &Slate, expected: &Slate, at: &str) {
        for (step, expected) in expected {
            let is = is.get(step).unwrap_or(&Value::Null);
            assert!(is == expected, "{} ({at}): {what}: {step} finds\n  {is}\nand not\n  {expected}", self.runbook);
        }
    }

    fn must(&self, holds: bool, at: &str, what: &str, state: &RemediationState) {
        if !holds {
            let steps: Vec<String> = state.steps.iter().map(|(name, step)| story(name, step)).collect();
            let (phase, reason) = (state.phase, state.reason.as_deref().unwrap_or("no reason"));
            panic!("{} ({at}): {what}; it is {phase:?} ({reason}); {}", self.runbook, steps.join("; "));
        }
    }
}

fn at_rest(state: &RemediationState) -> bool {
    state.phase.is_at_rest()
}

/// Of one that had succeeded, and is taken back.
fn back_at_rest(state: &RemediationState) -> bool {
    state.phase.is_at_rest() && state.phase != RemediationPhase::Succeeded
}

fn story(name: &StepName, step: &domain::remediation::StepState) -> String {
    format!("{name} {:?} by attempt {}, {:?}, back {:?}", step.phase, step.attempt, step.error, step.undone)
}

/// Everything that it does can be taken back, so that the problem is there again.
fn restores(plan: &Plan) -> bool {
    plan.steps.iter().all(|step| step.undo == Undoing::FromBeforeImage)
}

/// A person may have it taken back.
fn can_undo(plan: &Plan) -> bool {
    plan.steps.iter().all(|step| impossible(step).is_none())
}

fn impossible(step: &PlannedStep) -> Option<&str> {
    match &step.undo {
        Undoing::Impossible { reason } => Some(reason),
        _ => None,
    }
}

/// What it gives is lost with its process, and is made once more for the steps that are told it.
fn tells_others(plan: &Plan, name: &StepName) -> bool {
    let mut told = plan.steps.iter().flat_map(|step| step.arguments.values());
    told.any(|argument| matches!(argument, Argument::OutputOf { step, .. } if step == name))
}

/// Without names that are made of a remediation's id.
fn nameless(slate: &Slate) -> Slate {
    let plain = |text: String| {
        let is_name = |part: &&str| part.len() >= 12 && part.chars().all(|c| c.is_ascii_hexdigit());
        let parts = text.split(|c: char| !c.is_ascii_alphanumeric());
        parts.filter(is_name).fold(text.clone(), |text, name| text.replace(name, "…"))
    };
    slate.iter().map(|(step, found)| (step.clone(), Value::from(plain(found.to_string())))).collect()
}

/// How many events of each kind there are. Who takes over says so: what is begun may be said again.
fn counted(events: &[RemediationEvent]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let again = |name: &str| ["StepStarted", "StepUndoStarted"].contains(&name);
    for name in events.iter().map(RemediationEvent::name).filter(|name| !again(name)) {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn words(effects: &[Effect]) -> String {
    effects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
