//! A workgroup server runs, but writes nothing any more.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, must};
use chrono::{DateTime, Local, TimeDelta};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "log-silent",
    title: "The log of wgs-2 is silent",
    breaks: "The log of wgs-2 ends three hours ago; a restart of wgs-2 cures it",
    expects: &[must("CM-LOG-SILENT", "wgs-2")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    // First the writer stops, then the files may be moved.
    context.switch(vec![Switch::LogSilent { log: "wgs-2".to_owned() }]).await?;
    let end = DateTime::<Local>::from(context.now() - TimeDelta::hours(3));
    let folder = context.folders().logs("wgs-2");
    let name = |at: DateTime<Local>| at.format("TRIMWorkgroup_%Y_%m_%d.log").to_string();
    let last = folder.join(name(end));
    let text = std::fs::read_to_string(&last).map_err(LabError::io("read", &last))?;
    let clock = end.format("%H:%M:%S").to_string();
    let kept: String =
        text.split_inclusive('\n').filter(|line| line.get(..8).is_some_and(|at| *at <= *clock)).collect();
    for path in files_from(&folder, &name(end))? {
        context.stash(&path)?;
    }
    context.create(&last, kept.as_bytes(), 0o644, end.into())
}

/// The workgroup server's log files of this name's day and later.
fn files_from(folder: &Path, first: &str) -> Result<Vec<PathBuf>, LabError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(LabError::io("list", folder))? {
        let entry = entry.map_err(LabError::io("list", folder))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("TRIMWorkgroup_") && name >= first) {
            found.push(entry.path());
        }
    }
    Ok(found)
}
