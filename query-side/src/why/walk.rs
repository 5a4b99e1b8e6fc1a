//! From what is asked about to its causes and its consequences. Each level is one statement and bounded reads of the
//! log.

use super::commands::{self, CommandView};
use super::{WhyBounds, graph};
use crate::error::QueryError;
use crate::queries::{HISTORY_MAX, Queries};
use crate::why::{FindingOrigin, Why};
use domain::any_event::{FINDING, REMEDIATION};
use domain::{FindingId, Position, StreamVersion, TenantId};
use event_store::{EventLog, LogError, RecordedEvent, StreamId};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Where an event stands. `$1` event ids.
pub(crate) const POSITIONS: &str = "SELECT event_id, last_position FROM view_causation WHERE event_id = ANY($1)";
/// Where the events stand that answer these. `$1` event ids, `$2` the most.
pub(crate) const ANSWERS: &str =
    "SELECT last_position FROM view_causation WHERE causation_id = ANY($1) ORDER BY last_position LIMIT $2";
/// The remediations of a finding, newest first. `$1` the finding, `$2` the tenant, `$3` the most.
pub(crate) const REMEDIATIONS: &str = "SELECT id FROM view_remediations WHERE finding_id = $1 AND tenant = $2 \
    ORDER BY requested_at DESC, id DESC LIMIT $3";

/// How many events are read from the log at once.
const READS_AT_ONCE: usize = 8;
/// How many of a stream's newest events are looked at beside its first.
const STREAM_EVENTS: usize = 40;
/// How many pages of a stream are read to find its newest events.
const STREAM_PAGES_MAX: usize = 100;
/// How many remediations of a finding are told of.
const REMEDIATIONS_MAX: i64 = 10;

pub(super) struct Walk<'a> {
    queries: &'a Queries,
    log: Arc<dyn EventLog>,
    tenant: &'a TenantId,
    bounds: WhyBounds,
    /// By position: what happened is told in the order in which it happened.
    events: BTreeMap<(i64, Uuid), RecordedEvent>,
    known: HashSet<Uuid>,
    /// Commands that have no events.
    silent: Vec<CommandView>,
    /// What was asked about: an event's id, or a command's where it has no events.
    subjects: Vec<Uuid>,
    finding: Option<FindingId>,
    truncated: bool,
}

impl<'a> Walk<'a> {
    pub fn new(queries: &'a Queries, tenant: &'a TenantId, bounds: WhyBounds) -> Result<Self, QueryError> {
        let log = queries.log().ok_or(LogError::Closed)?;
        Ok(Self {
            queries,
            log: Arc::clone(log),
            tenant,
            bounds,
            events: BTreeMap::new(),
            known: HashSet::new(),
            silent: Vec::new(),
            subjects: Vec::new(),
            finding: None,
            truncated: false,
        })
    }

    /// The finding that was asked about.
    pub fn finding(&self) -> Option<FindingId> {
        self.finding
    }

