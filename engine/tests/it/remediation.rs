//! Remediations carried on by real processes over a real log: recovery, undo, stops, isolation.

use crate::support;
use command_side::{ProcessManagers, ProcessManagersOptions};
use engine::action::HostProgram;
use engine::action::host::PhaseName;
use engine::pack::Packs;
use engine::remediation::testing::{FailAt, Kit, KitParts, Saga, SaysWell, packs_for_action};
use engine::remediation::{Hooks, Point, Verdict};

use domain::deployment::{Component, ComponentKind};
use domain::emergency_stop::{EmergencyStop, EmergencyStopCommand};
use domain::policy::{Mode, Policy};
use domain::remediation::{Problem, Remediation, RemediationCommand, RemediationEvent, RemediationPhase, Trigger};
use domain::{CommandId, PolicyId, RemediationId, StepName, StreamVersion, TenantId, any_event};
use event_store::StreamId;
use private_servers::testing::TestDatabase;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const VALUE: &str = "desk/light";

fn host() -> HostProgram {
    HostProgram::Program { program: env!("CARGO_BIN_EXE_action_host").into(), arguments: Vec::new() }
}

fn desk(folder: &Path) -> Component {
    let settings = [("demo_folder", folder.to_str().unwrap()), ("demo_value", "green"), ("demo_file", "light")];
    Component {
        name: "desk".parse().unwrap(),
        kind: ComponentKind::Host,
        settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        secrets: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn demo_packs() -> Packs {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("lab/packs");
    Packs::load(&folder).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A kit on the demo pack, in a folder of its own.
pub struct Bench {
    pub kit: Kit,
    folder: tempfile::TempDir,
    _database: TestDatabase,
}

impl Bench {
    async fn of(packs: Packs) -> Self {
        let (database, folder) = (TestDatabase::migrated().await, tempfile::tempdir().unwrap());
        let parts = KitParts {
            pool: database.pool_of(8).await,
            components: vec![desk(folder.path())],
            packs: Arc::new(packs),
            checks: Arc::new(SaysWell),
            host: host(),
        };
        Self { kit: Kit::start(parts).await, folder, _database: database }
    }

    pub async fn demo() -> Self {
        Self::of(demo_packs()).await
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn problem(&self) -> Problem {
        let row = json!({"exit_code": 1, "text": "", "long_text": ""});
        self.kit.problem("DEMO-VALUE", "desk", VALUE, Some(row)).await
    }

    /// How often each effect was made, by its key.
    pub fn effects(&self) -> HashMap<String, usize> {
        let text = std::fs::read_to_string(self.file("effects.log")).unwrap_or_default();
        let mut effects = HashMap::new();
        text.lines().for_each(|line| *effects.entry(line.to_owned()).or_default() += 1);
        effects
    }
}

pub fn step(name: &str) -> StepName {
    name.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remediation_is_planned_run_dry_executed_and_undone() {
    let bench = Bench::demo().await;
    std::fs::write(bench.file("light"), "red").unwrap();
    let problem = bench.problem().await;
    let remediator = bench.kit.remediator(None);
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.let_run(id).await;
    let state = bench.kit.rested(id).await;
    assert_eq!(state.phase, RemediationPhase::Succeeded, "{state:#?}");
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "green");
    // What the second step is told comes from the first one: its change could not be foreseen.
    assert!(state.previews[1].undetermined.as_deref().unwrap().contains("said of step announce"));

    bench.kit.send::<Remediation>(id.0, RemediationCommand::Undo { reason: "no".to_owned() }, "operator").await;
    let state = bench.kit.until(id, |state| state.phase == RemediationPhase::Undone).await;
    assert!(state.ended_at.is_some());
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "red");
    remediator.stop().await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM cmdiag.remediation_work")
        .fetch_one(&bench.kit.parts.pool)
        .await
        .unwrap();
    assert_eq!(left, 0, "what rests is not in the work table");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_saga_stands_everything() {
    let bench = Bench::demo().await;
    std::fs::write(bench.file("light"), "red").unwrap();
    let problem = bench.problem().await;
    Saga::new(&bench.kit, problem, "restore-demo-value").prove().await;
    assert!(bench.effects().values().all(|times| *times == 1), "{:?}", bench.effects());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_before_image_goes_to_the_evidence_store_and_comes_back() {
    let bench = Bench::demo().await;
    let large = "r".repeat(20_000);
    std::fs::write(bench.file("light"), &large).unwrap();
    let problem = bench.problem().await;
    let remediator = bench.kit.remediator(None);
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.let_run(id).await;
    let state = bench.kit.rested(id).await;
    assert_eq!(state.phase, RemediationPhase::Succeeded, "{state:#?}");
    let image = state.steps[&step("write")].image.clone().unwrap();
    assert!(image.inline.is_none() && image.kept.is_some(), "{image:?}");
    bench.kit.send::<Remediation>(id.0, RemediationCommand::Undo { reason: "no".to_owned() }, "operator").await;
    bench.kit.until(id, |state| state.phase == RemediationPhase::Undone).await;
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), large);
    remediator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_between_approval_and_execution_voids_the_approval() {
    let packs = packs_for_action(ComponentKind::Host, "demo.set-value", &json!({"file": "light", "value": "green"}));
    let bench = Bench::of(packs).await;
    std::fs::write(bench.file("light"), "red").unwrap();
    let problem = bench.kit.problem("KIT-1", "desk", "desk", None).await;
    let remediator = bench.kit.remediator(None);
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.until(id, |state| state.phase == RemediationPhase::Executable).await;
    std::fs::write(bench.file("light"), "yellow").unwrap();
    bench.kit.send::<Remediation>(id.0, RemediationCommand::Execute, "operator").await;
    bench.kit.until(id, |state| state.plans == 2 && state.phase == RemediationPhase::Executable).await;
    let voided =
        bench.kit.events(id).await.iter().any(|event| matches!(event, RemediationEvent::ApprovalVoided { .. }));
    assert!(voided);
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "yellow", "nothing was done");
    remediator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emergency_stop_ends_what_runs_takes_it_back_and_survives_a_restart() {
    let bench = Bench::demo().await;
    std::fs::write(bench.file("light"), "red").unwrap();
    let problem = bench.problem().await;
    let stop = EmergencyStop::of(&TenantId::default());
    let engage = EmergencyStopCommand::Engage { undo: true, reason: "enough".to_owned() };

    // It is about to look whether the second step is done when its process dies, and then everything is stopped.
    let fault = Arc::new(Before { phase: PhaseName::Verify, step: step("write"), frozen: tokio::sync::Notify::new() });
    let dying = bench.kit.remediator(Some(Arc::clone(&fault) as Arc<dyn Hooks>));
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.let_run(id).await;
    fault.frozen.notified().await;
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "green");
    bench.kit.send::<EmergencyStop>(stop, engage, "operator").await;
    drop(dying);

    let remediator = bench.kit.remediator(None);
    let state = bench.kit.rested(id).await;
    assert_eq!(state.phase, RemediationPhase::Cancelled, "{state:#?}");
    assert!(state.halted);
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "red", "taken back");

    // A new one waits until the stop is released.
    let waiting = bench.kit.request(&problem, None, false).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bench.kit.state(waiting).await.phase, RemediationPhase::Requested);
    let release = EmergencyStopCommand::Release { reason: "go on".to_owned() };
    bench.kit.send::<EmergencyStop>(stop, release, "operator").await;
    bench.kit.let_run(waiting).await;
    assert_eq!(bench.kit.rested(waiting).await.phase, RemediationPhase::Succeeded);
    remediator.stop().await;
}

/// The process dies before this phase of this step.
pub struct Before {
    pub phase: PhaseName,
    pub step: StepName,
    pub frozen: tokio::sync::Notify,
}

impl Hooks for Before {
    fn at(&self, point: Point<'_>) -> Verdict {
        if point == Point::Before(self.phase, &self.step) {
            self.frozen.notify_one();
            return Verdict::Freeze;
        }
        Verdict::GoOn
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_work_and_nothing_is_done_twice() {
    let packs = packs_for_action(ComponentKind::Host, "demo.set-value", &json!({"file": "light", "value": "green"}));
    let bench = Bench::of(packs).await;
    std::fs::write(bench.file("light"), "green").unwrap();
    let (one, other) = (bench.kit.remediator(None), bench.kit.remediator(None));
    let mut all = Vec::new();
    for number in 0..20 {
        // One resource is in the hands of one remediation at a time: the policy sees to that.
        let problem = bench.kit.problem("KIT-1", "desk", &format!("desk/{number}"), None).await;
        all.push(bench.kit.request(&problem, None, false).await);
    }
    for id in &all {
        bench.kit.let_run(*id).await;
    }
    for id in &all {
        assert_eq!(bench.kit.rested(*id).await.phase, RemediationPhase::Succeeded);
    }
    one.stop().await;
    other.stop().await;
    let effects = bench.effects();
    assert_eq!(effects.len(), all.len());
    assert!(effects.values().all(|times| *times == 1), "{effects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_undo_leaves_it_stuck_with_its_reason() {
    let bench = Bench::demo().await;
    std::fs::write(bench.file("light"), "red").unwrap();
    let problem = bench.problem().await;
    let fault = FailAt::new(step("write"), PhaseName::Undo, false);
    let remediator = bench.kit.remediator(Some(Arc::new(fault)));
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.let_run(id).await;
    assert_eq!(bench.kit.rested(id).await.phase, RemediationPhase::Succeeded);
    bench.kit.send::<Remediation>(id.0, RemediationCommand::Undo { reason: "no".to_owned() }, "operator").await;
    let state = bench.kit.until(id, |state| state.phase == RemediationPhase::Stuck).await;
    assert!(state.reason.unwrap().contains("a fault of the kit"));
    remediator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_in_a_process_of_its_own_is_killed_with_all_that_it_started() {
    let packs = packs_for_action(ComponentKind::Host, "demo.wait", &json!({"seconds": 600}));
    let bench = Bench::of(packs).await;
    let problem = bench.kit.problem("KIT-1", "desk", "desk", None).await;
    let remediator = bench.kit.remediator(None);
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.let_run(id).await;
    let grandchild = waiting_process(&bench.file("waiting.pid")).await;
    assert!(is_alive(grandchild));
    bench.kit.send::<Remediation>(id.0, RemediationCommand::Cancel { reason: "enough".to_owned() }, "operator").await;
    let state = bench.kit.rested(id).await;
    assert_eq!(state.phase, RemediationPhase::Cancelled, "{state:#?}");
    assert_dies(grandchild).await;
    remediator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_killed_at_its_deadline() {
    let packs = packs_for_action(ComponentKind::Host, "demo.wait", &json!({"seconds": 600}));
    let bench = Bench::of(packs).await;
    let problem = bench.kit.problem("KIT-1", "desk", "desk", None).await;
    let remediator = bench.kit.remediator(None);
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.let_run(id).await;
    let grandchild = waiting_process(&bench.file("waiting.pid")).await;
    // The action's own deadline is 10 s.
    let state = bench.kit.rested(id).await;
    assert_eq!(state.phase, RemediationPhase::Failed, "{state:#?}");
    assert!(state.reason.unwrap().contains("not done after 10.0 s"));
    assert_dies(grandchild).await;
    remediator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_takes_its_actions_with_it_and_another_one_takes_over() {
    let packs = packs_for_action(ComponentKind::Host, "demo.wait", &json!({"seconds": 3}));
    let bench = Bench::of(packs).await;
    let problem = bench.kit.problem("KIT-1", "desk", "desk", None).await;
    let dying = bench.kit.remediator(None);
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.let_run(id).await;
    let grandchild = waiting_process(&bench.file("waiting.pid")).await;
    drop(dying);
    assert_dies(grandchild).await;
    let heir = bench.kit.remediator(None);
    assert_eq!(bench.kit.rested(id).await.phase, RemediationPhase::Succeeded);
    assert!(heir.status().borrow().adopted >= 1);
    heir.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_in_order_gives_back_what_is_in_hand() {
    let bench = Bench::demo().await;
    std::fs::write(bench.file("light"), "red").unwrap();
    let problem = bench.problem().await;
    let remediator = bench.kit.remediator(None);
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.until(id, |state| state.phase == RemediationPhase::Executable).await;
    remediator.stop().await;
    let held: i64 = sqlx::query_scalar("SELECT count(*) FROM cmdiag.remediation_work WHERE leased_by IS NOT NULL")
        .fetch_one(&bench.kit.parts.pool)
        .await
        .unwrap();
    assert_eq!(held, 0);
    let heir = bench.kit.remediator(None);
    bench.kit.let_run(id).await;
    assert_eq!(bench.kit.rested(id).await.phase, RemediationPhase::Succeeded);
    heir.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_earned_it_is_asked_for_and_runs_by_itself() {
    let packs = packs_for_action(ComponentKind::Host, "demo.set-value", &json!({"file": "light", "value": "green"}));
    let bench = Bench::of(packs).await;
    let automatic = serde_json::from_value(json!({"min-lower-bound": 0.1, "min-samples": 1})).unwrap();
    bench.kit.allow(Mode::Automatic(automatic)).await;
    let parts = &bench.kit.parts;
    let catalog = Arc::clone(&parts.packs);
    let options = ProcessManagersOptions::new(parts.pool.clone(), parts.bus.clone(), Arc::clone(&parts.feed), catalog);
    let managers = ProcessManagers::start(&options, &CancellationToken::new());
    let remediator = bench.kit.remediator(None);

    let problem = bench.kit.problem("KIT-1", "desk", "desk/1", None).await;
    let first = asked_for_by_itself(&bench, &problem).await;
    bench.kit.until(first, |state| state.phase == RemediationPhase::AwaitingApproval).await;
    bench.kit.let_run(first).await;
    let state = bench.kit.rested(first).await;
    assert_eq!((state.phase, state.trigger), (RemediationPhase::Succeeded, Some(Trigger::Policy)), "{state:#?}");
    let policy = PolicyId::of(&TenantId::default(), &"default".parse().unwrap());
    support::until("the success is counted", async || {
        let (known, _) = parts.bus.load::<Policy>(policy.0).await.unwrap();
        known.reservation(first).is_none()
    })
    .await;

    let problem = bench.kit.problem("KIT-1", "desk", "desk/2", None).await;
    let second = asked_for_by_itself(&bench, &problem).await;
    let state = bench.kit.rested(second).await;
    assert_eq!(state.phase, RemediationPhase::Succeeded, "{state:#?}");
    assert!(state.executor.unwrap().is_system() && state.approvals.is_empty(), "nobody was asked");
    remediator.stop().await;
    managers.stop().await;
}

/// The remediation that the finding's opening leads to, once it is there.
async fn asked_for_by_itself(bench: &Bench, problem: &Problem) -> RemediationId {
    let stream = StreamId::new(any_event::FINDING, &problem.finding.to_string());
    let events = bench.kit.parts.bus.log().read_stream(stream, StreamVersion(0), 10).await.unwrap();
    let id = RemediationId(CommandId::derived(events[0].event_id, "remediation").0);
    bench.kit.until(id, |state| state.phase != RemediationPhase::Absent).await;
    id
}

async fn waiting_process(file: &Path) -> i32 {
    let begin = Instant::now();
    loop {
        if let Ok(pid) = std::fs::read_to_string(file).unwrap_or_default().parse() {
            return pid;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "the action never started its program");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A zombie is dead: whoever inherits it has not looked yet.
fn is_alive(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.lines().any(|line| line.starts_with("State:") && line.contains('Z'))
}

async fn assert_dies(pid: i32) {
    let begin = Instant::now();
    while is_alive(pid) {
        assert!(begin.elapsed() < Duration::from_secs(10), "process {pid} lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
