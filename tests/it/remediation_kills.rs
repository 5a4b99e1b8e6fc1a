//! `kill -9` while a hundred remediations run: none is lost, none is done twice.

use acceptance_tests::{Cmdiag, Serving};
use chrono::Utc;
use command_side::{BusOptions, CommandBus};
use domain::diagnostic_run::Evidence;
use domain::finding::{Finding, FindingCommand, Fingerprint, Hysteresis, Sighting};
use domain::policy::{
    BreakerSettings, Budget, Mode, Policy, PolicyCommand, PolicyDefinition, RateLimit, Rule, Span, StormGuard,
};
use domain::remediation::{
    Problem, Remediation, RemediationCommand, RemediationEvent, RemediationPhase, RemediationState, Trigger,
};
use domain::{
    AnyEvent, CommandId, Decider, DeploymentId, FindingId, Metadata, Outcome, PolicyId, RemediationId, RunId,
    StreamVersion, TenantId, any_event,
};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions, StreamId};
use private_servers::testing::{TestDatabase, test_folder};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const REMEDIATIONS: usize = 100;
const KILLS: usize = 2;
/// A lease of a killed process lasts 15 s; then a hundred remediations wait for five seconds each, sixteen at a time.
const BOUND: Duration = Duration::from_secs(180);

/// Two effects with some seconds between them, so that a kill finds all of them on their way.
const RUNBOOK: &str = r#"
name = "slowly"
title = "Write, wait, write"
checks = ["DEMO-VALUE"]
preference = 1

[[step]]
name = "first"
title = "Write"
action = "demo.set-value"
with = { file = "{{ settings.demo_file }}-first", value = "{{ settings.demo_value }}" }

[[step]]
name = "pause"
title = "Wait"
action = "demo.wait"
after = ["first"]
with = { seconds = 5 }
deadline = "60s"

[[step]]
name = "second"
title = "Write"
action = "demo.set-value"
after = ["pause"]
with = { file = "{{ settings.demo_file }}", value = "{{ settings.demo_value }}" }

[[case]]
name = "it"
settings = { demo_file = "f", demo_value = "green" }
steps = [{ name = "first" }, { name = "pause" }, { name = "second" }]
"#;

fn copy_packs(to: &Path) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("lab/packs/demo");
    let pack = to.join("demo");
    std::fs::create_dir_all(pack.join("runbooks")).unwrap();
    for file in ["pack.toml", "DEMO-VALUE.toml"] {
        std::fs::copy(own.join(file), pack.join(file)).unwrap();
    }
    std::fs::write(pack.join("runbooks/slowly.toml"), RUNBOOK).unwrap();
}

fn description(folder: &Path) -> String {
    use std::fmt::Write;
    let mut text = "name = \"Office\"\nproduct_version = \"24.3\"\n".to_owned();
    for number in 0..REMEDIATIONS {
        write!(
            text,
            "[[component]]\nname = \"desk-{number}\"\nkind = \"host\"\nsettings = {{ demo_folder = \"{}\", \
             demo_value = \"green\", demo_file = \"light-{number}\" }}\n",
            folder.display()
        )
        .unwrap();
    }
    text
}

/// The log and the bus of the test's own process.
struct Side {
    log: Arc<dyn EventLog>,
    bus: CommandBus,
    deployment: DeploymentId,
}

impl Side {
    async fn send<D: Decider>(&self, id: Uuid, command: D::Command) {
        let metadata = Metadata::new("operator".parse().unwrap(), TenantId::default(), CommandId(Uuid::now_v7()));
        self.bus.execute::<D>(id, command, metadata).await.unwrap();
    }

    async fn allow_everything(&self) {
        let rule = Rule {
            name: "all".to_owned(),
            actions: Vec::new(),
            checks: Vec::new(),
            deployments: Vec::new(),
            severities: Vec::new(),
            windows: Vec::new(),
            mode: Mode::Unattended,
        };
        let many = 1_000_000;
        let definition = PolicyDefinition {
            rules: vec![rule],
            budget: Budget {
                deployments: many,
                stores: many,
                documents: many,
                users: many,
                bytes: many,
                max_open: 10_000,
            },
            rate: RateLimit { per_resource: 100, per: Span::seconds(1) },
            breaker: BreakerSettings { open_after: 100, within: Span::seconds(1), half_open_after: Span::seconds(1) },
            storm: StormGuard { per_deployment_minute: 1_000, flapping_wait: Span::seconds(1) },
            ..PolicyDefinition::default()
        };
        let policy: domain::PolicyName = "default".parse().unwrap();
        let id = PolicyId::of(&TenantId::default(), &policy);
        self.send::<Policy>(id.0, PolicyCommand::Define { policy, definition }).await;
    }

