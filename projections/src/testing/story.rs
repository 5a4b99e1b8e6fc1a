//! Stories: endless, seeded sequences of events that the deciders themselves decided, so that they can have happened.

mod remedies;

use chrono::{DateTime, TimeDelta, Utc};
use domain::any_event::AnyEvent;
use domain::any_event::{AUDIT_KEYS, EMERGENCY_STOP, POLICY, PROJECTION_CONTROL, REMEDIATION, SUBJECT};
use domain::deployment::{Deployment, DeploymentCommand, DeploymentState, MaintenanceWindow};
use domain::diagnostic_run::{
    CheckKey, CheckResult, DiagnosticRun, Evidence, PlannedCheck, Priority, RunCommand, RunState,
};
use domain::finding::{Finding, FindingCommand, FindingState, Fingerprint, Hysteresis, Sighting};
use domain::{
    Actor, CheckCode, CommandId, ComponentName, Context, Decider, DeploymentId, DomainEvent, FindingId, Metadata,
    Outcome, Position, RunId, StreamVersion, TenantId,
};
use event_store::{RecordedEvent, StreamId};
use remedies::Remedies;
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

const DEPLOYMENTS: usize = 4;
const CHECKS: usize = 8;
const RESOURCES: usize = 6;

/// A seeded story.
pub struct Story {
    random: u64,
    now: DateTime<Utc>,
    position: i64,
    ids: u128,
    deployments: Vec<(Uuid, DeploymentState)>,
    runs: Vec<(Uuid, RunState)>,
    findings: BTreeMap<Uuid, (Fingerprint, FindingState)>,
    versions: BTreeMap<Uuid, i64>,
    told: VecDeque<RecordedEvent>,
    remedies: Option<Remedies>,
}

impl Story {
    /// Begins a story that also tells of remediations, policies and the emergency stop.
    pub fn with_remedies(seed: u64) -> Self {
        Self { remedies: Some(Remedies::default()), ..Self::new(seed) }
    }

