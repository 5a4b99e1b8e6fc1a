//! `--as-of`: a list or a thing as it was at a moment of the past.

use crate::cli::{
    Command, DeploymentCommand, EmergencyStopCommand, FindingsCommand, Format, PolicyCommand, RemediationsCommand,
};
use crate::output;
use crate::platform::Platform;
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use query_side::{AsOf, Moment};
use std::io::Write as _;
use std::time::Duration;

/// How long a look at the past waits for the views to have come as far.
const VIEWS_BOUND: Duration = Duration::from_secs(30);

/// Which moment.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct PastArgs {
    /// As it was: with the event at this position and none after it, or with all that was recorded by this time, such
    /// as
    /// 2026-03-01T08:00:00Z
    #[arg(long = "as-of", value_name = "POSITION|TIME")]
    pub as_of: Option<Moment>,
}

impl Command {
    /// The moment that it looks at; none: the present.
    pub fn moment(&self) -> Option<Moment> {
        let (Self::Runs { past, .. }
        | Self::History { past, .. }
        | Self::Deployment(DeploymentCommand::List { past } | DeploymentCommand::Show { past, .. })
        | Self::Findings(FindingsCommand::List { past, .. } | FindingsCommand::Show { past, .. })
        | Self::Remediations(RemediationsCommand::List { past, .. } | RemediationsCommand::Show { past, .. })
        | Self::Policy(PolicyCommand::List { past } | PolicyCommand::Show { past, .. })
        | Self::EmergencyStop(EmergencyStopCommand::Status { past })) = self
        else {
            return None;
        };
        past.as_of
    }
}

/// Lets the platform's queries look at the moment; says which one it is.
pub async fn look_at(platform: &mut Platform, moment: Moment, format: Format) -> Result<()> {
    let queries = platform.queries.as_of(moment, VIEWS_BOUND).await?;
    if let Some(as_of) = queries.looks_at() {
        say(as_of, format)?;
    }
    platform.queries = queries;
    Ok(())
}

/// Says which moment an answer is of.
pub fn say(as_of: &AsOf, format: Format) -> Result<()> {
    let said = said(as_of);
    match format {
        Format::Table => output::line(&said),
        // Standard output is one document.
        Format::Json => {
            let _ = writeln!(std::io::stderr().lock(), "{said}");
            Ok(())
        }
    }
}

fn said(as_of: &AsOf) -> String {
    match as_of.recorded_at {
        Some(at) => {
            let at = at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            format!("as of position {}, recorded at {at}", as_of.position)
        }
        None => "as of position 0: nothing was recorded yet".to_owned(),
    }
}

/// What counts as now.
pub fn now(platform: &Platform) -> DateTime<Utc> {
    platform.queries.looks_at().map_or_else(Utc::now, |as_of| as_of.now)
}
