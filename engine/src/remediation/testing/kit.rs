//! A small platform on a database of its own.

use crate::action::HostProgram;
use crate::evidence::EvidenceStore;
use crate::pack::Packs;
use crate::queue::WorkItem;
use crate::remediation::{Hooks, RemediationOptions, RemediationParts, Remediator};
use crate::worker::CheckRunner;
use command_side::{BusOptions, Clock, CommandBus, CommandError, SystemClock};
use domain::deployment::{Component, Deployment, DeploymentCommand};
use domain::diagnostic_run::{CheckResult, Evidence, Observation};
use domain::finding::{Finding, FindingCommand, Fingerprint, Hysteresis, Sighting};
use domain::policy::{
    BreakerSettings, Budget, DEFAULT_POLICY, Mode, Policy, PolicyCommand, PolicyDefinition, RateLimit, Rule, Span,
    StormGuard,
};
use domain::remediation::{
    Problem, Remediation, RemediationCommand, RemediationEvent, RemediationPhase, RemediationState, Trigger,
};
use domain::{
    Actor, AnyEvent, CheckCode, CommandId, ComponentName, Decider, DeploymentId, FindingId, Metadata, Outcome,
    PolicyId, RemediationId, RunId, RunbookName, StreamVersion, TenantId, any_event,
};
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions, StreamId};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long anything of the kit may take.
const BOUND: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Short, so that a dead process is soon replaced.
const LEASE: Duration = Duration::from_millis(600);

/// What a kit is made of.
pub struct KitParts {
    /// A migrated database.
    pub pool: PgPool,
    /// The components of the deployment.
    pub components: Vec<Component>,
    /// The checks and runbooks.
    pub packs: Arc<Packs>,
    /// What runs the post-checks: the real probes, or [`SaysWell`].
    pub checks: Arc<dyn CheckRunner>,
    /// Where actions run that want a process of their own.
    pub host: HostProgram,
}

/// A small platform: log, bus, one deployment, a policy that asks for nobody where it may.
pub struct Kit {
    /// Everything that remediations are carried on with.
    pub parts: RemediationParts,
    /// How they are.
    pub options: RemediationOptions,
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its components.
    pub components: BTreeMap<ComponentName, Component>,
    cancel: CancellationToken,
}

/// A double of a check: it always finds that all is well.
#[derive(Debug, Default)]
pub struct SaysWell;

impl CheckRunner for SaysWell {
    fn run(&self, item: WorkItem, _cancel: CancellationToken) -> BoxFuture<'_, CheckResult> {
        let result = CheckResult {
            key: item.key.check,
            version: item.version,
            outcome: Outcome::Ok,
            summary: "a double of a check says that all is well".to_owned(),
            unknown_cause: None,
            observations: Vec::new(),
            omitted: 0,
            metrics: BTreeMap::new(),
            evidence: None,
            measured_at: item.queued_at,
            duration_ms: 0,
        };
        async move { result }.boxed()
    }
}

impl Kit {
    /// Puts it together.
    pub async fn start(parts: KitParts) -> Self {
        let cancel = CancellationToken::new();
        let log = PostgresEventLog::connect(parts.pool.clone(), PostgresLogOptions::default()).await;
        let log: Arc<dyn EventLog> = log.unwrap_or_else(|error| panic!("{error}"));
        let feed = LiveFeed::start(Arc::clone(&log), cancel.child_token());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let components = parts.components.iter().map(|one| (one.name.clone(), one.clone())).collect();
        let kit = Self {
            parts: RemediationParts {
                pool: parts.pool.clone(),
                bus: CommandBus::new(log, BusOptions::default()),
                feed,
                packs: parts.packs,
                checks: parts.checks,
                evidence: EvidenceStore::new(parts.pool),
                clock,
            },
            options: RemediationOptions {
                lease: LEASE,
                poll_every: Duration::from_millis(50),
                ..RemediationOptions::new(parts.host)
            },
            deployment: DeploymentId(Uuid::now_v7()),
            components,
            cancel,
        };
        let register = DeploymentCommand::Register {
            name: "kit".to_owned(),
            product_version: "24.3".to_owned(),
            is_double: true,
            labels: BTreeMap::new(),
            components: parts.components,
        };
        kit.send::<Deployment>(kit.deployment.0, register, "operator").await;
        kit.allow(Mode::Unattended).await;
        kit
    }

