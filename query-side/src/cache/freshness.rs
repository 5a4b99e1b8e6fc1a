//! What is known to be newer: the position of the newest event that changed each thing.

use domain::any_event::{AnyEvent, DEPLOYMENT, DIAGNOSTIC_RUN, FINDING};
use domain::diagnostic_run::RunEvent;
use domain::finding::FindingEvent;
use domain::{DeploymentId, Position};
use event_store::{EventLog, LiveFeed, LogError, RecordedEvent};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What a cached row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A deployment.
    Deployment,
    /// A run.
    Run,
    /// A finding.
    Finding,
}

impl Kind {
    /// As in the keys of the shared cache.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Run => "run",
            Self::Finding => "finding",
        }
    }
}

/// How far the feed has been followed; `None` while it is not.
type Followed = Option<Position>;

/// The newest events by what they changed, bounded: what has been forgotten is covered by a floor per kind.
pub(super) struct Freshness {
    newest: Mutex<Newest>,
    followed: watch::Sender<Followed>,
}

struct Newest {
    by_key: HashMap<(Kind, Uuid), Position>,
    /// In the order of their positions, with entries that a newer event has overtaken.
    oldest_first: VecDeque<((Kind, Uuid), Position)>,
    /// Of everything not in `by_key`: nothing is known to have changed after this.
    floors: HashMap<Kind, Position>,
    capacity: usize,
}

impl Freshness {
    pub(super) fn new(capacity: usize) -> Self {
        let newest = Newest {
            by_key: HashMap::new(),
            oldest_first: VecDeque::new(),
            floors: HashMap::new(),
            capacity: capacity.max(1),
        };
        Self { newest: Mutex::new(newest), followed: watch::Sender::new(None) }
    }

    pub(super) fn is_following(&self) -> bool {
        self.followed.borrow().is_some()
    }

    /// Whether a row as of a position is still true as far as is known.
    pub(super) fn is_current(&self, kind: Kind, id: Uuid, as_of: Position) -> bool {
        let newest = self.lock();
        let floor = newest.floors.get(&kind).copied().unwrap_or_default();
        let changed = newest.by_key.get(&(kind, id)).copied().unwrap_or_default();
        as_of >= floor.max(changed)
    }

    /// Waits until the feed has been followed as far as the position. While it is not followed nothing is served, so
    /// there is nothing to wait for.
    pub(super) async fn has_seen(&self, position: Position, bound: Duration) -> bool {
        let mut followed = self.followed.subscribe();
        let seen = followed.wait_for(|at| at.is_none_or(|at| at >= position));
        matches!(tokio::time::timeout(bound.max(Duration::from_millis(1)), seen).await, Ok(Ok(_)))
    }

    /// Takes in events, then says so.
    pub(super) fn take(&self, events: &[Arc<RecordedEvent>]) {
        let Some(last) = events.last() else { return };
        {
            let mut newest = self.lock();
            for event in events {
                newest.take(event);
            }
        }
        self.followed.send_replace(Some(last.position));
    }

    fn start_at(&self, position: Position) {
        let mut newest = self.lock();
        for kind in [Kind::Deployment, Kind::Run, Kind::Finding] {
            newest.raise(kind, position);
        }
        drop(newest);
        self.followed.send_replace(Some(position));
    }

    fn stop(&self) {
        self.followed.send_replace(None);
    }