    /// Begins a story: the same seed tells the same one.
    pub fn new(seed: u64) -> Self {
        let mut story = Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: DateTime::UNIX_EPOCH + TimeDelta::seconds(1_767_600_000),
            position: 0,
            ids: u128::from(seed) << 64,
            deployments: Vec::new(),
            runs: Vec::new(),
            findings: BTreeMap::new(),
            versions: BTreeMap::new(),
            told: VecDeque::new(),
            remedies: None,
        };
        for number in 0..DEPLOYMENTS {
            story.register(number);
        }
        story
    }

    /// The deployments of the story.
    pub fn deployments(&self) -> Vec<DeploymentId> {
        self.deployments.iter().map(|(id, _)| DeploymentId(*id)).collect()
    }

    fn draw(&mut self, below: usize) -> usize {
        // xorshift64*: enough for stories.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below.max(1)
    }

    fn new_id(&mut self) -> Uuid {
        self.ids += 1;
        // A UUIDv7 in form: later ones are greater, as in a real log.
        let millis = self.now.timestamp_millis() as u64;
        uuid::Builder::from_unix_timestamp_millis(millis, &self.ids.to_be_bytes()[6..].try_into().unwrap_or([0; 10]))
            .into_uuid()
    }

    fn context(&self, id: Uuid) -> Context {
        Context { now: self.now, actor: name("teller"), id }
    }

    fn register(&mut self, number: usize) {
        let id = self.new_id();
        let command = DeploymentCommand::Register {
            name: format!("Deployment {number}"),
            product_version: "10.1".to_owned(),
            is_double: true,
            labels: BTreeMap::from([("site".to_owned(), format!("site-{number}"))]),
            components: vec![domain::testing::component()],
        };
        self.deployments.push((id, DeploymentState::default()));
        self.tell_deployment(number, command);
    }

    fn tell_deployment(&mut self, index: usize, command: DeploymentCommand) {
        let (id, mut state) = self.deployments[index].clone();
        self.tell::<Deployment>(id, &mut state, command, AnyEvent::Deployment);
        self.deployments[index].1 = state;
    }

    /// Lets a decider decide, and tells what it decided; a refusal is a turn of the story that did not happen.
    fn tell<D: Decider>(
        &mut self,
        id: Uuid,
        state: &mut D::State,
        command: D::Command,
        wrap: fn(D::Event) -> AnyEvent,
    ) {
        let context = self.context(id);
        self.tell_in::<D>(&context, state, command, wrap);
    }

    /// [`Self::tell`], in a context of its own.
    fn tell_in<D: Decider>(
        &mut self,
        context: &Context,
        state: &mut D::State,
        command: D::Command,
        wrap: fn(D::Event) -> AnyEvent,
    ) {
        let id = context.id;
        let Ok(events) = D::decide(state, command, context) else { return };
        for event in events {
            D::evolve(state, &event);
            self.position += 1;
            let version = self.versions.entry(id).or_default();
            *version += 1;
            self.told.push_back(recorded(self.position, *version, id, &wrap(event), self.now));
        }
    }

    /// Something happens.
    fn turn(&mut self) {
        let seconds = 1 + self.draw(90) as i64;
        self.now += TimeDelta::seconds(seconds);
        if self.remedies.is_some() && self.draw(3) == 0 {
            return self.touch_a_remedy();
        }
        match self.draw(20) {
            0..3 => self.request_run(),
            3..13 => self.go_on_with_a_run(),
            13..19 => self.touch_a_finding(),
            _ => self.touch_a_deployment(),
        }
    }

    fn touch_a_deployment(&mut self) {
        let index = self.draw(self.deployments.len());
        let command = match self.draw(3) {
            0 => {
                let window = MaintenanceWindow {
                    from: self.now,
                    until: self.now + TimeDelta::hours(1),
                    reason: "upgrade".to_owned(),
                };
                DeploymentCommand::ScheduleMaintenance { window }
            }
            1 => DeploymentCommand::OverrideThreshold {
                check: check(self.draw(CHECKS)),
                threshold: "used_percent".to_owned(),
                warning: Some(format!("{}", 50 + self.draw(40))),
                critical: None,
                reason: "a small store".to_owned(),
            },
            _ => DeploymentCommand::RestoreThreshold {
                check: check(self.draw(CHECKS)),
                threshold: "used_percent".to_owned(),
            },
        };
        self.tell_deployment(index, command);
    }

    fn a_deployment(&mut self) -> DeploymentId {
        let index = self.draw(self.deployments.len());
        DeploymentId(self.deployments[index].0)
    }

    fn request_run(&mut self) {
        let deployment = self.a_deployment();
        let (id, mut state) = (self.new_id(), RunState::default());
        let priority = [Priority::Low, Priority::Normal, Priority::High][self.draw(3)];
        let command = RunCommand::Request {
            run: RunId(id),
            deployment,
            profile: if self.draw(3) == 0 { "full" } else { "quick" }.to_owned(),
            checks: Vec::new(),
            priority,
            deadline: self.now + TimeDelta::minutes(30),
        };
        self.tell::<DiagnosticRun>(id, &mut state, command, AnyEvent::Run);
        self.runs.push((id, state));
    }

    fn go_on_with_a_run(&mut self) {
        if self.runs.is_empty() {
            return self.request_run();
        }
        let index = self.draw(self.runs.len());
        let (id, mut state) = self.runs.swap_remove(index);
        let command = match self.draw(30) {
            0 => RunCommand::Cancel { reason: "not now".to_owned() },
            1 => RunCommand::Fail { reason: "no pack".to_owned() },
            2 => RunCommand::TimeOut,
            _ => self.next_step(&state),
        };
        self.tell::<DiagnosticRun>(id, &mut state, command, AnyEvent::Run);
        if !state.phase.has_ended() {
            self.runs.push((id, state));
        }
    }

    fn next_step(&mut self, state: &RunState) -> RunCommand {
        use domain::diagnostic_run::RunPhase;
        match state.phase {
            RunPhase::Requested => {
                let count = 1 + self.draw(CHECKS);
                RunCommand::Plan { checks: (0..count).map(planned).collect() }
            }
            RunPhase::Planned => RunCommand::Start,
            _ => {
                let missing: Vec<CheckKey> = state.missing().map(|check| check.key.clone()).collect();
                let some = 1 + self.draw(missing.len());
                RunCommand::RecordResults {
                    results: missing.into_iter().take(some).map(|key| self.result(key)).collect(),
                }
            }
        }
    }

    fn result(&mut self, key: CheckKey) -> CheckResult {
        let outcome = self.outcome();
        let number = self.draw(RESOURCES) as u32;
        let sample = domain::testing::check_result(number, outcome);
        CheckResult { key, measured_at: self.now, duration_ms: self.draw(2_000) as u32, ..sample }
    }

    fn outcome(&mut self) -> Outcome {
        [Outcome::Ok, Outcome::Ok, Outcome::Warning, Outcome::Critical, Outcome::Unknown][self.draw(5)]
    }

    fn touch_a_finding(&mut self) {
        let fingerprint = Fingerprint {
            deployment: self.a_deployment(),
            check: check(self.draw(CHECKS)),
            resource: name(&format!("store-1/000/rec_{:07}.docx", self.draw(RESOURCES))),
        };
        let id = FindingId::of(fingerprint.deployment, &fingerprint.check, &fingerprint.resource).0;
        let (fingerprint, mut state) =
            self.findings.remove(&id).unwrap_or_else(|| (fingerprint, FindingState::default()));
        let until = self.now + TimeDelta::hours(2);
        let command = match self.draw(24) {
            0 => FindingCommand::Acknowledge { comment: "mine".to_owned() },
            1 => FindingCommand::Mute { until, reason: "known".to_owned() },
            2 => FindingCommand::Unmute,
            3 => FindingCommand::MarkFalsePositive { reason: "meant to be so".to_owned() },
            4 | 5 => FindingCommand::WithdrawFalsePositive { reason: "it is real".to_owned() },
            _ => self.observation(&fingerprint),
        };
        self.tell::<Finding>(id, &mut state, command, AnyEvent::Finding);
        self.findings.insert(id, (fingerprint, state));
    }

    fn observation(&mut self, fingerprint: &Fingerprint) -> FindingCommand {
        let outcome = [Outcome::Ok, Outcome::Warning, Outcome::Critical][self.draw(3)];
        let sighting = Sighting {
            component: component(),
            run: RunId(self.new_id()),
            outcome,
            symptom: format!("the file is missing since {} days", self.draw(9)),
            cause: "deleted beside the store".to_owned(),
            impact: "the record has no document".to_owned(),
            advice: "restore it from the backup".to_owned(),
            evidence: Evidence { inline: Some(serde_json::json!({ "bytes": self.draw(9_000) })), hash: None },
            measured_at: self.now,
        };
        let open_after = 1 + u32::from(fingerprint.resource.as_str().ends_with("3.docx"));
        let hysteresis = Hysteresis { open_after, resolve_after: 1, ..Hysteresis::default() };
        FindingCommand::Observe { fingerprint: fingerprint.clone(), sighting, hysteresis }
    }
}

