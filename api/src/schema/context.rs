//! What resolvers share: the request's caller, waiting for a position, pages, and errors with their codes.

use super::as_of::then;
use super::codes::{BAD_USER_INPUT, BEHIND, INTERNAL, NOT_YET, OVERLOADED, TIMEOUT, TOO_MUCH, UNAVAILABLE, coded};
use super::scalars::PositionScalar;
use crate::auth::Caller;
use crate::options::ApiOptions;
use async_graphql::connection::{Connection, Edge, EmptyFields};
use async_graphql::{Context, Error, ObjectType, OutputType, Result};
use domain::{StreamVersion, TenantId};
use event_store::{LiveFeed, LogError, StreamId};
use query_side::{Behind, Cursor, Keyset, Page, PageRequest, Queries, QueryError, Reads};
use std::borrow::Cow;
use std::sync::Arc;

/// Rows of a page where the client does not say.
pub const FIRST: i32 = 50;
/// Rows of a nested list where the client does not say.
pub const FIRST_NESTED: i32 = 20;

/// What a list costs: its items' cost for each of them.
pub const fn list_cost(first: i32, item: usize) -> usize {
    if first <= 0 { 1 } else { 1 + first as usize * item }
}

/// The queries, of the moment that is looked at here.
pub fn queries<'a>(ctx: &Context<'a>) -> Result<Cow<'a, Queries>> {
    match then(ctx) {
        Some(then) => Ok(Cow::Owned(then.queries().clone())),
        None => ctx.data().map(Cow::Borrowed),
    }
}

/// Who asks. An answer that looks at this is not kept for others.
pub fn caller<'a>(ctx: &Context<'a>) -> Result<&'a Caller> {
    if let Some(reads) = ctx.data_opt::<Arc<Reads>>() {
        reads.give_up();
    }
    ctx.data()
}

/// Whose data is asked for: kept answers are told apart by this.
pub fn tenant<'a>(ctx: &Context<'a>) -> Result<&'a TenantId> {
    Ok(&ctx.data::<Caller>()?.tenant)
}

/// Whose a stream is, by its first event, which no view needs to have seen; `None` where there is no such stream.
pub async fn owner(ctx: &Context<'_>, stream: StreamId) -> Result<Option<TenantId>> {
    let log = ctx.data::<Arc<LiveFeed>>()?.log();
    let first = log.read_stream(stream, StreamVersion(0), 1).await.map_err(|error| log_error(&error))?;
    Ok(first.first().map(|event| event.metadata.tenant.clone()))
}

/// Waits, bounded, until the views show what was written at a position.
pub async fn at_least(ctx: &Context<'_>, position: Option<PositionScalar>) -> Result<()> {
    let Some(PositionScalar(position)) = position else { return Ok(()) };
    let bound = ctx.data::<ApiOptions>()?.at_least_timeout;
    waited(queries(ctx)?.wait_for(position, bound).await)
}

/// Waits, bounded, until the named views show what was written at a position.
pub async fn at_least_of(ctx: &Context<'_>, views: &[&str], PositionScalar(position): PositionScalar) -> Result<()> {
    let bound = ctx.data::<ApiOptions>()?.at_least_timeout;
    waited(queries(ctx)?.wait_for_named(views, position, bound).await)
}

/// What came of a bounded wait for the views.
pub fn waited<T>(result: Result<T, Behind>) -> Result<T> {
    match result {
        Ok(reached) => Ok(reached),
        Err(late @ Behind::Late { .. }) => Err(coded(BEHIND, format!("{late}; ask again"))),
        Err(Behind::Query(error)) => Err(query_error(&error)),
    }
}

/// A failed query as an error with its code; what a client can not help is logged here, once.
pub fn query_error(error: &QueryError) -> Error {
    match error {
        QueryError::BadCursor | QueryError::OutOfBounds { .. } | QueryError::PresentOnly(_) => {
            coded(BAD_USER_INPUT, error.to_string())
        }
        QueryError::BeyondEnd { .. } | QueryError::InFuture { .. } => coded(NOT_YET, error.to_string()),
        QueryError::TooMuch { .. } => coded(TOO_MUCH, error.to_string()),
        QueryError::TimedOut => coded(TIMEOUT, error.to_string()),
        QueryError::Unavailable(source) => {
            tracing::warn!(error = %source, "a query found no database");
            coded(UNAVAILABLE, error.to_string())
        }
        QueryError::Log(error) => log_error(error),
        QueryError::Database(source) => {
            tracing::error!(error = %source, "a query failed");
            coded(INTERNAL, "the query failed; the platform's log says why")
        }
    }
}

/// A failed read of the log as an error with its code.
pub fn log_error(error: &LogError) -> Error {
    match error {
        LogError::Unavailable(_) | LogError::Closed => {
            tracing::warn!(error = %error, "the event log can not be read");
            coded(UNAVAILABLE, "the event log can not be reached just now")
        }
        LogError::Damaged { position, reason } => {
            tracing::error!(%position, reason, "the event log is damaged");
            coded(INTERNAL, error.to_string())
        }
    }
}

/// Which part of a list is asked for.
pub fn page_request(first: i32, after: Option<String>) -> PageRequest {
    PageRequest { first: i64::from(first), after: after.map(Cursor) }
}

/// A page as a Relay connection.
pub fn connection<V, N, F>(
    page: Page<V>,
    after: bool,
    fields: F,
    node: impl Fn(V) -> N,
) -> Connection<String, N, F, EmptyFields>
where
    V: Keyset,
    N: OutputType,
    F: ObjectType,
{
    connection_by(page, after, fields, Keyset::cursor, node)
}

/// [`connection`] where a list's cursors are not its rows' usual ones.
pub fn connection_by<V, N, F>(
    page: Page<V>,
    after: bool,
    fields: F,
    cursor: impl Fn(&V) -> Cursor,
    node: impl Fn(V) -> N,
) -> Connection<String, N, F, EmptyFields>
where
    N: OutputType,
    F: ObjectType,
{
    let mut connection = Connection::with_additional_fields(after, page.has_next, fields);
    connection.edges.extend(page.items.into_iter().map(|row| {
        let place = cursor(&row).0;
        Edge::new(place, node(row))
    }));
    connection
}

/// A name or code as the domain has it.
pub fn named<T: std::str::FromStr<Err = domain::ids::InvalidName>>(text: &str) -> Result<T> {
    text.parse().map_err(|error: domain::ids::InvalidName| coded(BAD_USER_INPUT, error.to_string()))
}

/// A failed command, where it is not a refusal.
pub fn command_error(error: &command_side::CommandError) -> Error {
    use super::codes::{CONFLICT, IDEMPOTENCY_KEY_REUSED};
    use command_side::CommandError as Failed;
    match error {
        Failed::Refused { message, .. } => coded(BAD_USER_INPUT, message.clone()),
        Failed::CommandReused => coded(IDEMPOTENCY_KEY_REUSED, "the idempotency key came before with another input"),
        Failed::Conflict => coded(CONFLICT, error.to_string()),
        Failed::Overloaded => coded(OVERLOADED, error.to_string()),
        Failed::TooLarge => coded(BAD_USER_INPUT, error.to_string()),
        Failed::Unavailable(_) => {
            coded(UNAVAILABLE, "the event log can not be reached just now; to repeat it, use its idempotency key")
        }
        Failed::Damaged { reason } => {
            tracing::error!(reason, "a command met damaged data");
            coded(INTERNAL, "the command failed; the platform's log says why")
        }
    }
}
