//! Deployments: taking them under care, changing them, ending the care.

use super::inputs::{
    AttachComponentInput, ChangeComponentInput, DetachComponentInput, OverrideThresholdInput, RegisterDeploymentInput,
    RestoreThresholdInput, RetireDeploymentInput, ScheduleMaintenanceInput,
};
use super::{command_id, new_stream_id, payload, send};
use crate::schema::context::named;
use crate::schema::ids::local;
use crate::schema::query;
use crate::schema::types::Deployment as DeploymentNode;
use async_graphql::{Context, Object, Result};
use domain::DeploymentId;
use domain::deployment::{Deployment, DeploymentCommand, MaintenanceWindow};

payload! {
    /// What became of `registerDeployment`.
    RegisterDeploymentPayload,
    /// The deployment is under care.
    RegisterDeploymentAccepted, deployment_id, deployment: DeploymentNode, DeploymentId, query::deployment
}
payload! {
    /// What became of `attachComponent`.
    AttachComponentPayload,
    /// The component is added.
    AttachComponentAccepted, deployment_id, deployment: DeploymentNode, DeploymentId, query::deployment
}
payload! {
    /// What became of `changeComponent`.
    ChangeComponentPayload,
    /// The component is changed.
    ChangeComponentAccepted, deployment_id, deployment: DeploymentNode, DeploymentId, query::deployment
}
payload! {
    /// What became of `detachComponent`.
    DetachComponentPayload,
    /// The component is taken out of care.
    DetachComponentAccepted, deployment_id, deployment: DeploymentNode, DeploymentId, query::deployment
}
payload! {
    /// What became of `scheduleMaintenance`.
    ScheduleMaintenancePayload,
    /// The maintenance is announced.
    ScheduleMaintenanceAccepted, deployment_id, deployment: DeploymentNode, DeploymentId, query::deployment
}
payload! {
    /// What became of `overrideThreshold`.
    OverrideThresholdPayload,
    /// The threshold is another one for this deployment.
    OverrideThresholdAccepted, deployment_id, deployment: DeploymentNode, DeploymentId, query::deployment
}
payload! {
    /// What became of `restoreThreshold`.
    RestoreThresholdPayload,
    /// The threshold is the check's own again.
    RestoreThresholdAccepted, deployment_id, deployment: DeploymentNode, DeploymentId, query::deployment
}
payload! {
    /// What became of `retireDeployment`.
    RetireDeploymentPayload,
    /// The deployment is no longer under care; its history stays.
    RetireDeploymentAccepted, deployment_id, deployment: DeploymentNode, DeploymentId, query::deployment
}

/// Deployments.
#[derive(Default)]
pub struct DeploymentMutation;

#[Object]
impl DeploymentMutation {
    /// Takes a deployment under care, with the components that are known.
    async fn register_deployment(
        &self,
        ctx: &Context<'_>,
        input: RegisterDeploymentInput,
    ) -> Result<RegisterDeploymentPayload> {
        let key = input.idempotency_key.as_deref();
        let command_id = command_id(ctx, "registerDeployment", key)?;
        let id = new_stream_id(command_id, key);
        let command = DeploymentCommand::Register {
            name: input.name,
            product_version: input.product_version,
            is_double: input.is_double,
            labels: super::inputs::map(input.labels)?,
            components: input.components.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
        };
        Ok(RegisterDeploymentPayload::of(id.into(), send::<Deployment>(ctx, id, command_id, command).await?))
    }

    /// Adds a component.
    async fn attach_component(&self, ctx: &Context<'_>, input: AttachComponentInput) -> Result<AttachComponentPayload> {
        let id: DeploymentId = local(&input.deployment_id)?;
        let command_id = command_id(ctx, "attachComponent", input.idempotency_key.as_deref())?;
        let command = DeploymentCommand::AttachComponent { component: input.component.try_into()? };
        Ok(AttachComponentPayload::of(id, send::<Deployment>(ctx, id.0, command_id, command).await?))
    }

    /// Replaces a component's settings, secrets and labels.
    async fn change_component(&self, ctx: &Context<'_>, input: ChangeComponentInput) -> Result<ChangeComponentPayload> {
        let id: DeploymentId = local(&input.deployment_id)?;
        let command_id = command_id(ctx, "changeComponent", input.idempotency_key.as_deref())?;
        let command = DeploymentCommand::ChangeComponent { component: input.component.try_into()? };
        Ok(ChangeComponentPayload::of(id, send::<Deployment>(ctx, id.0, command_id, command).await?))
    }

    /// Takes a component out of care.
    async fn detach_component(&self, ctx: &Context<'_>, input: DetachComponentInput) -> Result<DetachComponentPayload> {
        let id: DeploymentId = local(&input.deployment_id)?;
        let command_id = command_id(ctx, "detachComponent", input.idempotency_key.as_deref())?;
        let command = DeploymentCommand::DetachComponent { name: named(&input.name)? };
        Ok(DetachComponentPayload::of(id, send::<Deployment>(ctx, id.0, command_id, command).await?))
    }

    /// Announces a maintenance window: findings are expected then and do not alert.
    async fn schedule_maintenance(
        &self,
        ctx: &Context<'_>,
        input: ScheduleMaintenanceInput,
    ) -> Result<ScheduleMaintenancePayload> {
        let id: DeploymentId = local(&input.deployment_id)?;
        let command_id = command_id(ctx, "scheduleMaintenance", input.idempotency_key.as_deref())?;
        let command = {
            let window = MaintenanceWindow { from: input.from, until: input.until, reason: input.reason };
            DeploymentCommand::ScheduleMaintenance { window }
        };
        Ok(ScheduleMaintenancePayload::of(id, send::<Deployment>(ctx, id.0, command_id, command).await?))
    }

    /// Uses another Nagios range for one threshold of one check.
    async fn override_threshold(
        &self,
        ctx: &Context<'_>,
        input: OverrideThresholdInput,
    ) -> Result<OverrideThresholdPayload> {
        let id: DeploymentId = local(&input.deployment_id)?;
        let command_id = command_id(ctx, "overrideThreshold", input.idempotency_key.as_deref())?;
        let command = DeploymentCommand::OverrideThreshold {
            check: named(&input.check_code)?,
            threshold: input.threshold,
            warning: input.warning,
            critical: input.critical,
            reason: input.reason,
        };
        Ok(OverrideThresholdPayload::of(id, send::<Deployment>(ctx, id.0, command_id, command).await?))
    }

    /// Uses the check's own threshold again.
    async fn restore_threshold(
        &self,
        ctx: &Context<'_>,
        input: RestoreThresholdInput,
    ) -> Result<RestoreThresholdPayload> {
        let id: DeploymentId = local(&input.deployment_id)?;
        let command_id = command_id(ctx, "restoreThreshold", input.idempotency_key.as_deref())?;
        let command =
            DeploymentCommand::RestoreThreshold { check: named(&input.check_code)?, threshold: input.threshold };
        Ok(RestoreThresholdPayload::of(id, send::<Deployment>(ctx, id.0, command_id, command).await?))
    }

    /// Ends the care. The history stays.
    async fn retire_deployment(
        &self,
        ctx: &Context<'_>,
        input: RetireDeploymentInput,
    ) -> Result<RetireDeploymentPayload> {
        let id: DeploymentId = local(&input.deployment_id)?;
        let command_id = command_id(ctx, "retireDeployment", input.idempotency_key.as_deref())?;
        let command = DeploymentCommand::Retire { reason: input.reason };
        Ok(RetireDeploymentPayload::of(id, send::<Deployment>(ctx, id.0, command_id, command).await?))
    }
}
