//! Putting on record that a view was exchanged: caches forget what they know of it, and auditors see it.

use anyhow::{Context, Result};
use command_side::CommandBus;
use domain::projection_control::ProjectionControl;
use domain::{Actor, CommandId, Metadata, TenantId};
use projections::rebuild::{self, Exchanged};
use sqlx::PgPool;
use std::time::Duration;

/// How often a server looks for exchanges that are not on record: its own projectors', and those of processes that
/// died.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Puts one exchange on record; once more changes nothing.
pub async fn record(pool: &PgPool, bus: &CommandBus, done: &Exchanged) -> Result<()> {
    let (actor, tenant): (Actor, TenantId) = (done.actor.parse()?, done.tenant.parse()?);
    let metadata = Metadata::new(actor, tenant, CommandId(done.id));
    bus.execute::<ProjectionControl>(ProjectionControl::of(&done.name), done.command(), metadata).await?;
    rebuild::forget_recorded(pool, done.id).await?;
    Ok(())
}

/// Puts on record what others left.
pub async fn record_left_over(pool: &PgPool, bus: &CommandBus) -> Result<()> {
    for done in rebuild::unrecorded(pool).await? {
        record(pool, bus, &done).await.context("put an earlier exchange on record")?;
    }
    Ok(())
}

/// Does so for as long as it is waited for.
pub async fn record_all(pool: PgPool, bus: CommandBus) {
    loop {
        if let Err(error) = record_left_over(&pool, &bus).await {
            tracing::warn!(error = format!("{error:#}"), "projections.unrecorded: an exchange is not on record yet");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