    /// Defines the policy: bounds that nothing here reaches, and this mode for everything.
    pub async fn allow(&self, mode: Mode) {
        let rule = Rule {
            name: "kit".to_owned(),
            actions: Vec::new(),
            checks: Vec::new(),
            deployments: Vec::new(),
            severities: Vec::new(),
            windows: Vec::new(),
            mode,
        };
        let many = u64::MAX;
        let definition = PolicyDefinition {
            rules: vec![rule],
            irreversible_people: 1,
            budget: Budget {
                deployments: many,
                stores: many,
                documents: many,
                users: many,
                bytes: many,
                max_open: 10_000,
            },
            rate: RateLimit { per_resource: 1_000, per: Span::seconds(1) },
            breaker: BreakerSettings { open_after: 100, within: Span::seconds(1), half_open_after: Span::seconds(1) },
            storm: StormGuard { per_deployment_minute: 1_000, flapping_wait: Span::seconds(1) },
            ..PolicyDefinition::default()
        };
        let policy = DEFAULT_POLICY.parse().unwrap_or_else(|error| panic!("{error}"));
        let id = PolicyId::of(&TenantId::default(), &policy);
        let define = PolicyCommand::Define { policy, definition: definition.clone() };
        if self.try_send::<Policy>(id.0, define, "operator").await.is_err() {
            // It was defined before.
            let reason = "the test wants another one".to_owned();
            self.send::<Policy>(id.0, PolicyCommand::Revise { definition, reason }, "operator").await;
        }
    }

