//! What is known to be newer: the position of the newest event that changed each thing.

use super::homes::Homes;
use super::topic::{CLASSES, Topic};
use domain::Position;
use domain::any_event::{AnyEvent, DEPLOYMENT, DIAGNOSTIC_RUN, FINDING, PROJECTION_CONTROL};
use domain::diagnostic_run::RunEvent;
use domain::finding::FindingEvent;
use event_store::{EventLog, LiveFeed, LogError, RecordedEvent};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How far the feed has been followed; `None` while it is not.
type Followed = Option<Position>;

/// The newest events by what they changed, bounded: what has been forgotten is covered by a floor per class of topics.
pub(super) struct Freshness {
    newest: Mutex<Newest>,
    followed: watch::Sender<Followed>,
}

struct Newest {
    by_topic: HashMap<Topic, Position>,
    /// In the order of their positions, with entries that a newer event has overtaken.
    oldest_first: VecDeque<(Topic, Position)>,
    /// Of everything not in `by_topic`: nothing is known to have changed after this. For the lists of everything, which
    /// are one topic each, this is all there is.
    floors: [Position; CLASSES],
    homes: Homes,
    capacity: usize,
}

impl Freshness {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let newest = Newest {
            by_topic: HashMap::new(),
            oldest_first: VecDeque::new(),
            floors: [Position::START; CLASSES],
            homes: Homes::new(capacity),
            capacity,
        };
        Self { newest: Mutex::new(newest), followed: watch::Sender::new(None) }
    }

    pub(super) fn is_following(&self) -> bool {
        self.followed.borrow().is_some()
    }

    /// How far the feed has been followed; none while it is not.
    pub(super) fn followed(&self) -> Option<Position> {
        *self.followed.borrow()
    }

    /// Whether what rests on these topics and was read at a position is still true as far as is known.
    pub(super) fn are_current(&self, topics: &[Topic], as_of: Position) -> bool {
        let newest = self.lock();
        topics.iter().all(|topic| as_of >= newest.of(*topic))
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
            for event in events.iter().flat_map(|event| event.parts()) {
                newest.take(&event);
            }
        }
        self.followed.send_replace(Some(last.position));
    }

    fn start_at(&self, position: Position) {
        {
            let mut newest = self.lock();
            for floor in &mut newest.floors {
                *floor = (*floor).max(position);
            }
        }
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
    /// The newest event that may have changed a topic.
    fn of(&self, topic: Topic) -> Position {
        let floor = self.floors[topic.class()];
        if topic.is_everything() {
            floor
        } else {
            self.by_topic.get(&topic).map_or(floor, |changed| floor.max(*changed))
        }
    }

    fn take(&mut self, event: &RecordedEvent) {
        let at = event.position;
        let Ok(id) = Uuid::parse_str(&event.stream.aggregate_id) else { return };
        match &*event.stream.aggregate_type {
            DEPLOYMENT => self.of_deployment(Some(id), at),
            DIAGNOSTIC_RUN => self.take_run(id, event),
            FINDING => self.take_finding(id, event),
            // A view was exchanged: nothing that was read of it before is true any more, whatever its positions say.
            PROJECTION_CONTROL => self.forget_before(at),
            _ => {}
        }
    }

    /// Everything may have changed.
    fn forget_before(&mut self, at: Position) {
        for floor in &mut self.floors {
            *floor = (*floor).max(at);
        }
        self.by_topic.clear();
        self.oldest_first.clear();
    }

    fn take_run(&mut self, id: Uuid, event: &RecordedEvent) {
        let at = event.position;
        let home = match self.homes.of(id) {
            Some(home) => Some(home),
            None => self.homes.learn(id, event.decode().ok().as_ref().and_then(deployment_of)),
        };
        self.set(Topic::Run(id), at);
        self.raise(Topic::Runs, at);
        self.set_or_raise(home.map(Topic::RunsOf), Topic::RunsOf(Uuid::nil()), at);
        // These four also change the deployment's last run and with it its health.
        if matches!(&*event.event_type, "RunCompleted" | "RunCancelled" | "RunTimedOut" | "RunFailed") {
            self.of_deployment(home, at);
        }
    }

    fn take_finding(&mut self, id: Uuid, event: &RecordedEvent) {
        let at = event.position;
        let decoded = event.decode().ok();
        let home = match self.homes.of(id) {
            Some(home) => Some(home),
            None => self.homes.learn(id, decoded.as_ref().and_then(deployment_of)),
        };
        self.set(Topic::Finding(id), at);
        self.raise(Topic::Findings, at);
        self.set_or_raise(home.map(Topic::FindingsOf), Topic::FindingsOf(Uuid::nil()), at);
        match &decoded {
            Some(AnyEvent::Finding(finding)) => {
                if let Some(run) = seen_by(finding) {
                    self.set(Topic::SeenBy(run), at);
                }
            }
            // What can not be read may have been seen by any run.
            _ => self.raise(Topic::SeenBy(Uuid::nil()), at),
        }
        if changes_health(&event.event_type) {
            self.of_deployment(home, at);
        }
    }

    /// An event that does not name its deployment may have changed any.
    fn of_deployment(&mut self, deployment: Option<Uuid>, at: Position) {
        self.raise(Topic::Deployments, at);
        self.set_or_raise(deployment.map(Topic::Deployment), Topic::Deployment(Uuid::nil()), at);
    }

    /// One topic, or all of its class where it is not known which.
    fn set_or_raise(&mut self, topic: Option<Topic>, class: Topic, at: Position) {
        match topic {
            Some(topic) => self.set(topic, at),
            None => self.raise(class, at),
        }
    }

    fn set(&mut self, topic: Topic, at: Position) {
        self.by_topic.insert(topic, at);
        self.oldest_first.push_back((topic, at));
        while self.oldest_first.len() > self.capacity {
            let Some((topic, at)) = self.oldest_first.pop_front() else { return };
            if self.by_topic.get(&topic) == Some(&at) {
                self.by_topic.remove(&topic);
                self.raise(topic, at);
            }
        }
    }

    /// All topics of this one's class may have changed.
    fn raise(&mut self, topic: Topic, at: Position) {
        let floor = &mut self.floors[topic.class()];
        *floor = (*floor).max(at);
    }
}

