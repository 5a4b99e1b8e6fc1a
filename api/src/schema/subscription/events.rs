//! The one multiplexed subscription: all events, filtered, from any position on. Nothing is lost or doubled over a
//! reconnect that says after which position it goes on.

use crate::schema::codes::{BAD_USER_INPUT, coded};
use crate::schema::context::{caller, log_error};
use crate::schema::filters::StreamInput;
use crate::schema::scalars::PositionScalar;
use crate::schema::types::{HistoryEvent, StreamType, event_of};
use crate::stream::{LastEventId, ResumeAt};
use async_graphql::{Context, InputObject, Result, Subscription};
use domain::{Position, StreamVersion, TenantId};
use event_store::{FeedSubscription, LiveFeed, LogError, RecordedEvent, StreamId, StreamSubscription};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::collections::VecDeque;
use std::sync::Arc;

const STREAMS_MAX: usize = 100;
const TYPES_MAX: usize = 50;

/// Which events; all where there are no conditions. Conditions of different kinds must all hold.
#[derive(InputObject, Default)]
pub struct EventFilter {
    /// Of any of these streams. With one stream alone, the subscription is woken by that stream only.
    #[graphql(default)]
    streams: Vec<StreamInput>,
    /// Of streams of any of these types.
    #[graphql(default)]
    stream_types: Vec<StreamType>,
    /// Of any of these types, such as `FindingOpened`.
    #[graphql(default)]
    types: Vec<String>,
}

/// Events.
#[derive(Default)]
pub struct EventSubscription;

#[Subscription]
impl EventSubscription {
    /// Events in the order of the log, from after a position on; from now on where none is given.
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] filter: EventFilter,
        #[graphql(desc = "The position of the last event that was received.")] after: Option<PositionScalar>,
    ) -> Result<BoxStream<'static, Result<HistoryEvent>>> {
        let wanted = Wanted::of(filter, caller(ctx)?.tenant.clone())?;
        let feed = ctx.data::<Arc<LiveFeed>>()?;
        let head = feed.log().head().await.map_err(|error| log_error(&error))?;
        let given = ctx.data_opt::<LastEventId>().map(|id| id.0).or(after.map(|after| after.0));
        let after = given.unwrap_or(head);
        if after > head {
            let message = format!("position {after} is after the end of the log, {head}");
            return Err(coded(BAD_USER_INPUT, message));
        }
        let source = match wanted.streams.as_slice() {
            [one] => Source::Stream(feed.subscribe_stream(one.clone(), StreamVersion(0))),
            _ => Source::Log(feed.subscribe(after)),
        };
        let resume = ctx.data::<Arc<ResumeAt>>().ok().cloned();
        let follower = Follower { source, wanted, after, waiting: VecDeque::new(), resume, done: false };
        Ok(stream::unfold(follower, |mut follower| async move {
            let next = follower.next().await?;
            Some((next, follower))
        })
        .boxed())
    }
}

struct Wanted {
    tenant: TenantId,
    streams: Vec<StreamId>,
    stream_types: Vec<StreamType>,
    types: Vec<String>,
}

impl Wanted {
    fn of(filter: EventFilter, tenant: TenantId) -> Result<Self> {
        if filter.streams.len() > STREAMS_MAX || filter.types.len() > TYPES_MAX {
            let message = format!("at most {STREAMS_MAX} streams and {TYPES_MAX} types are taken");
            return Err(coded(BAD_USER_INPUT, message));
        }
        let streams = filter.streams.into_iter().map(StreamInput::into_stream).collect::<Result<_>>()?;
        Ok(Self { tenant, streams, stream_types: filter.stream_types, types: filter.types })
    }

    fn covers(&self, event: &RecordedEvent) -> bool {
        let kind = &*event.stream.aggregate_type;
        event.metadata.tenant == self.tenant
            && (self.streams.is_empty() || self.streams.contains(&event.stream))
            && (self.stream_types.is_empty() || self.stream_types.iter().any(|wanted| wanted.as_str() == kind))
            && (self.types.is_empty() || self.types.contains(&event.event_type))
    }
}

enum Source {
    Log(FeedSubscription),
    Stream(StreamSubscription),
}

struct Follower {
    source: Source,
    wanted: Wanted,
    after: Position,
    waiting: VecDeque<Arc<RecordedEvent>>,
    resume: Option<Arc<ResumeAt>>,
    done: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<HistoryEvent>> {
        if self.done {
            return None;
        }
        while self.waiting.is_empty() {
            if let Err(error) = self.fill().await {
                self.done = true;
                return Some(Err(log_error(&error)));
            }
        }
        let event = self.waiting.pop_front()?;
        // The transport reads this for the message that it is about to send.
        if let Some(resume) = &self.resume {
            resume.set(event.position);
        }
        let told = event_of(&event);
        self.done = told.is_err();
        Some(told)
    }

    async fn fill(&mut self) -> Result<(), LogError> {
        let wanted = |event: &&Arc<RecordedEvent>| event.position > self.after && self.wanted.covers(event);
        match &mut self.source {
            Source::Log(log) => self.waiting.extend(log.next().await?.iter().filter(wanted).cloned()),
            Source::Stream(stream) => self.waiting.extend(stream.next().await?.iter().filter(wanted).cloned()),
        }
        Ok(())
    }
}
