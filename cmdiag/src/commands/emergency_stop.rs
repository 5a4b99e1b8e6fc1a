//! `cmdiag emergency-stop`.

use crate::cli::{EmergencyStopCommand as Asked, Format};
use crate::commands::shown;
use crate::output;
use crate::platform::Platform;
use anyhow::Result;
use domain::emergency_stop::{EmergencyStop, EmergencyStopCommand};

/// Stops everything, lets it go on, or says which it is.
pub async fn run(platform: &Platform, format: Format, asked: &Asked) -> Result<()> {
    let command = match asked {
        Asked::Engage { undo, reason } => EmergencyStopCommand::Engage { undo: *undo, reason: reason.clone() },
        Asked::Release { reason } => EmergencyStopCommand::Release { reason: reason.clone() },
        Asked::Status { .. } => return status(platform, format).await,
    };
    let id = EmergencyStop::of(&platform.tenant);
    let done = platform.bus.execute::<EmergencyStop>(id, command, platform.metadata()).await?;
    shown(platform, done.position).await?;
    status(platform, format).await
}

async fn status(platform: &Platform, format: Format) -> Result<()> {
    let stop = platform.queries.emergency_stop(&platform.tenant).await?;
    if format == Format::Json {
        return output::json(&stop);
    }
    output::line(&match stop {
        None => "the emergency stop was never engaged".to_owned(),
        Some(stop) if stop.engaged => format!(
            "ENGAGED by {} at {}: {}{}",
            stop.changed_by,
            stop.changed_at.format("%Y-%m-%d %H:%M:%S UTC"),
            stop.reason,
            if stop.undo { " (what was done is taken back)" } else { "" }
        ),
        Some(stop) => format!(
            "not engaged; released by {} at {}: {}",
            stop.changed_by,
            stop.changed_at.format("%Y-%m-%d %H:%M:%S UTC"),
            stop.reason
        ),
    })
}
