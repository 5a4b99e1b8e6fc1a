//! `cmdiag migrate`.

use crate::config::Config;
use crate::output;
use crate::platform::Servers;
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Applies the migrations that are missing, or with `check` only counts them.
pub async fn run(config: &Config, check: bool) -> Result<ExitCode> {
    let servers = Servers::start(config, false).await?;
    let result = bring_up_to_date(&servers, check).await;
    servers.stop().await;
    result
}

async fn bring_up_to_date(servers: &Servers, check: bool) -> Result<ExitCode> {
    // The owner of the schema, which the platform itself does not run as.
    let url = servers.owner_url();
    if check {
        let missing = migrations::pending(url).await.context("look at the database")?;
        output::line(&format!("{missing} migration(s) missing"))?;
        return Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let applied = migrations::migrate(url).await.context("migrate the database")?;
    output::line(&format!("{applied} migration(s) applied; the schema is up to date"))?;
    Ok(ExitCode::SUCCESS)
}