    /// Sends a command as somebody; a test that is refused stops.
    pub async fn send<D: Decider>(&self, id: Uuid, command: D::Command, actor: &str) {
        self.try_send::<D>(id, command, actor).await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Sends a command as somebody.
    pub async fn try_send<D: Decider>(&self, id: Uuid, command: D::Command, actor: &str) -> Result<(), CommandError> {
        let actor = Actor::new(actor).unwrap_or_else(|error| panic!("{error}"));
        let metadata = Metadata::new(actor, TenantId::default(), CommandId(Uuid::now_v7()));
        self.parts.bus.execute::<D>(id, command, metadata).await.map(|_| ())
    }

    /// A finding that was just seen, with this evidence row.
    pub async fn problem(&self, check: &str, component: &str, resource: &str, row: Option<Value>) -> Problem {
        fn named<T: std::str::FromStr<Err = E>, E: std::fmt::Display>(text: &str) -> T {
            text.parse().unwrap_or_else(|error| panic!("{error}"))
        }
        let seen = Observation {
            resource: named(resource),
            outcome: Outcome::Critical,
            symptom: "s".to_owned(),
            cause: "c".to_owned(),
            impact: "i".to_owned(),
            advice: "a".to_owned(),
            evidence: Evidence { inline: row, hash: None },
        };
        self.seen(named(check), named(component), seen).await
    }

    /// A finding that a check has just raised about a component.
    pub async fn seen(&self, check: CheckCode, component: ComponentName, seen: Observation) -> Problem {
        let Observation { resource, outcome, symptom, cause, impact, advice, evidence } = seen;
        let finding = FindingId::of(self.deployment, &check, &resource);
        let fingerprint = Fingerprint { deployment: self.deployment, check: check.clone(), resource: resource.clone() };
        let (component_of, run) = (component.clone(), RunId(Uuid::now_v7()));
        let measured_at = self.parts.clock.now();
        let sighting =
            Sighting { component: component_of, run, outcome, symptom, cause, impact, advice, evidence, measured_at };
        let observe = FindingCommand::Observe { fingerprint, sighting, hysteresis: Hysteresis::default() };
        self.send::<Finding>(finding.0, observe, "system:keeper").await;
        Problem { finding, deployment: self.deployment, check, component, resource, severity: outcome }
    }

    /// Lets the leases of processes that were killed run out now.
    pub async fn expire_leases(&self) {
        sqlx::query("UPDATE cmdiag.remediation_work SET leased_until = clock_timestamp() WHERE leased_by IS NOT NULL")
            .execute(&self.parts.pool)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Whether the policy still holds what it reserved for a remediation.
    pub async fn is_reserved(&self, id: RemediationId) -> bool {
        let policy = DEFAULT_POLICY.parse().unwrap_or_else(|error| panic!("{error}"));
        let policy = PolicyId::of(&TenantId::default(), &policy);
        let loaded = self.parts.bus.load::<Policy>(policy.0).await;
        loaded.unwrap_or_else(|error| panic!("{error}")).0.reservation(id).is_some()
    }

    /// Asks for it to be put right.
    pub async fn request(&self, problem: &Problem, runbook: Option<&str>, dry_run: bool) -> RemediationId {
        let id = RemediationId(Uuid::now_v7());
        let runbook = runbook.map(|name| RunbookName::new(name).unwrap_or_else(|error| panic!("{error}")));
        let command =
            RemediationCommand::Request { problem: problem.clone(), runbook, trigger: Trigger::Person, dry_run };
        self.send::<Remediation>(id.0, command, "operator").await;
        id
    }

    /// A process that carries remediations on, with these faults.
    pub fn remediator(&self, hooks: Option<Arc<dyn Hooks>>) -> Remediator {
        let options = RemediationOptions { hooks, ..self.options.clone() };
        Remediator::start(self.parts.clone(), options, &self.cancel)
    }

    /// The remediation as it is.
    pub async fn state(&self, id: RemediationId) -> RemediationState {
        self.parts.bus.load::<Remediation>(id.0).await.unwrap_or_else(|error| panic!("{error}")).0
    }

    /// Approves what is to be approved and has it done, as soon as that is asked for.
    pub async fn let_run(&self, id: RemediationId) {
        let begin = Instant::now();
        let mut approvers = ["approver-1", "approver-2"].into_iter();
        loop {
            let state = self.state(id).await;
            match state.phase {
                RemediationPhase::AwaitingApproval => {
                    let binding = state.binding().cloned().unwrap_or_else(|| panic!("nothing is bound"));
                    let comment = "seen".to_owned();
                    let command = RemediationCommand::Approve { binding, comment, on_behalf_of: None };
                    let approver = approvers.next().unwrap_or("approver-3");
                    self.send::<Remediation>(id.0, command, approver).await;
                }
                RemediationPhase::Executable => {
                    // The remediator may be a moment faster with an expiry; a test that needs this to work sees it.
                    let _ = self.try_send::<Remediation>(id.0, RemediationCommand::Execute, "operator").await;
                }
                phase if !phase.is_before_execution() || phase == RemediationPhase::Confirming => return,
                _ => {}
            }
            assert!(begin.elapsed() < BOUND, "waited in vain to have {id} done: {state:#?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until it rests, or until this phase.
    pub async fn until(&self, id: RemediationId, wanted: impl Fn(&RemediationState) -> bool) -> RemediationState {
        let begin = Instant::now();
        loop {
            let state = self.state(id).await;
            if wanted(&state) {
                return state;
            }
            assert!(begin.elapsed() < BOUND, "waited in vain for {id}: {state:#?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until it rests.
    pub async fn rested(&self, id: RemediationId) -> RemediationState {
        self.until(id, |state| state.phase.is_at_rest()).await
    }

    /// Its events, oldest first.
    pub async fn events(&self, id: RemediationId) -> Vec<RemediationEvent> {
        let stream = StreamId::new(any_event::REMEDIATION, &id.to_string());
        let events = self.parts.bus.log().read_stream(stream, StreamVersion(0), 10_000).await;
        let events = events.unwrap_or_else(|error| panic!("{error}"));
        let decoded = events.iter().map(|event| match event.decode() {
            Ok(AnyEvent::Remediation(event)) => event,
            other => panic!("{other:?}"),
        });
        decoded.collect()
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
