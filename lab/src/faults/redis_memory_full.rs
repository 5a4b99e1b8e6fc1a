//! The cache has hardly any memory left. Only where the lab was given a Redis server.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use crate::redis;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "redis-memory-full",
    title: "The cache is nearly out of memory",
    breaks: "maxmemory is set to hardly more than the cache uses",
    expects: &[must("REDIS-MEMORY", ""), may("REDIS-EVICTIONS"), may("REDIS-REJECTED")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: Some(|context| Box::pin(refresh(context))),
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let used = redis::used_memory(context.folders()).await?;
    context.set_redis("maxmemory-policy", "noeviction").await?;
    // In whole percent: 97.
    context.set_redis("maxmemory", &(used * 100 / 97).to_string()).await
}

/// A Redis server that was started anew has forgotten its limit.
async fn refresh(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    if redis::get_setting(context.folders(), "maxmemory").await? == "0" { inject(context).await } else { Ok(()) }
}
