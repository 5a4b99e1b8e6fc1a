//! The mutations: each is one command. An accepted one tells the position of what it wrote, for `atLeast`; a refused
//! one is data, with the domain's stable code.

mod deployment;
mod finding;
mod inputs;
mod policy;
mod remediation;
mod run;

use super::codes::{BAD_USER_INPUT, NOT_FOUND, coded};
use super::context::{caller, command_error, owner};
use super::scalars::PositionScalar;
use crate::metrics::{CommandLabels, Metrics};
use async_graphql::{Context, MergedObject, Result, SimpleObject};
use command_side::{CommandBus, CommandError};
use domain::any_event::PROJECTION_CONTROL;
use domain::{CommandId, Decider, ExpectedStream, Metadata};
use event_store::StreamId;
use std::sync::Arc;
use uuid::Uuid;

/// The mutations.
#[derive(MergedObject, Default)]
pub struct Mutation(
    deployment::DeploymentMutation,
    run::RunMutation,
    finding::FindingMutation,
    remediation::RemediationMutation,
    policy::PolicyMutation,
    super::projections::ProjectionMutation,
);

/// The namespace of command ids derived from idempotency keys (a random constant, fixed for ever).
const KEY_NAMESPACE: Uuid = Uuid::from_u128(0x3a1e_55c0_7b0d_4c52_9a8e_21f4_0d6b_c7e3);
const KEY_CHARS_MAX: usize = 200;

/// The platform said no. Nothing has changed; the refusal is on record.
#[derive(Debug, Clone, SimpleObject)]
pub struct CommandRefused {
    /// The refusal's stable code, such as `run_already_ended`.
    code: String,
    /// The refusal in words.
    message: String,
}

/// What an accepted command did.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    /// The position of its last event.
    pub position: PositionScalar,
    /// The stream's version after it.
    pub version: i64,
    /// Whether it had been executed before.
    pub repeated: bool,
}

/// A command's id: of its idempotency key where there is one, so that sending it again finds what happened.
pub fn command_id(ctx: &Context<'_>, operation: &'static str, key: Option<&str>) -> Result<CommandId> {
    let Some(key) = key else { return Ok(CommandId(Uuid::now_v7())) };
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
        return Err(coded(BAD_USER_INPUT, format!("an idempotency key has 1 to {KEY_CHARS_MAX} characters")));
    }
    let tenant = &caller(ctx)?.tenant;
    let name = format!("{}:{tenant}{operation}\n{key}", tenant.as_str().len());
    Ok(CommandId(Uuid::new_v5(&KEY_NAMESPACE, name.as_bytes())))
}

/// The id of what a command starts: of the command's own where that is derived from a key.
pub fn new_stream_id(command: CommandId, key: Option<&str>) -> Uuid {
    match key {
        Some(_) => CommandId::derived(command.0, "stream").0,
        None => Uuid::now_v7(),
    }
}

/// Accepted or refused; or neither, which is an error of the request.
pub type Outcome<E> = std::result::Result<std::result::Result<Accepted, CommandRefused>, E>;

/// Sends one command. A stream of another tenant is one that does not exist.
pub async fn execute<D: Decider>(
    ctx: &Context<'_>,
    id: Uuid,
    command_id: CommandId,
    command: D::Command,
) -> Result<Outcome<CommandError>> {
    let (bus, who) = (ctx.data::<Arc<CommandBus>>()?, caller(ctx)?);
    // What is decided about a projection is the platform's: whoever wrote first owns nothing of it.
    if D::expected_stream(&command) == ExpectedStream::Any && D::TYPE != PROJECTION_CONTROL {
        refuse_strangers(ctx, D::TYPE, id).await?;
    }
    let name = D::command_name(&command);
    let mut metadata = Metadata::new(who.actor.clone(), who.tenant.clone(), command_id);
    metadata.traceparent.clone_from(&who.traceparent);
    let executed = bus.execute::<D>(id, command, metadata).await;
    count(ctx, name, &executed);
    match executed {
        Ok(done) => {
            let position = done.position.into();
            Ok(Ok(Ok(Accepted { position, version: done.version.0, repeated: done.repeated })))
        }
        Err(CommandError::Refused { code, message }) => Ok(Ok(Err(CommandRefused { code, message }))),
        Err(error) => Ok(Err(error)),
    }
}