impl Iterator for Story {
    type Item = RecordedEvent;

    /// Never ends.
    fn next(&mut self) -> Option<RecordedEvent> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Some(event);
            }
            self.turn();
        }
    }
}

fn name<N: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> N {
    // Names of stories: a malformed one must stop the test that tells it.
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn check(number: usize) -> CheckCode {
    name(&format!("CM-CHECK-{number}"))
}

fn component() -> ComponentName {
    name(domain::testing::COMPONENT)
}

fn planned(number: usize) -> PlannedCheck {
    let key = CheckKey { check: check(number), component: component() };
    PlannedCheck { key, version: "0123456789ab".to_owned(), timeout_ms: 5_000 }
}

/// An event as the log would give it.
pub fn recorded(position: i64, version: i64, id: Uuid, event: &AnyEvent, at: DateTime<Utc>) -> RecordedEvent {
    let (kind, event_type, payload) = match event {
        AnyEvent::Deployment(event) => (Deployment::TYPE, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Run(event) => (DiagnosticRun::TYPE, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Finding(event) => (Finding::TYPE, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Remediation(event) => (REMEDIATION, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Policy(event) => (POLICY, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::EmergencyStop(event) => (EMERGENCY_STOP, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::AuditKeys(event) => (AUDIT_KEYS, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Subject(event) => (SUBJECT, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::ProjectionControl(event) => {
            (PROJECTION_CONTROL, event.event_type(), serde_json::value::to_raw_value(event))
        }
    };
    let actor: Actor = name("teller");
    RecordedEvent {
        position: Position(position),
        stream: StreamId::new(kind, &id.to_string()),
        version: StreamVersion(version),
        event_id: Uuid::new_v5(&id, &position.to_be_bytes()),
        event_type,
        event_version: "1".to_owned(),
        payload: payload.unwrap_or_else(|error| panic!("{error}")),
        metadata: Metadata::new(actor, TenantId::default(), CommandId(Uuid::from_u128(position as u128))),
        recorded_at: at,
    }
}
