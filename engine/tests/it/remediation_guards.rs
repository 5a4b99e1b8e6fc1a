//! What a policy holds back, through the real executor, the real bus and a real log: an action that fails too often,
//! more plans than the budget has room for, a storm about one resource.

use engine::action::HostProgram;
use engine::remediation::testing::{Kit, KitParts, SaysWell, packs_for_action};

use command_side::{BusOptions, CommandBus};
use domain::any_event::POLICY;
use domain::deployment::{Component, ComponentKind};
use domain::policy::{
    AdmissionRequest, Automatic, Budget, DEFAULT_POLICY, Mode, Policy, PolicyCommand, PolicyDefinition, PolicyEvent,
    PolicyState, RateLimit, Settlement, Share, Span, answer,
};
use domain::remediation::{
    Admission, BlastRadius, Problem, Remediation, RemediationCommand, RemediationPhase, Trigger,
};
use domain::{
    Actor, AnyEvent, CommandId, ContentHash, Decider, DeploymentId, Metadata, Outcome, PolicyId, RemediationId,
    StreamVersion, TenantId,
};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions, StreamId};
use private_servers::testing::TestDatabase;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

fn desk(folder: &Path) -> Component {
    Component {
        name: "desk".parse().unwrap(),
        kind: ComponentKind::Host,
        settings: BTreeMap::from([("demo_folder".to_owned(), folder.to_str().unwrap().to_owned())]),
        secrets: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn policy() -> Uuid {
    PolicyId::of(&TenantId::default(), &DEFAULT_POLICY.parse().unwrap()).0
}

/// A kit whose runbook writes `green` into a file, with room for all that the policy is asked.
struct Desk {
    kit: Kit,
    folder: tempfile::TempDir,
    _database: TestDatabase,
}

impl Desk {
    async fn new() -> Self {
        let (database, folder) = (TestDatabase::migrated().await, tempfile::tempdir().unwrap());
        let arguments = json!({"file": "light", "value": "green"});
        let parts = KitParts {
            pool: database.pool_of(8).await,
            components: vec![desk(folder.path())],
            packs: Arc::new(packs_for_action(ComponentKind::Host, "demo.set-value", &arguments)),
            checks: Arc::new(SaysWell),
            host: HostProgram::InProcess,
        };
        Self { kit: Kit::start(parts).await, folder, _database: database }
    }

    async fn revise(&self, change: impl FnOnce(&mut PolicyDefinition)) {
        let (state, _) = self.kit.parts.bus.load::<Policy>(policy()).await.unwrap();
        let mut definition = state.definition().clone();
        change(&mut definition);
        let reason = "the test wants it so".to_owned();
        self.kit.send::<Policy>(policy(), PolicyCommand::Revise { definition, reason }, "operator").await;
    }

    /// Lets the action work, or stand before what it can not write over: a folder where it puts what it is to move.
    fn let_work(&self, works: bool) {
        let (file, obstacle) = (self.folder.path().join("light"), self.folder.path().join(".light.new"));
        let _ = std::fs::remove_file(&file);
        let _ = std::fs::remove_dir(&obstacle);
        if !works {
            std::fs::create_dir(&obstacle).unwrap();
        }
    }

    /// One remediation to its end: how it was admitted, and how it rests.
    async fn one(&self, problem: &Problem, works: bool) -> (Admission, RemediationPhase) {
        self.let_work(works);
        let id = self.kit.request(problem, None, false).await;
        self.kit.let_run(id).await;
        let state = self.kit.rested(id).await;
        // It is settled a moment after it rests: the next one is asked for when the policy knows.
        for _ in 0..1_000 {
            let (known, _) = self.kit.parts.bus.load::<Policy>(policy()).await.unwrap();
            if known.reservation(id).is_none() {
                return (state.admission.unwrap(), state.phase);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{id} holds its reservation though it rests");
    }
}

/// Throws that only depend on the seed (splitmix64).
struct Coin(u64);

impl Coin {
    /// Whether the next throw is among so many of 100.
    fn falls_within(&mut self, percent: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % 100 < percent
    }
}

async fn history(log: &dyn EventLog) -> Vec<PolicyEvent> {
    let stream = StreamId::new(POLICY, &policy().to_string());
    let events = log.read_stream(stream, StreamVersion(0), 10_000).await.unwrap();
    let decoded = events.iter().map(|event| match event.decode() {
        Ok(AnyEvent::Policy(event)) => event,
        other => panic!("{other:?}"),
    });
    decoded.collect()
}

/// The most that was open at any moment of the history: remediations, and documents reserved.
fn most_open(events: &[PolicyEvent]) -> (usize, u64) {
    let mut state = PolicyState::default();
    let mut most = (0, 0);
    for event in events {
        Policy::evolve(&mut state, event);
        most = (most.0.max(state.open.len()), most.1.max(state.reserved().documents));
    }
    most
}

/// The action works until it has earned the right to run by itself; from then on it fails as often as a coin says that
/// falls on its good side in 60 of 100 throws.
#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_succeeds_in_60_of_100_cases_loses_its_right_to_run_by_itself() {
    const EARNED: usize = 12;
    const THROWS: usize = 40;
    let desk = Desk::new().await;
    let automatic = Automatic {
        min_lower_bound: Share::millionths(750_000),
        confidence: Share::millionths(950_000),
        min_samples: 10,
        probation: 3,
        otherwise_people: 1,
    };
    desk.revise(|definition| definition.rules[0].mode = Mode::Automatic(automatic)).await;
    let problem = desk.kit.problem("KIT-1", "desk", "desk", None).await;
    let remediator = desk.kit.remediator(None);
    let mut admissions = Vec::new();
    for _ in 0..EARNED {
        let (admission, phase) = desk.one(&problem, true).await;
        assert_eq!(phase, RemediationPhase::Succeeded);
        admissions.push(admission);
    }
    assert!(admissions[..10].iter().all(|one| matches!(one, Admission::Approval { people: 1, .. })), "{admissions:?}");
    assert!(admissions[10..].iter().all(|one| *one == Admission::Automatic), "it has earned it: {admissions:?}");

    let mut coin = Coin(55);
    let (mut good, mut last) = (0, true);
    let mut by_itself = Vec::new();
    for _ in 0..THROWS {
        let works = coin.falls_within(60);
        let (admission, phase) = desk.one(&problem, works).await;
        let expected = if works { RemediationPhase::Succeeded } else { RemediationPhase::Failed };
        assert_eq!(phase, expected);
        assert!(last || admission != Admission::Automatic, "right after a failure it ran by itself");
        by_itself.push(admission == Admission::Automatic);
        good += usize::from(works);
        last = works;
    }
    remediator.stop().await;
    assert!((THROWS * 45 / 100..=THROWS * 75 / 100).contains(&good), "the coin is not the planted one: {good}");
    assert!(by_itself[0], "it had the right when the coin was thrown first");
    let later = &by_itself[THROWS / 2..];
    assert!(later.iter().all(|by_itself| !by_itself), "it ran by itself to the end: {by_itself:?}");
    let events = history(desk.kit.parts.bus.log().as_ref()).await;
    let gained = events.iter().position(|event| matches!(event, PolicyEvent::AutomaticRightGained { .. })).unwrap();
    let lost = events.iter().rposition(|event| matches!(event, PolicyEvent::AutomaticRightLost { .. })).unwrap();
    assert!(gained < lost);
    let regained = events[lost..].iter().any(|event| matches!(event, PolicyEvent::AutomaticRightGained { .. }));
    assert!(!regained, "once lost for good, it stays lost");
    let (state, _) = desk.kit.parts.bus.load::<Policy>(policy()).await.unwrap();
    let statistic = &state.statistics.all()[0].posterior;
    assert_eq!(statistic.successes as usize, EARNED + good, "every outcome was counted, once");
    assert_eq!(statistic.failures as usize, THROWS - good);
}

/// Fifty plans at once by the real executor: ten are let on, the others wait, and nothing of them has begun.
#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_remediations_at_once_ten_are_let_on() {
    let desk = Desk::new().await;
    desk.revise(|definition| definition.budget = Budget { max_open: 50, documents: 10, ..definition.budget }).await;
    let mut problems = Vec::new();
    for number in 0..50 {
        problems.push(desk.kit.problem("KIT-1", "desk", &format!("desk-{number}"), None).await);
    }
    desk.let_work(true);
    let (one, other) = (desk.kit.remediator(None), desk.kit.remediator(None));
    let requests = problems.iter().map(|problem| desk.kit.request(problem, None, false));
    let ids = futures::future::join_all(requests).await;
    let mut let_on = Vec::new();
    for id in ids {
        let waits = |phase| matches!(phase, RemediationPhase::Executable | RemediationPhase::Deferred);
        let state = desk.kit.until(id, |state| waits(state.phase)).await;
        if state.phase == RemediationPhase::Executable {
            let_on.push(id);
        }
    }
    assert_eq!(let_on.len(), 10);
    assert!(!desk.folder.path().join("light").exists(), "nothing was done");
    // One of them: for the others the target is another one from then on.
    desk.kit.send::<Remediation>(let_on[0].0, RemediationCommand::Execute, "operator").await;
    assert_eq!(desk.kit.rested(let_on[0]).await.phase, RemediationPhase::Succeeded);
    one.stop().await;
    other.stop().await;
    let (most, documents) = most_open(&history(desk.kit.parts.bus.log().as_ref()).await);
    assert!((most, documents) == (10, 10), "{most} were open, {documents} documents reserved");
}

/// Fifty plans at once by two buses on one log, as by two processes, each tried again until it was let on: all come to
/// their turn, and at no moment of the history were more open than the budget allows.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_plans_of_two_processes_never_exceed_a_budget_of_ten() {
    let database = TestDatabase::migrated().await;
    let log: Arc<dyn EventLog> =
        PostgresEventLog::connect(database.pool_of(8).await, PostgresLogOptions::default()).await.unwrap();
    let buses = [(); 2].map(|()| CommandBus::new(Arc::clone(&log), BusOptions::default()));
    let budget = Budget { deployments: 50, documents: 10, max_open: 50, ..Budget::default() };
    define(&buses[0], budget, RateLimit { per_resource: 1_000, per: Span::seconds(1) }).await;
    let deployment = DeploymentId(Uuid::now_v7());
    let tasks = (0..50).map(|number: usize| {
        let bus = buses[number % 2].clone();
        tokio::spawn(async move {
            let request = request(deployment, &format!("desk-{number}"));
            let mut asked = 0;
            while !let_on(&bus, &request).await {
                asked += 1;
                assert!(asked < 10_000, "plan {number} never came to its turn");
                tokio::task::yield_now().await;
            }
            settle(&bus, request.remediation).await;
        })
    });
    for ended in futures::future::join_all(tasks).await {
        ended.unwrap();
    }
    let events = history(log.as_ref()).await;
    let reserved = events.iter().filter(|event| matches!(event, PolicyEvent::RemediationReserved { .. })).count();
    assert_eq!(reserved, 50, "each was let on once");
    let (most, documents) = most_open(&events);
    assert!(most <= 10 && documents <= 10, "{most} were open, {documents} documents reserved");
    assert!(most > 1, "they never met: nothing was tried");
}

/// A thousand changes of one resource's state: as many plans, and no more let on than the policy allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_about_one_resource_leads_to_the_policys_number_of_actions_and_few_events() {
    let database = TestDatabase::migrated().await;
    let log: Arc<dyn EventLog> =
        PostgresEventLog::connect(database.pool_of(8).await, PostgresLogOptions::default()).await.unwrap();
    let bus = CommandBus::new(Arc::clone(&log), BusOptions::default());
    define(
        &bus,
        Budget { documents: 10, ..Budget::default() },
        RateLimit { per_resource: 5, per: Span::seconds(3_600) },
    )
    .await;
    let deployment = DeploymentId(Uuid::now_v7());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let bus = bus.clone();
        tasks.spawn(async move {
            for _ in 0..100 {
                let request = request(deployment, "desk");
                if let_on(&bus, &request).await {
                    settle(&bus, request.remediation).await;
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let events = history(log.as_ref()).await;
    let reserved = events.iter().filter(|event| matches!(event, PolicyEvent::RemediationReserved { .. })).count();
    assert_eq!(reserved, 5, "the policy's number");
    assert!(events.len() < 50, "a thousand plans wrote {} events", events.len());
}

fn metadata() -> Metadata {
    Metadata::new(Actor::remediator(), TenantId::default(), CommandId(Uuid::now_v7()))
}

async fn define(bus: &CommandBus, budget: Budget, rate: RateLimit) {
    let mut definition = PolicyDefinition { budget, rate, ..PolicyDefinition::default() };
    definition.rules[0].mode = Mode::Unattended;
    definition.storm.per_deployment_minute = 1_000;
    let command = PolicyCommand::Define { policy: DEFAULT_POLICY.parse().unwrap(), definition };
    let operator = Metadata { actor: "operator".parse().unwrap(), ..metadata() };
    bus.execute::<Policy>(policy(), command, operator).await.unwrap();
}

/// As the executor asks: the command, then what stands.
async fn let_on(bus: &CommandBus, request: &AdmissionRequest) -> bool {
    let command = PolicyCommand::Admit { request: Box::new(request.clone()) };
    bus.execute::<Policy>(policy(), command, metadata()).await.unwrap();
    let (known, _) = bus.load::<Policy>(policy()).await.unwrap();
    let (admission, _) = answer(&known, request, chrono::Utc::now());
    !matches!(admission, Admission::Deferred { .. } | Admission::Forbidden)
}

async fn settle(bus: &CommandBus, remediation: RemediationId) {
    let (outcome, failed_actions) = (Settlement::Succeeded, Vec::new());
    let command = PolicyCommand::Settle { remediation, outcome, attributable: true, failed_actions };
    bus.execute::<Policy>(policy(), command, metadata()).await.unwrap();
}

fn request(deployment: DeploymentId, resource: &str) -> AdmissionRequest {
    let remediation = RemediationId(Uuid::now_v7());
    AdmissionRequest {
        policy: DEFAULT_POLICY.parse().unwrap(),
        remediation,
        binding: ContentHash::of(&remediation).unwrap(),
        deployment,
        deployment_name: "kit".to_owned(),
        labels: BTreeMap::new(),
        check: "KIT-1".parse().unwrap(),
        check_version: "0123456789ab".to_owned(),
        runbook: "kit".parse().unwrap(),
        runbook_version: "0123456789ab".to_owned(),
        actions: vec![("demo.set-value".parse().unwrap(), 1)],
        severity: Outcome::Critical,
        resource: resource.parse().unwrap(),
        blast: BlastRadius { deployments: 1, documents: 1, ..BlastRadius::default() },
        reversible: true,
        always_approve: false,
        flapping: false,
        trigger: Trigger::Policy,
    }
}