/// Refuses where the stream is another tenant's; one that nobody has is for the aggregate to judge.
async fn refuse_strangers(ctx: &Context<'_>, kind: &str, id: Uuid) -> Result<()> {
    let who = caller(ctx)?;
    let owner = owner(ctx, StreamId::new(kind, &id.to_string())).await?;
    if owner.is_some_and(|owner| owner != who.tenant) {
        return Err(coded(NOT_FOUND, format!("there is no {kind} {id}")));
    }
    Ok(())
}

/// [`execute`], with what is neither accepted nor refused as an error of the request.
pub async fn send<D: Decider>(
    ctx: &Context<'_>,
    id: Uuid,
    command_id: CommandId,
    command: D::Command,
) -> Result<std::result::Result<Accepted, CommandRefused>> {
    execute::<D>(ctx, id, command_id, command).await?.map_err(|error| command_error(&error))
}

fn count<E>(
    ctx: &Context<'_>,
    command: &'static str,
    executed: &std::result::Result<command_side::Executed<E>, CommandError>,
) {
    let outcome = match executed {
        Ok(done) if done.repeated => "repeated",
        Ok(_) => "accepted",
        Err(error) => error.outcome(),
    };
    if let Ok(metrics) = ctx.data::<Arc<Metrics>>() {
        metrics.commands.get_or_create(&CommandLabels { command, outcome }).inc();
    }
}

/// Declares a mutation's payload: what it says when accepted, or the refusal.
macro_rules! payload {
    ($(#[$doc:meta])* $payload:ident, $(#[$accepted_doc:meta])* $accepted:ident,
     $subject_id:ident, $subject:ident: $node:ty, $id:ty, $load:path) => {
        $(#[$accepted_doc])*
        #[derive(async_graphql::SimpleObject)]
        #[graphql(complex)]
        pub struct $accepted {
            /// The position of what was written: give it as `atLeast` to read it back.
            position: $crate::schema::scalars::PositionScalar,
            /// How many events the stream holds now.
            version: i64,
            /// Whether the same command had been executed before, and this is what happened then.
            repeated: bool,
            #[graphql(skip)]
            id: $id,
        }

        #[async_graphql::ComplexObject]
        impl $accepted {
            /// The global id of what it is about.
            async fn $subject_id(&self) -> async_graphql::ID {
                $crate::schema::ids::global(self.id)
            }

            /// What it is about, as it is now. Waits until the views show what was written.
            #[graphql(complexity = "1 + child_complexity")]
            async fn $subject(&self, ctx: &async_graphql::Context<'_>) -> async_graphql::Result<Option<$node>> {
                $crate::schema::context::at_least(ctx, Some(self.position)).await?;
                $load(ctx, self.id).await
            }
        }

        $(#[$doc])*
        #[derive(async_graphql::Union)]
        pub enum $payload {
            /// It was accepted.
            Accepted($accepted),
            /// It was refused.
            Refused($crate::schema::mutation::CommandRefused),
        }

        impl $payload {
            fn of(
                id: $id,
                outcome: Result<$crate::schema::mutation::Accepted, $crate::schema::mutation::CommandRefused>,
            ) -> Self {
                match outcome {
                    Ok($crate::schema::mutation::Accepted { position, version, repeated }) => {
                        Self::Accepted($accepted { position, version, repeated, id })
                    }
                    Err(refused) => Self::Refused(refused),
                }
            }
        }
    };
}
use payload;
