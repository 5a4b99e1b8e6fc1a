//! `cmdiag deployment`.

use crate::cli::{DeploymentCommand as Cli, Format};
use crate::commands::{find_deployment, shown};
use crate::deployment_file::DeploymentFile;
use crate::output;
use crate::platform::Platform;
use anyhow::{Result, bail};
use domain::deployment::{Deployment, DeploymentCommand};
use domain::{DeploymentId, TenantId};
use query_side::{DeploymentFilter, DeploymentView, PageRequest};
use serde_json::json;
use std::path::Path;
use uuid::Uuid;

/// Adds, lists, shows or retires deployments.
pub async fn run(platform: &Platform, format: Format, command: &Cli) -> Result<()> {
    match command {
        Cli::Add { file } => add(platform, format, file).await,
        Cli::List { .. } => list(platform, format).await,
        Cli::Show { deployment, .. } => show(platform, format, deployment).await,
        Cli::Retire { deployment, reason } => retire(platform, deployment, reason).await,
    }
}

async fn add(platform: &Platform, format: Format, file: &Path) -> Result<()> {
    let file = DeploymentFile::read(file)?;
    let name = file.name.clone();
    let id = register(platform, file).await?;
    if format == Format::Json {
        return output::json(&json!({ "id": id, "name": name }));
    }
    output::line(&format!("{name} is under care as {id}"))?;
    output::line(&format!("next: cmdiag diagnose {} --watch", quoted(&name)))
}

/// Registers what a file describes; waits until the views show it.
pub async fn register(platform: &Platform, file: DeploymentFile) -> Result<DeploymentId> {
    let tenant: &TenantId = &platform.tenant;
    if let Some(other) = platform.queries.deployment_named(&file.name, Some(tenant.as_str())).await?
        && other.retired_at.is_none()
    {
        bail!("{} is already under care as {}", other.name, other.id);
    }
    let id = DeploymentId(Uuid::now_v7());
    let mut commands = vec![];
    for entry in &file.overrides {
        commands.push(DeploymentCommand::OverrideThreshold {
            check: entry.check.clone(),
            threshold: entry.threshold.clone(),
            warning: entry.warning.clone(),
            critical: entry.critical.clone(),
            reason: entry.reason.clone(),
        });
    }
    commands.insert(0, file.into_command()?);
    let mut position = domain::Position::START;
    for command in commands {
        position = platform.bus.execute::<Deployment>(id.0, command, platform.metadata()).await?.position;
    }
    shown(platform, position).await?;
    Ok(id)
}

async fn list(platform: &Platform, format: Format) -> Result<()> {
    let filter = DeploymentFilter {
        tenant: Some(platform.tenant.to_string()),
        include_retired: true,
        ..DeploymentFilter::default()
    };
    let page = platform.queries.deployments(&filter, &PageRequest::first(PageRequest::MAX)).await?;
    let header = ["name", "id", "version", "components", "health", "critical", "warning", "last run"];
    output::list(format, &header, &page.items, |deployment| {
        vec![
            label(deployment),
            deployment.id.to_string(),
            deployment.product_version.clone(),
            deployment.components.len().to_string(),
            output::coloured(deployment.health.as_str()),
            deployment.open_critical.to_string(),
            deployment.open_warning.to_string(),
            deployment.last_run_at.map_or("never".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string()),
        ]
    })
}

async fn show(platform: &Platform, format: Format, name: &str) -> Result<()> {
    let deployment = find_deployment(platform, name).await?;
    if format == Format::Json {
        return output::json(&deployment);
    }
    output::line(&format!("{}  {}", label(&deployment), deployment.id))?;
    output::line(&format!(
        "Content Manager {}, health {}, {} critical and {} warning finding(s) open",
        deployment.product_version,
        output::coloured(deployment.health.as_str()),
        deployment.open_critical,
        deployment.open_warning
    ))?;
    output::list(format, &["component", "kind", "settings"], &deployment.components, |component| {
        let kind = serde_json::to_value(component.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
        let settings: Vec<String> =
            component.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        vec![component.name.to_string(), kind.unwrap_or_default(), settings.join("\n")]
    })?;
    if deployment.overrides.is_empty() {
        return Ok(());
    }
    output::list(format, &["check", "threshold", "warning", "critical", "reason"], &deployment.overrides, |entry| {
        let shown = |range: &Option<String>| range.clone().unwrap_or_else(|| "-".to_owned());
        let (warning, critical) = (shown(&entry.warning), shown(&entry.critical));
        vec![entry.check.to_string(), entry.threshold.clone(), warning, critical, entry.reason.clone()]
    })
}

async fn retire(platform: &Platform, name: &str, reason: &str) -> Result<()> {
    let deployment = find_deployment(platform, name).await?;
    let command = DeploymentCommand::Retire { reason: reason.to_owned() };
    let done = platform.bus.execute::<Deployment>(deployment.id.0, command, platform.metadata()).await?;
    shown(platform, done.position).await?;
    output::line(&format!("{} is no longer under care; its history stays", deployment.name))
}

/// Its name, with what it is where it is not the real thing.
fn label(deployment: &DeploymentView) -> String {
    let double = if deployment.is_double { " (a double)" } else { "" };
    let retired = if deployment.retired_at.is_some() { " (retired)" } else { "" };
    format!("{}{double}{retired}", deployment.name)
}

fn quoted(name: &str) -> String {
    if name.contains(char::is_whitespace) { format!("{name:?}") } else { name.to_owned() }
}
