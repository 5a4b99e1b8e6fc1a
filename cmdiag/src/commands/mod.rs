//! One file a command.

pub mod actions;
pub mod as_of;
pub mod audit;
pub mod audit_erase;
pub mod audit_keys;
pub mod demo;
pub mod deployment;
pub mod diagnose;
pub mod doctor;
pub mod emergency_stop;
pub mod export;
pub mod findings;
pub mod history;
pub mod lab;
pub mod migrate;
pub mod packs;
pub mod policy;
pub mod projections;
pub mod remediate;
pub mod remediations;
pub mod runs;
pub mod runs_diff;
pub mod schema;
pub mod serve;
pub mod what_if;
pub mod why;

use crate::config::Config;
use crate::platform::{Platform, Roles};
use anyhow::{Context, Result, anyhow};
use domain::Actor;
use query_side::DeploymentView;
use std::time::Duration;

/// How long a command waits for the views to have come as far as the log.
const VIEWS_BOUND: Duration = Duration::from_secs(30);

/// The platform for a command that reads views: its own projector runs along, so that the views are as new as the log
/// even where no server runs. The caller ends both with [`done`].
pub async fn reader(config: Config, actor: Actor) -> Result<(Platform, Roles)> {
    let platform = Platform::connect(config, actor, false).await?;
    let roles = Roles::start(&platform, &[crate::cli::Role::Projector]);
    let platform = Platform { queries: roles.queries.clone(), ..platform };
    let head = platform.log.head().await.context("read the end of the event log")?;
    platform.queries.wait_for(head, VIEWS_BOUND).await.context("the views do not catch up with the event log")?;
    Ok((platform, roles))
}

/// Waits until the views show what a command wrote.
pub async fn shown(platform: &Platform, position: domain::Position) -> Result<()> {
    platform.queries.wait_for(position, VIEWS_BOUND).await.context("the views do not catch up with the event log")
}

/// Ends a command's platform in good order.
pub async fn done(platform: Platform, roles: Roles) {
    roles.stop().await;
    platform.shutdown().await;
}

/// The deployment that a person means by a name or an id.
pub async fn find_deployment(platform: &Platform, name_or_id: &str) -> Result<DeploymentView> {
    let found = platform.queries.deployment_named(name_or_id, Some(platform.tenant.as_str())).await?;
    found.ok_or_else(|| anyhow!("no deployment is called {name_or_id:?}: see `cmdiag deployment list`"))
}
