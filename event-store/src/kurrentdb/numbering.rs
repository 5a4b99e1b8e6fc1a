//! Positions: the stream of links whose revision, plus one, is the dense position of the event that is linked.
//!
//! The k-th link points to the k-th event of ours in `$all`. It is appended at the exact revision that its writer has
//! seen, so the links are a pure function of `$all` whoever writes them: whoever waits for a position numbers what is
//! there, and who comes second finds it done. Nothing is leased. An event whose writer died before it was numbered is
//! adopted by any process a moment later. Links stand in the same log as the events, behind them: no crash, restore or
//! change of leader can leave a link without its event.

use super::connection::{Connection, Failure, damaged};
use super::index::{BLOCK, Found, Index};
use super::names::Names;
use super::read::{page, tail_of_all};
use crate::log::LogError;
use bytes::Bytes;
use domain::Position;
use eventstore::{
    AppendToStreamOptions, EventData, Position as Place, ReadAllOptions, ReadStreamOptions, RecordedEvent,
    StreamPosition, StreamState, SubscriptionFilter,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

/// Events numbered at once; a batch that fails is tried smaller.
const BATCH_MAX: usize = 1_000;
/// Links read at once.
const LINKS_MAX: usize = 2_000;
/// How often to look at the links without being woken: while that finds news, and otherwise.
const LOOK_BUSY: Duration = Duration::from_millis(20);
const LOOK_IDLE: Duration = Duration::from_millis(150);
/// How often to look for events that nobody has numbered.
const SCAN_EVERY: Duration = Duration::from_secs(2);
/// An event that nobody has numbered for so long is numbered by whoever sees it: its writer is gone.
const ADOPT_AFTER: Duration = Duration::from_millis(300);
/// One step of the numbering takes no longer, or is begun anew.
const STEP_WITHIN: Duration = Duration::from_secs(10);
/// After a failed step.
const RETRY: Duration = Duration::from_millis(100);

/// What a link says beside the event that it points to: the event's place in `$all`.
#[derive(Serialize, Deserialize)]
struct LinkMetadata {
    commit: u64,
    prepare: u64,
}

/// A link, about to be written or read.
struct Link {
    place: Place,
    event: Uuid,
    target: String,
}

impl Link {
    fn of(event: &RecordedEvent) -> Self {
        let target = format!("{}@{}", event.revision, event.stream_id());
        Self { place: event.position, event: event.id, target }
    }

    fn to_write(&self) -> Result<EventData, Failure> {
        let beside = LinkMetadata { commit: self.place.commit, prepare: self.place.prepare };
        // The link bears the event's id: a link that is written twice is then the same link.
        EventData::binary("$>", Bytes::from(self.target.clone()))
            .id(self.event)
            .metadata_as_json(&beside)
            .map_err(|error| Failure::Refused(error.to_string()))
    }

    /// The place that a link names.
    fn place(link: &RecordedEvent) -> Result<Place, LogError> {
        let beside: LinkMetadata = serde_json::from_slice(&link.custom_metadata).map_err(|error| {
            damaged(Position(link.revision as i64 + 1), format!("a link without its place: {error}"))
        })?;
        Ok(Place { commit: beside.commit, prepare: beside.prepare })
    }
}

/// The numbering of one log by one process.
pub(super) struct Numbering {
    connection: Arc<Connection>,
    names: Names,
    index: Index,
    newest: watch::Sender<Position>,
    waiting: Mutex<HashMap<Uuid, Vec<oneshot::Sender<Position>>>>,
    wake: Notify,
}

impl Numbering {
    /// Reads where the links end. This is also the first question to the server.
    pub async fn open(connection: Arc<Connection>, names: Names, deadline: Instant) -> Result<Arc<Self>, LogError> {
        let (end, last) = last_link(&connection, &names, deadline).await?;
        Ok(Arc::new(Self {
            connection,
            names,
            index: Index::new(end, last),
            newest: watch::Sender::new(Position(end)),
            waiting: Mutex::default(),
            wake: Notify::new(),
        }))
    }

    /// Follows the newest position.
    pub fn newest(&self) -> watch::Receiver<Position> {
        self.newest.subscribe()
    }

    /// Begins to wait for an event's position; it is numbered soon after it is in the log.
    pub fn wait_for(&self, event: Uuid) -> Waiting<'_> {
        let (tell, told) = oneshot::channel();
        self.lock().entry(event).or_default().push(tell);
        Waiting { numbering: self, event, told }
    }

    /// The position of an event that was read from its own stream.
    pub async fn position_of(&self, event: &RecordedEvent, deadline: Instant) -> Result<Position, LogError> {
        if event.position.commit == u64::MAX {
            let reason = "this server is too old: it must be EventStoreDB 22.6 or newer, or KurrentDB";
            return Err(LogError::Unavailable(reason.to_owned()));
        }
        let waiting = self.wait_for(event.id);
        match self.find(event.position, deadline).await? {
            Some(position) => Ok(Position(position)),
            None => Ok(waiting.position(deadline).await?),
        }
    }

    /// The place and the event of a numbered position, `None` where it is not numbered.
    pub async fn place_of(&self, position: Position, deadline: Instant) -> Result<Option<(Place, Uuid)>, LogError> {
        if position <= Position::START {
            return Ok(None);
        }
        Ok(self.places_after(position.0 - 1, 1, deadline).await?.pop())
    }

    /// The newest position, asked from the server.
    pub async fn head(&self, deadline: Instant) -> Result<Position, LogError> {
        let (end, _) = last_link(&self.connection, &self.names, deadline).await?;
        Ok(Position(end))
    }

    /// The position of a place, `None` where it has none yet.
    async fn find(&self, place: Place, deadline: Instant) -> Result<Option<i64>, LogError> {
        let nowhere = || damaged(Position::START, format!("{place} is a place of no event of this log"));
        let (mut low, mut high) = match self.index.find(place) {
            Found::At(position) => return Ok(Some(position)),
            Found::NotYet => return Ok(None),
            Found::Nowhere => return Err(nowhere()),
            Found::Older(block) => (0, block),
        };
        while low <= high {
            let middle = low.midpoint(high);
            let block = self.block(middle, deadline).await?;
            match (block.first(), block.last()) {
                (Some(first), _) if place < *first => high = middle - 1,
                (_, Some(last)) if place > *last => low = middle + 1,
                _ => {
                    let index = block.binary_search(&place).map_err(|_| nowhere())?;
                    return Ok(Some(middle * BLOCK + index as i64 + 1));
                }
            }
        }
        Err(nowhere())
    }

    async fn block(&self, number: i64, deadline: Instant) -> Result<Arc<[Place]>, LogError> {
        if let Some(block) = self.index.block(number) {
            return Ok(block);
        }
        let places = self.places_after(number * BLOCK, BLOCK as usize, deadline).await?;
        Ok(self.index.keep(number, places.into_iter().map(|(place, _)| place).collect()))
    }

    /// The places and events of the positions after this one.
    async fn places_after(&self, after: i64, count: usize, deadline: Instant) -> Result<Vec<(Place, Uuid)>, LogError> {
        let options = ReadStreamOptions::default().position(StreamPosition::Position(after as u64)).max_count(count);
        let links = page(&self.connection, self.names.positions(), options, deadline).await?;
        let mut places = Vec::with_capacity(links.len());
        for (link, position) in links.iter().map(eventstore::ResolvedEvent::get_original_event).zip(after + 1..) {
            if link.revision as i64 + 1 != position {
                return Err(damaged(Position(position), format!("the next link is of position {}", link.revision + 1)));
            }
            places.push((Link::place(link)?, link.id));
        }
        Ok(places)
    }

    /// Numbers and follows for ever.
    pub async fn run(self: Arc<Self>) {
        let mut scan = Scan::default();
        loop {
            let pause = match self.step(&mut scan).await {
                Ok(true) if self.is_waited_for() => continue,
                Ok(true) => LOOK_BUSY,
                Ok(false) => scan.pause(),
                Err(error) => {
                    tracing::debug!(%error, "events can not be numbered just now");
                    scan.batch = (scan.batch / 4).max(1);
                    RETRY
                }
            };
            let _ = tokio::time::timeout(pause, self.wake.notified()).await;
        }
    }

    /// One step: numbers what is there if anybody waits for it, else follows the others and looks after what was left
    /// behind. True: there was news.
    async fn step(&self, scan: &mut Scan) -> Result<bool, LogError> {
        let deadline = Instant::now() + STEP_WITHIN;
        let urgent = self.is_waited_for();
        if !urgent {
            if self.follow(deadline).await? {
                return Ok(true);
            }
            if !scan.is_due() {
                return Ok(false);
            }
        }
        // What was seen before the scan is clean after it, if it finds nothing.
        let tail = if urgent { None } else { tail_of_all(&self.connection, deadline).await? };
        let (end, last) = self.index.end();
        let links = self.unlinked(last.max(scan.clean), scan.batch, deadline).await?;
        if links.is_empty() {
            scan.found_nothing(tail);
            return if urgent { self.follow(deadline).await } else { Ok(false) };
        }
        if !urgent && !scan.is_orphan(links[0].place) {
            return Ok(false);
        }
        self.link(end, links, deadline).await?;
        scan.batch = (scan.batch * 2).min(BATCH_MAX);
        Ok(true)
    }

    /// Our events in `$all` after a place.
    async fn unlinked(&self, after: Option<Place>, count: usize, deadline: Instant) -> Result<Vec<Link>, LogError> {
        let filter = SubscriptionFilter::on_stream_name().add_prefix(self.names.events_prefix());
        // The place itself comes first where it is an event of ours.
        let options = ReadAllOptions::default().filter(filter).max_count(count + 1).requires_leader(true);
        let options = match after {
            Some(place) => options.position(StreamPosition::Position(place)),
            None => options,
        };
        let question = |client: eventstore::Client| {
            let options = options.clone();
            async move {
                let mut events = client.read_all(&options).await?;
                let mut links = Vec::new();
                while let Some(event) = events.next().await? {
                    if let Some(event) = event.event.filter(|event| after.is_none_or(|after| event.position > after)) {
                        links.push(Link::of(&event));
                    }
                }
                Ok(links)
            }
        };
        Ok(self.connection.ask(deadline, question).await?)
    }

    /// Appends links after position `end`; where others were faster, follows them.
    async fn link(&self, end: i64, links: Vec<Link>, deadline: Instant) -> Result<(), LogError> {
        let state = if end == 0 { StreamState::NoStream } else { StreamState::StreamRevision(end as u64 - 1) };
        let options = AppendToStreamOptions::default().stream_state(state).requires_leader(true);
        let events = links.iter().map(Link::to_write).collect::<Result<Vec<_>, _>>()?;
        let question = |client: eventstore::Client| {
            let (options, events) = (options.clone(), events.clone());
            async move { client.append_to_stream(self.names.positions(), &options, events).await }
        };
        match self.connection.ask(deadline, question).await {
            Ok(_) => {
                self.accept(&links.iter().map(|link| (link.place, link.event)).collect::<Vec<_>>());
                Ok(())
            }
            Err(Failure::WrongRevision | Failure::Mixed) => {
                if self.follow(deadline).await? {
                    Ok(())
                } else {
                    Err(LogError::Unavailable("the links moved on, and did not".to_owned()))
                }
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Takes in the links that others wrote; true where there were any.
    async fn follow(&self, deadline: Instant) -> Result<bool, LogError> {
        let mut news = false;
        loop {
            let (end, _) = self.index.end();
            let places = self.places_after(end, LINKS_MAX, deadline).await?;
            let count = places.len();
            news |= count > 0;
            self.accept(&places);
            if count < LINKS_MAX {
                return Ok(news);
            }
        }
    }

    /// These follow on the newest position.
    fn accept(&self, places: &[(Place, Uuid)]) {
        if places.is_empty() {
            return;
        }
        let end = self.index.push(places.iter().map(|(place, _)| *place));
        self.newest.send_replace(Position(end));
        let mut waiting = self.lock();
        for ((_, event), position) in places.iter().zip(end - places.len() as i64 + 1..) {
            for tell in waiting.remove(event).into_iter().flatten() {
                let _ = tell.send(Position(position));
            }
        }
    }

    fn is_waited_for(&self) -> bool {
        !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Vec<oneshot::Sender<Position>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for an event's position.
pub(super) struct Waiting<'a> {
    numbering: &'a Numbering,
    event: Uuid,
    told: oneshot::Receiver<Position>,
}

impl Waiting<'_> {
    /// Waits, now that the event is in the log.
    pub async fn position(mut self, deadline: Instant) -> Result<Position, Failure> {
        self.numbering.wake.notify_one();
        match tokio::time::timeout_at(deadline, &mut self.told).await {
            Ok(Ok(position)) => Ok(position),
            _ => Err(Failure::Unavailable("the event was written, and not numbered in time".to_owned())),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.told.close();
        let mut waiting = self.numbering.lock();
        if let Some(tells) = waiting.get_mut(&self.event) {
            tells.retain(|tell| !tell.is_closed());
            if tells.is_empty() {
                waiting.remove(&self.event);
            }
        }
    }
}

/// Where the search for events that nobody has numbered stands.
struct Scan {
    /// Up to here there is no unnumbered event.
    clean: Option<Place>,
    next: Instant,
    /// An unnumbered event, and when it was first seen.
    orphan: Option<(Place, Instant)>,
    batch: usize,
}

impl Default for Scan {
    fn default() -> Self {
        Self { clean: None, next: Instant::now(), orphan: None, batch: BATCH_MAX }
    }
}

impl Scan {
    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    fn pause(&self) -> Duration {
        LOOK_IDLE.min(self.next.saturating_duration_since(Instant::now())).max(Duration::from_millis(1))
    }

    fn found_nothing(&mut self, tail: Option<Place>) {
        self.clean = self.clean.max(tail);
        self.orphan = None;
        self.next = Instant::now() + SCAN_EVERY;
    }

    /// Whether the first unnumbered event has been there for long enough: its own writer would have numbered it.
    fn is_orphan(&mut self, first: Place) -> bool {
        let now = Instant::now();
        match self.orphan {
            Some((place, since)) if place == first && now.duration_since(since) >= ADOPT_AFTER => {
                self.orphan = None;
                true
            }
            Some((place, _)) if place == first => false,
            _ => {
                self.orphan = Some((first, now));
                self.next = now + ADOPT_AFTER;
                false
            }
        }
    }
}

async fn last_link(
    connection: &Connection,
    names: &Names,
    deadline: Instant,
) -> Result<(i64, Option<Place>), LogError> {
    let options = ReadStreamOptions::default().position(StreamPosition::End).max_count(1);
    let links = page(connection, names.positions(), options, deadline).await?;
    let Some(link) = links.first().map(eventstore::ResolvedEvent::get_original_event) else { return Ok((0, None)) };
    Ok((link.revision as i64 + 1, Some(Link::place(link)?)))
}
