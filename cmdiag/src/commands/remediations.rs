//! `cmdiag remediations`.

use crate::cli::{Format, RemediationsCommand};
use crate::commands::find_deployment;
use crate::platform::Platform;
use crate::{output, tree};
use anyhow::{Result, anyhow, bail};
use domain::RemediationId;
use query_side::{PageRequest, RemediationFilter, RemediationView};
use std::str::FromStr as _;

/// Lists or shows remediations.
pub async fn run(platform: &Platform, format: Format, command: &RemediationsCommand) -> Result<()> {
    match command {
        RemediationsCommand::List { deployment, open, limit, .. } => {
            let deployment = match deployment {
                Some(name) => Some(find_deployment(platform, name).await?.id),
                None => None,
            };
            let filter = RemediationFilter {
                tenant: Some(platform.tenant.to_string()),
                deployment,
                at_rest: open.then_some(false),
                ..RemediationFilter::default()
            };
            let page = platform.queries.remediations(&filter, &PageRequest::first(i64::from(*limit))).await?;
            list(format, &page.items)
        }
        RemediationsCommand::Show { remediation, .. } => show(platform, format, remediation).await,
    }
}

fn list(format: Format, remediations: &[RemediationView]) -> Result<()> {
    let header = ["remediation", "status", "check", "resource", "runbook", "steps", "asked by", "asked at", "reason"];
    output::list(format, &header, remediations, |view| {
        vec![
            view.id.to_string(),
            output::coloured(view.state.phase.as_str()),
            view.check_code.clone(),
            view.resource.clone(),
            view.runbook.clone().unwrap_or_default(),
            format!("{}/{}", view.steps_done, view.steps),
            view.requested_by.clone(),
            view.requested_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            view.reason.clone().unwrap_or_default(),
        ]
    })
}

async fn show(platform: &Platform, format: Format, text: &str) -> Result<()> {
    let Ok(id) = RemediationId::from_str(text) else { bail!("{text:?} is not a remediation's id") };
    let view = platform.queries.remediation(id).await?.filter(|view| view.tenant == platform.tenant.as_str());
    let view = view.ok_or_else(|| anyhow!("there is no remediation {id}"))?;
    if format == Format::Json {
        return output::json(&view);
    }
    output::line(&format!("{} {} (finding {})", view.check_code, view.resource, view.finding_id))?;
    output::line(&tree::describe(&view.state))?;
    for approval in &view.state.approvals {
        let behalf = approval.on_behalf_of.as_ref().map(|who| format!(" instead of {who}")).unwrap_or_default();
        output::line(&format!("  approved by {}{behalf}: {}", approval.by, approval.comment))?;
    }
    let reason = view.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    output::line(&format!("  {}{reason}", output::coloured(view.state.phase.as_str())))?;
    match tree::next_step(&view.state, &view.finding_id.to_string()) {
        Some(next) => output::line(&format!("  next: {next}")),
        None => Ok(()),
    }
}
