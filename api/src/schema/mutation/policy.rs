//! What may be done, and the emergency stop.

use super::{command_id, send};
use crate::schema::codes::{BAD_USER_INPUT, coded};
use crate::schema::context::{caller, named};
use crate::schema::mutation::{Accepted, CommandRefused};
use crate::schema::scalars::PositionScalar;
use async_graphql::{Context, InputObject, Json, Object, Result, SimpleObject, Union};
use domain::emergency_stop::{EmergencyStop, EmergencyStopCommand};
use domain::policy::{Policy, PolicyCommand, PolicyDefinition};
use domain::{PolicyId, PolicyName};
use serde_json::Value;

/// It was accepted.
#[derive(SimpleObject)]
pub struct ChangeAccepted {
    /// The position of what was written: give it as `atLeast` to read it back.
    position: PositionScalar,
    /// How many events the stream holds now.
    version: i64,
    /// Whether the same command had been executed before, and this is what happened then.
    repeated: bool,
}

macro_rules! change_payload {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Union)]
        pub enum $name {
            /// It was accepted.
            Accepted(ChangeAccepted),
            /// It was refused.
            Refused(CommandRefused),
        }

        impl From<std::result::Result<Accepted, CommandRefused>> for $name {
            fn from(outcome: std::result::Result<Accepted, CommandRefused>) -> Self {
                match outcome {
                    Ok(Accepted { position, version, repeated }) => {
                        Self::Accepted(ChangeAccepted { position, version, repeated })
                    }
                    Err(refused) => Self::Refused(refused),
                }
            }
        }
    };
}

change_payload! {
    /// What became of `definePolicy`, `revisePolicy` or `retirePolicy`.
    PolicyPayload
}
change_payload! {
    /// What became of `engageEmergencyStop` or `releaseEmergencyStop`.
    EmergencyStopPayload
}

/// A policy and what it says.
#[derive(InputObject)]
pub struct PolicyInput {
    /// Its name.
    name: String,
    /// What it says, in the shape of the policy file of the guide on remediation.
    definition: Json<Value>,
    /// Why it is changed; of no concern where it is defined.
    #[graphql(default)]
    reason: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// A policy that is to end.
#[derive(InputObject)]
pub struct RetirePolicyInput {
    /// Its name.
    name: String,
    /// Why.
    reason: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// How to stop.
#[derive(InputObject)]
pub struct EngageEmergencyStopInput {
    /// Take back what has been done by those that are under way.
    #[graphql(default)]
    undo: bool,
    /// Why.
    reason: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// Why to go on.
#[derive(InputObject)]
pub struct ReleaseEmergencyStopInput {
    /// Why.
    reason: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// Policies and the emergency stop.
#[derive(Default)]
pub struct PolicyMutation;

#[Object]
impl PolicyMutation {
    /// Defines a policy in place of the built-in one.
    async fn define_policy(&self, ctx: &Context<'_>, input: PolicyInput) -> Result<PolicyPayload> {
        let policy: PolicyName = named(&input.name)?;
        let command_id = command_id(ctx, "definePolicy", input.idempotency_key.as_deref())?;
        let id = PolicyId::of(&caller(ctx)?.tenant, &policy);
        let command = PolicyCommand::Define { policy, definition: definition(input.definition)? };
        Ok(send::<Policy>(ctx, id.0, command_id, command).await?.into())
    }

    /// Lets a policy say something else from now on.
    async fn revise_policy(&self, ctx: &Context<'_>, input: PolicyInput) -> Result<PolicyPayload> {
        let command_id = command_id(ctx, "revisePolicy", input.idempotency_key.as_deref())?;
        let id = PolicyId::of(&caller(ctx)?.tenant, &named(&input.name)?);
        let command = PolicyCommand::Revise { definition: definition(input.definition)?, reason: input.reason };
        Ok(send::<Policy>(ctx, id.0, command_id, command).await?.into())
    }

    /// Lets the built-in policy decide again.
    async fn retire_policy(&self, ctx: &Context<'_>, input: RetirePolicyInput) -> Result<PolicyPayload> {
        let command_id = command_id(ctx, "retirePolicy", input.idempotency_key.as_deref())?;
        let id = PolicyId::of(&caller(ctx)?.tenant, &named(&input.name)?);
        let command = PolicyCommand::Retire { reason: input.reason };
        Ok(send::<Policy>(ctx, id.0, command_id, command).await?.into())
    }

    /// Stops every remediation at once.
    async fn engage_emergency_stop(
        &self,
        ctx: &Context<'_>,
        input: EngageEmergencyStopInput,
    ) -> Result<EmergencyStopPayload> {
        let command_id = command_id(ctx, "engageEmergencyStop", input.idempotency_key.as_deref())?;
        let id = EmergencyStop::of(&caller(ctx)?.tenant);
        let command = EmergencyStopCommand::Engage { undo: input.undo, reason: input.reason };
        Ok(send::<EmergencyStop>(ctx, id, command_id, command).await?.into())
    }

    /// Lets remediations go on.
    async fn release_emergency_stop(
        &self,
        ctx: &Context<'_>,
        input: ReleaseEmergencyStopInput,
    ) -> Result<EmergencyStopPayload> {
        let command_id = command_id(ctx, "releaseEmergencyStop", input.idempotency_key.as_deref())?;
        let id = EmergencyStop::of(&caller(ctx)?.tenant);
        let command = EmergencyStopCommand::Release { reason: input.reason };
        Ok(send::<EmergencyStop>(ctx, id, command_id, command).await?.into())
    }
}

fn definition(Json(value): Json<Value>) -> Result<PolicyDefinition> {
    serde_json::from_value(value).map_err(|error| coded(BAD_USER_INPUT, format!("the definition: {error}")))
}