    /// A poisoned lock is a panic between two assignments of plain values: the map is still whole.
    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Newest {
    fn take(&mut self, event: &RecordedEvent) {
        let at = event.position;
        let Ok(id) = Uuid::parse_str(&event.stream.aggregate_id) else { return };
        match &*event.stream.aggregate_type {
            DEPLOYMENT => self.set(Kind::Deployment, id, at),
            DIAGNOSTIC_RUN => {
                self.set(Kind::Run, id, at);
                // These four also change the deployment's last run and with it its health.
                if matches!(&*event.event_type, "RunCompleted" | "RunCancelled" | "RunTimedOut" | "RunFailed") {
                    self.of_deployment(deployment_of(event), at);
                }
            }
            FINDING => {
                self.set(Kind::Finding, id, at);
                if changes_health(&event.event_type) {
                    self.of_deployment(deployment_of(event), at);
                }
            }
            _ => {}
        }
    }

    /// An event that does not name its deployment may have changed any.
    fn of_deployment(&mut self, deployment: Option<DeploymentId>, at: Position) {
        match deployment {
            Some(id) => self.set(Kind::Deployment, id.0, at),
            None => self.raise(Kind::Deployment, at),
        }
    }

    fn set(&mut self, kind: Kind, id: Uuid, at: Position) {
        self.by_key.insert((kind, id), at);
        self.oldest_first.push_back(((kind, id), at));
        while self.oldest_first.len() > self.capacity {
            let Some((key, at)) = self.oldest_first.pop_front() else { return };
            if self.by_key.get(&key) == Some(&at) {
                self.by_key.remove(&key);
                self.raise(key.0, at);
            }
        }
    }

    fn raise(&mut self, kind: Kind, at: Position) {
        let floor = self.floors.entry(kind).or_default();
        *floor = (*floor).max(at);
    }
}

/// The events of a finding that leave the counts of open ones as they are.
fn changes_health(event_type: &str) -> bool {
    !matches!(
        event_type,
        "FindingSuspected"
            | "FindingSeenAgain"
            | "FindingRecovering"
            | "FindingAcknowledged"
            | "FindingFlappingStarted"
            | "FindingFlappingStopped"
    )
}

fn deployment_of(event: &RecordedEvent) -> Option<DeploymentId> {
    match event.decode().ok()? {
        AnyEvent::Run(
            RunEvent::RunCompleted { deployment, .. }
            | RunEvent::RunCancelled { deployment, .. }
            | RunEvent::RunTimedOut { deployment, .. }
            | RunEvent::RunFailed { deployment, .. },
        ) => Some(deployment),
        AnyEvent::Finding(FindingEvent::FindingOpened { fingerprint, .. }) => Some(fingerprint.deployment),
        _ => None,
    }
}

/// Follows the feed until cancelled. What is cached stays off while the feed can not be followed.
pub(super) async fn follow(
    freshness: Arc<Freshness>,
    log: Arc<dyn EventLog>,
    feed: Arc<LiveFeed>,
    cancel: CancellationToken,
) {
    let mut pause = Duration::from_millis(50);
    while !cancel.is_cancelled() {
        let following = async {
            let head = log.head().await?;
            let mut subscription = feed.subscribe(head);
            freshness.start_at(head);
            loop {
                let events = subscription.next().await?;
                freshness.take(&events);
            }
            #[expect(unreachable_code, reason = "gives the block its type: it ends by an error only")]
            Ok::<(), LogError>(())
        };
        let ended = tokio::select! {
            () = cancel.cancelled() => break,
            ended = following => ended,
        };
        freshness.stop();
        if let Err(error) = ended {
            // The process ends.
            if matches!(error, LogError::Closed) {
                break;
            }
            tracing::warn!(error = %error, "query_side.cache: the feed can not be followed; the cache is off");
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(Duration::from_secs(2));
    }
    freshness.stop();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_forgotten_is_covered_by_the_floor() {
        let freshness = Freshness::new(2);
        let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
        for (index, id) in ids.iter().enumerate() {
            freshness.lock().set(Kind::Run, *id, Position(10 + index as i64));
        }
        // The first was forgotten: a row of it must be as of at least its event, and so must any unknown one.
        assert!(!freshness.is_current(Kind::Run, ids[0], Position(9)));
        assert!(!freshness.is_current(Kind::Run, Uuid::from_u128(99), Position(9)));
        assert!(freshness.is_current(Kind::Run, ids[0], Position(10)));
        assert!(!freshness.is_current(Kind::Run, ids[2], Position(11)));
        assert!(freshness.is_current(Kind::Run, ids[2], Position(12)));
        // Other kinds are not touched.
        assert!(freshness.is_current(Kind::Finding, ids[0], Position(0)));
    }

    #[test]
    fn a_row_from_before_the_start_is_not_trusted() {
        let freshness = Freshness::new(8);
        assert!(!freshness.is_following());
        freshness.start_at(Position(100));
        assert!(freshness.is_following());
        assert!(!freshness.is_current(Kind::Deployment, Uuid::nil(), Position(99)));
        assert!(freshness.is_current(Kind::Deployment, Uuid::nil(), Position(100)));
    }
}