    async fn request(&self, number: usize) -> RemediationId {
        let check: domain::CheckCode = "DEMO-VALUE".parse().unwrap();
        let component: domain::ComponentName = format!("desk-{number}").parse().unwrap();
        let resource: domain::ResourceName = format!("desk-{number}/light-{number}").parse().unwrap();
        let finding = FindingId::of(self.deployment, &check, &resource);
        let fingerprint = Fingerprint { deployment: self.deployment, check: check.clone(), resource: resource.clone() };
        let row = serde_json::json!({"exit_code": 1, "text": "", "long_text": ""});
        let sighting = Sighting {
            component: component.clone(),
            run: RunId(Uuid::now_v7()),
            outcome: Outcome::Critical,
            symptom: "s".to_owned(),
            cause: "c".to_owned(),
            impact: "i".to_owned(),
            advice: "a".to_owned(),
            evidence: Evidence { inline: Some(row), hash: None },
            measured_at: Utc::now(),
        };
        let observe = FindingCommand::Observe { fingerprint, sighting, hysteresis: Hysteresis::default() };
        self.send::<Finding>(finding.0, observe).await;
        let problem =
            Problem { finding, deployment: self.deployment, check, component, resource, severity: Outcome::Critical };
        let id = RemediationId(Uuid::now_v7());
        let request = RemediationCommand::Request { problem, runbook: None, trigger: Trigger::Person, dry_run: false };
        self.send::<Remediation>(id.0, request).await;
        id
    }

    async fn state(&self, id: RemediationId) -> RemediationState {
        self.bus.load::<Remediation>(id.0).await.unwrap().0
    }

    async fn events(&self, id: RemediationId) -> Vec<RemediationEvent> {
        let stream = StreamId::new(any_event::REMEDIATION, &id.to_string());
        let events = self.log.read_stream(stream, StreamVersion(0), 10_000).await.unwrap();
        let decoded = events.iter().map(|event| match event.decode().unwrap() {
            AnyEvent::Remediation(event) => event,
            other => panic!("{other:?}"),
        });
        decoded.collect()
    }

    /// Waits until all of them are so.
    async fn until_all(&self, all: &[RemediationId], serving: &Serving, wanted: impl Fn(&RemediationState) -> bool) {
        let begin = Instant::now();
        let mut open: Vec<RemediationId> = all.to_vec();
        while !open.is_empty() {
            let mut still = Vec::new();
            for id in open {
                let state = self.state(id).await;
                if !wanted(&state) {
                    assert!(begin.elapsed() < BOUND, "in vain: {state:#?}\n{}", serving.printed());
                    still.push(id);
                }
            }
            open = still;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_remediations_survive_the_death_of_their_process_and_none_is_done_twice() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let desks = folder.path().join("desks");
    std::fs::create_dir(&desks).unwrap();
    copy_packs(&folder.path().join("packs"));
    let cmdiag = Cmdiag::on_database(folder.path(), database.url())
        .with("CMDIAG_PACKS_DIR", folder.path().join("packs").into_os_string());
    std::fs::write(folder.path().join("office.toml"), description(&desks)).unwrap();
    let added = cmdiag.run(&["deployment", "add", "office.toml", "--format", "json"]).await.succeeded().json();
    let log = PostgresEventLog::connect(database.pool().await, PostgresLogOptions::default()).await.unwrap();
    let log: Arc<dyn EventLog> = log;
    let side = Side {
        bus: CommandBus::new(Arc::clone(&log), BusOptions::default()),
        log,
        deployment: added["id"].as_str().unwrap().parse().unwrap(),
    };
    side.allow_everything().await;

    let mut serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0"]).await;
    let mut all = Vec::new();
    for number in 0..REMEDIATIONS {
        all.push(side.request(number).await);
    }
    side.until_all(&all, &serving, |state| state.phase == RemediationPhase::Executable).await;
    for id in &all {
        side.send::<Remediation>(id.0, RemediationCommand::Execute).await;
    }
    side.until_all(&all, &serving, |state| state.steps.values().any(|step| step.attempt > 0)).await;
    for kill in 0..KILLS {
        let mut running = 0;
        for id in &all {
            running += usize::from(side.state(*id).await.phase == RemediationPhase::Executing);
        }
        serving.kill().await;
        assert!(kill > 0 || running == REMEDIATIONS, "only {running} were running when the process was killed");
        serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0"]).await;
        // Beyond the dead process's leases, so that the next kill finds work that was adopted.
        tokio::time::sleep(Duration::from_secs(17)).await;
    }
    side.until_all(&all, &serving, |state| state.phase.is_at_rest()).await;

    let mut starts = 0;
    for id in &all {
        let events = side.events(*id).await;
        let count = |wanted: fn(&RemediationEvent) -> bool| events.iter().filter(|event| wanted(event)).count();
        assert_eq!(count(|event| matches!(event, RemediationEvent::RemediationSucceeded { .. })), 1, "{events:#?}");
        assert_eq!(count(|event| matches!(event, RemediationEvent::StepSucceeded { .. })), 3, "{events:#?}");
        assert_eq!(count(|event| matches!(event, RemediationEvent::BeforeImageCaptured { .. })), 3, "{events:#?}");
        starts += count(|event| matches!(event, RemediationEvent::StepStarted { .. }));
    }
    assert!(starts > 3 * REMEDIATIONS, "some steps were found under way and taken up: {starts}");
    let text = std::fs::read_to_string(desks.join("effects.log")).unwrap();
    let mut effects: HashMap<&str, usize> = HashMap::new();
    text.lines().for_each(|line| *effects.entry(line).or_default() += 1);
    assert_eq!(effects.len(), 2 * REMEDIATIONS, "none is lost");
    assert!(effects.values().all(|times| *times == 1), "none is done twice: {effects:?}");
    assert_eq!(serving.interrupt().await, 0);
}
