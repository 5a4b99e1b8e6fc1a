//! The projections themselves: how far their views are, and what an operator decides where one stands still.

use super::codes::{NOT_FOUND, OPERATION_NOT_ALLOWED, coded};
use super::context::{caller, command_error, queries, query_error};
use super::mutation::{Accepted, CommandRefused, command_id, send};
use super::scalars::PositionScalar;
use crate::auth::is_operator;
use crate::options::ApiOptions;
use async_graphql::{Context, InputObject, Object, Result, SimpleObject, Union};
use chrono::{DateTime, Utc};
use command_side::CommandBus;
use domain::Position;
use domain::projection_control::{ProjectionControl, ProjectionControlCommand};
use query_side::ProjectionPosition;
use std::sync::Arc;
use uuid::Uuid;

/// A projection, and how far its view has come.
#[derive(SimpleObject)]
pub struct Projection {
    /// Its name.
    name: String,
    /// The last event that the view holds.
    position: PositionScalar,
    /// When it last moved.
    updated_at: DateTime<Utc>,
    /// The event that it can not take: it stands still before it, and nothing is passed over.
    failed_position: Option<PositionScalar>,
    /// Why it can not.
    failure: Option<String>,
}

impl From<ProjectionPosition> for Projection {
    fn from(one: ProjectionPosition) -> Self {
        let (failed_position, failure) = one.failure.unzip();
        Self {
            name: one.name,
            position: Position(one.position).into(),
            updated_at: one.updated_at,
            failed_position: failed_position.map(|position| Position(position).into()),
            failure,
        }
    }
}

/// What there is to ask about projections.
#[derive(Default)]
pub struct Projections;

#[Object]
impl Projections {
    /// Every projection by name, and where one stands still.
    async fn projections(&self, ctx: &Context<'_>) -> Result<Vec<Projection>> {
        let all = queries(ctx)?.projection_positions().await.map_err(|error| query_error(&error))?;
        Ok(all.into_iter().map(Projection::from).collect())
    }
}

/// It was decided.
#[derive(SimpleObject)]
pub struct SkipAccepted {
    /// The position of the decision itself, as an event.
    position: PositionScalar,
    /// How many decisions there are about the projection.
    version: i64,
    /// Whether the same command had been executed before, and this is what happened then.
    repeated: bool,
}

/// What became of `skipPoisonEvent`.
#[derive(Union)]
pub enum SkipPoisonEventPayload {
    /// It was accepted.
    Accepted(SkipAccepted),
    /// It was refused.
    Refused(CommandRefused),
}

/// Which event a projection is to pass over.
#[derive(InputObject)]
pub struct SkipPoisonEventInput {
    /// The projection.
    projection: String,
    /// The event before which it stands still.
    position: PositionScalar,
    /// Why. It stays on record.
    reason: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// What an operator decides about projections.
#[derive(Default)]
pub struct ProjectionMutation;

#[Object]
impl ProjectionMutation {
    /// Passes over the event before which a projection stands still, now and in every replay. For operators only.
    async fn skip_poison_event(
        &self,
        ctx: &Context<'_>,
        input: SkipPoisonEventInput,
    ) -> Result<SkipPoisonEventPayload> {
        if !is_operator(ctx.data::<ApiOptions>()?, &caller(ctx)?.actor) {
            return Err(coded(OPERATION_NOT_ALLOWED, "only an operator decides what a projection passes over"));
        }
        let command_id = command_id(ctx, "skipPoisonEvent", input.idempotency_key.as_deref())?;
        let all = queries(ctx)?.projection_positions().await.map_err(|error| query_error(&error))?;
        let known = all.into_iter().find(|one| one.name == input.projection);
        let known = known.ok_or_else(|| coded(NOT_FOUND, format!("there is no projection {}", input.projection)))?;
        let position = input.position.0;
        let id = ProjectionControl::of(&known.name);
        let failure = match known.failure.filter(|(failed, _)| *failed == position.0) {
            Some((_, failure)) => failure,
            // Sent again after the projection went on, it is still the same decision.
            None => decided(ctx, id, position).await?.ok_or_else(|| {
                coded(NOT_FOUND, format!("{} does not stand still before position {position}", known.name))
            })?,
        };
        let (projection, reason) = (known.name, input.reason);
        let command = ProjectionControlCommand::SkipEvent { projection, position, failure, reason };
        Ok(match send::<ProjectionControl>(ctx, id, command_id, command).await? {
            Ok(Accepted { position, version, repeated }) => {
                SkipPoisonEventPayload::Accepted(SkipAccepted { position, version, repeated })
            }
            Err(refused) => SkipPoisonEventPayload::Refused(refused),
        })
    }
}

/// Why the projection could not take an event that it passes over already.
async fn decided(ctx: &Context<'_>, id: Uuid, position: Position) -> Result<Option<String>> {
    let bus = ctx.data::<Arc<CommandBus>>()?;
    let (state, _) = bus.load::<ProjectionControl>(id).await.map_err(|error| command_error(&error))?;
    Ok(state.skipped.get(&position.0).map(|skipped| skipped.failure.clone()))
}