    /// Begins with the first of these streams that there is: its first event and its newest ones.
    pub async fn begin_at_streams(&mut self, streams: &[(&str, Uuid)]) -> Result<bool, QueryError> {
        for (kind, id) in streams {
            let events = self.stream(kind, *id).await?;
            if events.is_empty() {
                continue;
            }
            self.subjects = events.iter().map(|event| event.event_id).collect();
            for event in events {
                self.take(event);
            }
            if *kind == FINDING {
                self.finding = Some(FindingId(*id));
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Begins with an event.
    pub async fn begin_at_event(&mut self, id: Uuid) -> Result<bool, QueryError> {
        let found = self.by_ids(&[id]).await?;
        self.subjects = found.iter().map(|event| event.event_id).collect();
        for event in found {
            self.take(event);
        }
        Ok(!self.subjects.is_empty())
    }

    /// Begins with a command: its events, or itself where it has none.
    pub async fn begin_at_command(&mut self, id: Uuid) -> Result<bool, QueryError> {
        let found = commands::read(self.queries.pool(), &[id]).await?.pop();
        let Some(command) = found.filter(|command| command.tenant == self.tenant.as_str()) else { return Ok(false) };
        if let Some((first, last)) = command.positions {
            let limit = (last - first + 1).clamp(1, self.bounds.nodes) as usize;
            self.truncated |= last - first >= self.bounds.nodes;
            let events = self.own(self.log.read_all(Position(first - 1), limit).await?);
            self.subjects = events.iter().map(|event| event.event_id).collect();
            for event in events {
                self.take(event);
            }
        } else {
            self.subjects = vec![id];
            self.silent.push(command);
        }
        Ok(true)
    }

    /// Up: from each event to the one that its command answered, until somebody outside asked.
    pub async fn walk_to_the_causes(&mut self) -> Result<(), QueryError> {
        for _ in 0..self.bounds.depth {
            let of_events = self.events.values().filter_map(|event| event.metadata.causation_id);
            let of_commands = self.silent.iter().filter_map(|command| command.causation_id);
            let missing: HashSet<Uuid> =
                of_events.chain(of_commands).filter(|cause| !self.known.contains(cause)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let mut missing: Vec<Uuid> = missing.into_iter().collect();
            missing.sort_unstable();
            let room = self.room();
            self.truncated |= missing.len() > room;
            missing.truncate(room);
            let before = self.events.len();
            for event in self.by_ids(&missing).await? {
                self.take(event);
            }
            if self.events.len() == before {
                // The view has not come so far, or the cause is not the tenant's.
                return Ok(());
            }
        }
        self.truncated = true;
        Ok(())
    }

    /// Down: to the events that answer, and to the commands that were refused or had nothing to do.
    pub async fn walk_to_the_consequences(&mut self) -> Result<(), QueryError> {
        self.remediations_of_the_finding().await?;
        let mut frontier = self.subjects.clone();
        for _ in 0..self.bounds.depth {
            if frontier.is_empty() {
                return Ok(());
            }
            let room = self.room();
            if room == 0 {
                self.truncated = true;
                return Ok(());
            }
            self.silent_answers(&frontier, room).await?;
            let most = self.room() as i64 + self.known.len() as i64 + 1;
            let positions: Vec<i64> =
                sqlx::query_scalar(ANSWERS).bind(&frontier).bind(most).fetch_all(self.queries.pool()).await?;
            let seen: HashSet<i64> = self.events.keys().map(|(position, _)| *position).collect();
            let mut fresh: Vec<i64> = positions.into_iter().filter(|position| !seen.contains(position)).collect();
            fresh.dedup();
            let room = self.room();
            self.truncated |= fresh.len() > room;
            fresh.truncate(room);
            let events = self.at(&fresh).await?;
            frontier = events.iter().map(|event| event.event_id).collect();
            for event in events {
                self.take(event);
            }
        }
        self.truncated |= !frontier.is_empty();
        Ok(())
    }

    /// What a person did about a finding answers no event of it: the remediation itself says what it is about.
    async fn remediations_of_the_finding(&mut self) -> Result<(), QueryError> {
        let Some(finding) = self.finding else { return Ok(()) };
        let ids: Vec<Uuid> = sqlx::query_scalar(REMEDIATIONS)
            .bind(finding.0)
            .bind(self.tenant.as_str())
            .bind(REMEDIATIONS_MAX)
            .fetch_all(self.queries.pool())
            .await?;
        for id in ids {
            for event in self.stream(REMEDIATION, id).await? {
                if self.room() == 0 {
                    self.truncated = true;
                    return Ok(());
                }
                self.subjects.push(event.event_id);
                self.take(event);
            }
        }
        Ok(())
    }

    async fn silent_answers(&mut self, causes: &[Uuid], room: usize) -> Result<(), QueryError> {
        let found: Vec<CommandView> = sqlx::query_as(&commands::without_events())
            .bind(causes)
            .bind(room as i64 + 1)
            .fetch_all(self.queries.pool())
            .await?;
        self.truncated |= found.len() > room;
        let known: HashSet<Uuid> = self.silent.iter().map(|command| command.id).collect();
        let own = |command: &CommandView| command.tenant == self.tenant.as_str() && !known.contains(&command.id);
        self.silent.extend(found.into_iter().take(room).filter(own));
        Ok(())
    }

    /// Nodes and edges, with the commands and the requests between the events.
    pub async fn into_graph(self, origin: Option<FindingOrigin>) -> Result<Why, QueryError> {
        let mut ids: Vec<Uuid> = self.events.values().map(|event| event.metadata.command_id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        let commands = commands::read(self.queries.pool(), &ids).await?;
        let commands: HashMap<Uuid, CommandView> = commands.into_iter().map(|command| (command.id, command)).collect();
        let parts = graph::Parts {
            events: self.events.into_values().collect(),
            commands,
            silent: self.silent,
            subjects: self.subjects,
            origin,
            nodes_max: self.bounds.nodes as usize,
            truncated: self.truncated,
        };
        Ok(graph::of(parts))
    }

    /// How many more events there may be: each has a command beside it.
    fn room(&self) -> usize {
        (self.bounds.nodes as usize / 2).saturating_sub(self.events.len() + self.silent.len())
    }

    fn take(&mut self, event: RecordedEvent) {
        if self.known.insert(event.event_id) {
            self.events.insert((event.position.0, event.event_id), event);
        }
    }

    fn own(&self, events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        events.into_iter().filter(|event| event.metadata.tenant == *self.tenant).collect()
    }

    /// A stream's first event and its newest ones.
    async fn stream(&mut self, kind: &str, id: Uuid) -> Result<Vec<RecordedEvent>, QueryError> {
        let stream = StreamId::new(kind, &id.to_string());
        let (mut first, mut newest, mut after) = (None, VecDeque::new(), StreamVersion(0));
        for page in 0..=STREAM_PAGES_MAX {
            let events = self.log.read_stream(stream.clone(), after, HISTORY_MAX).await?;
            let is_last = events.len() < HISTORY_MAX;
            after = events.last().map_or(after, |event| event.version);
            for event in events.into_iter().flat_map(whole) {
                if first.is_none() {
                    first = Some(event);
                    continue;
                }
                newest.push_back(event);
                if newest.len() > STREAM_EVENTS {
                    newest.pop_front();
                    self.truncated = true;
                }
            }
            if is_last {
                break;
            }
            self.truncated |= page == STREAM_PAGES_MAX;
        }
        Ok(self.own(first.into_iter().chain(newest).collect()))
    }

    async fn by_ids(&self, ids: &[Uuid]) -> Result<Vec<RecordedEvent>, QueryError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(POSITIONS).bind(ids).fetch_all(self.queries.pool()).await?;
        let wanted: HashSet<Uuid> = ids.iter().copied().collect();
        let positions: Vec<i64> = rows.into_iter().map(|(_, position)| position).collect();
        let events = self.at(&positions).await?;
        Ok(events.into_iter().filter(|event| wanted.contains(&event.event_id)).collect())
    }

    /// The events at these positions.
    async fn at(&self, positions: &[i64]) -> Result<Vec<RecordedEvent>, QueryError> {
        let read = |position: i64| {
            let log = Arc::clone(&self.log);
            async move { log.read_all(Position(position - 1), 1).await }
        };
        let found: Vec<Vec<RecordedEvent>> =
            stream::iter(positions.to_vec()).map(read).buffered(READS_AT_ONCE).try_collect().await?;
        Ok(self.own(found.into_iter().flatten().flat_map(whole).collect()))
    }
}

/// The events that an event as read is: upcasters may have made several of it, or none.
fn whole(event: RecordedEvent) -> Vec<RecordedEvent> {
    if event.is_packed() { event.parts().into_iter().map(Cow::into_owned).collect() } else { vec![event] }
}
