//! One dispatcher a process: it reads the live feed once, decodes what subscriptions wait for, and hands it on to all
//! of them. While nobody waits it only reads along.
//!
//! Progress of single runs does not come this way: the feed itself wakes a run's followers by their stream.

use command_side::CommandBus;
use domain::finding::{Finding, FindingEvent, FindingState};
use domain::{AnyEvent, CheckCode, ComponentName, DeploymentId, FindingId, Outcome, Position};
use event_store::{EventLog, LiveFeed, LogError, RecordedEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Notices that a subscription may lie behind before it is told to resume from the log.
const BEHIND_MAX: usize = 4_096;
/// Findings remembered by what they are about.
const FINDINGS_MAX: usize = 50_000;
const RETRY: Duration = Duration::from_millis(200);
/// Events that no subscription of this kind waits for, and that there are most of.
const PASSED_OVER: [&str; 4] = ["ChecksCompleted", "RunRequested", "RunPlanned", "RunStarted"];

/// An event that subscriptions wait for.
#[derive(Debug)]
pub struct Notice {
    /// As recorded.
    pub recorded: Arc<RecordedEvent>,
    /// As decoded.
    pub event: AnyEvent,
    /// Of a finding's event: what the finding is about.
    pub finding: Option<AboutFinding>,
}

/// What a finding is about: most of its events do not repeat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutFinding {
    /// Which finding.
    pub id: FindingId,
    /// Where.
    pub deployment: DeploymentId,
    /// Which check found it.
    pub check: CheckCode,
    /// What it is about.
    pub resource: String,
    /// Which component the check looked at; none where it can not be told.
    pub component: Option<ComponentName>,
    /// How bad it is.
    pub severity: Option<Outcome>,
}

/// Hands notices to subscriptions.
pub struct Topics {
    notices: broadcast::Sender<Arc<Notice>>,
    ended: CancellationToken,
}

impl Topics {
    /// Starts the dispatcher; it ends with `cancel`.
    pub fn start(
        feed: Arc<LiveFeed>,
        bus: Arc<CommandBus>,
        tasks: &TaskTracker,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        let topics = Arc::new(Self { notices: broadcast::Sender::new(BEHIND_MAX), ended: cancel.child_token() });
        let dispatcher =
            Dispatcher { log: Arc::clone(feed.log()), feed, bus, topics: Arc::clone(&topics), known: HashMap::new() };
        tasks.spawn(async move {
            let ended = dispatcher.topics.ended.clone();
            // The token's own branch comes first: nothing is dispatched after the cancel.
            if let Some(Err(error)) = cancel.run_until_cancelled(dispatcher.run()).await
                && !matches!(error, LogError::Closed)
            {
                tracing::error!(%error, "subscriptions have ended: the live feed gives no more events");
            }
            ended.cancel();
        });
        topics
    }

    /// Follows the notices from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Notice>> {
        self.notices.subscribe()
    }

    /// Whether there will be no more notices.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

struct Dispatcher {
    log: Arc<dyn EventLog>,
    feed: Arc<LiveFeed>,
    bus: Arc<CommandBus>,
    topics: Arc<Topics>,
    known: HashMap<FindingId, AboutFinding>,
}

impl Dispatcher {
    async fn run(mut self) -> Result<(), LogError> {
        let mut feed = self.feed.subscribe(self.head().await?);
        loop {
            for recorded in feed.next().await?.iter().flat_map(RecordedEvent::shared_parts) {
                self.dispatch(&recorded).await;
            }
        }
    }

    /// The end of the log, as soon as it answers.
    async fn head(&self) -> Result<Position, LogError> {
        loop {
            match self.log.head().await {
                Err(LogError::Unavailable(_)) => tokio::time::sleep(RETRY).await,
                answer => return answer,
            }
        }
    }

    async fn dispatch(&mut self, recorded: &Arc<RecordedEvent>) {
        if self.topics.notices.receiver_count() == 0 {
            // What is remembered goes stale while nobody listens.
            self.known.clear();
            return;
        }
        if PASSED_OVER.contains(&recorded.event_type.as_str()) {
            return;
        }
        let event = match recorded.decode() {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(position = %recorded.position, %error, "an event does not decode");
                return;
            }
        };
        let finding = match &event {
            AnyEvent::Finding(event) => self.about(recorded, event).await,
            AnyEvent::Deployment(_)
            | AnyEvent::Run(_)
            | AnyEvent::Remediation(_)
            | AnyEvent::Policy(_)
            | AnyEvent::EmergencyStop(_)
            | AnyEvent::AuditKeys(_)
            | AnyEvent::ProjectionControl(_)
            | AnyEvent::Subject(_) => None,
        };
        // Nobody left to hear it is no error.
        let _ = self.topics.notices.send(Arc::new(Notice { recorded: Arc::clone(recorded), event, finding }));
    }

    async fn about(&mut self, recorded: &RecordedEvent, event: &FindingEvent) -> Option<AboutFinding> {
        let id = FindingId(Uuid::parse_str(&recorded.stream.aggregate_id).ok()?);
        let mut about = match (of_event(id, event), self.known.get(&id)) {
            (Some(about), _) => about,
            (None, Some(known)) => known.clone(),
            (None, None) => self.load(id).await?,
        };
        if let Some(severity) = severity_of(event) {
            about.severity = Some(severity);
        }
        if self.known.len() >= FINDINGS_MAX {
            self.known.clear();
        }
        self.known.insert(id, about.clone());
        Some(about)
    }

    async fn load(&self, id: FindingId) -> Option<AboutFinding> {
        loop {
            match self.bus.load::<Finding>(id.0).await {
                Ok((state, _)) => return of_state(id, &state),
                Err(error) if error.is_transient() => tokio::time::sleep(RETRY).await,
                Err(error) => {
                    tracing::error!(finding = %id, %error, "a finding can not be loaded");
                    return None;
                }
            }
        }
    }
}

/// What the events say that begin a finding's life.
fn of_event(id: FindingId, event: &FindingEvent) -> Option<AboutFinding> {
    let (FindingEvent::FindingSuspected { fingerprint, sighting, .. }
    | FindingEvent::FindingOpened { fingerprint, sighting, .. }) = event
    else {
        return None;
    };
    Some(AboutFinding {
        id,
        deployment: fingerprint.deployment,
        check: fingerprint.check.clone(),
        resource: fingerprint.resource.to_string(),
        component: Some(sighting.component.clone()),
        severity: Some(sighting.outcome),
    })
}

fn of_state(id: FindingId, state: &FindingState) -> Option<AboutFinding> {
    let fingerprint = state.fingerprint.as_ref()?;
    Some(AboutFinding {
        id,
        deployment: fingerprint.deployment,
        check: fingerprint.check.clone(),
        resource: fingerprint.resource.to_string(),
        component: None,
        severity: state.severity,
    })
}

fn severity_of(event: &FindingEvent) -> Option<Outcome> {
    match event {
        FindingEvent::FindingSuspected { sighting, .. }
        | FindingEvent::FindingOpened { sighting, .. }
        | FindingEvent::FindingSeenAgain { sighting, .. }
        | FindingEvent::FindingRegressed { sighting, .. } => Some(sighting.outcome),
        FindingEvent::FindingSeverityChanged { to, .. } => Some(*to),
        _ => None,
    }
}