/// The run that saw the finding, where the event is a bad sighting.
fn seen_by(finding: &FindingEvent) -> Option<Uuid> {
    match finding {
        FindingEvent::FindingSuspected { sighting, .. }
        | FindingEvent::FindingOpened { sighting, .. }
        | FindingEvent::FindingSeenAgain { sighting, .. }
        | FindingEvent::FindingRegressed { sighting, .. } => Some(sighting.run.0),
        _ => None,
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

fn deployment_of(event: &AnyEvent) -> Option<Uuid> {
    match event {
        AnyEvent::Run(
            RunEvent::RunRequested { deployment, .. }
            | RunEvent::ChecksCompleted { deployment, .. }
            | RunEvent::RunCompleted { deployment, .. }
            | RunEvent::RunCancelled { deployment, .. }
            | RunEvent::RunTimedOut { deployment, .. }
            | RunEvent::RunFailed { deployment, .. },
        ) => Some(deployment.0),
        AnyEvent::Finding(
            FindingEvent::FindingSuspected { fingerprint, .. } | FindingEvent::FindingOpened { fingerprint, .. },
        ) => Some(fingerprint.deployment.0),
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
            freshness.lock().set(Topic::Run(*id), Position(10 + index as i64));
        }
        let is_current = |topic, at| freshness.are_current(&[topic], Position(at));
        // The first was forgotten: a row of it must be as of at least its event, and so must any unknown one.
        assert!(!is_current(Topic::Run(ids[0]), 9));
        assert!(!is_current(Topic::Run(Uuid::from_u128(99)), 9));
        assert!(is_current(Topic::Run(ids[0]), 10));
        assert!(!is_current(Topic::Run(ids[2]), 11));
        assert!(is_current(Topic::Run(ids[2]), 12));
        // Other classes are not touched.
        assert!(is_current(Topic::Finding(ids[0]), 0));
        // One topic that is no longer true is enough.
        assert!(!freshness.are_current(&[Topic::Finding(ids[0]), Topic::Run(ids[2])], Position(11)));
    }

    #[test]
    fn a_row_from_before_the_start_is_not_trusted() {
        let freshness = Freshness::new(8);
        assert!(!freshness.is_following());
        freshness.start_at(Position(100));
        assert!(freshness.is_following());
        assert!(!freshness.are_current(&[Topic::Deployment(Uuid::nil())], Position(99)));
        assert!(!freshness.are_current(&[Topic::Findings], Position(99)));
        assert!(freshness.are_current(&[Topic::Deployment(Uuid::nil()), Topic::Findings], Position(100)));
    }
}
