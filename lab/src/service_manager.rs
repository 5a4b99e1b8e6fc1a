//! The double of a service manager, behind the command contract of the platform: a script that anybody may run, and the
//! answers of the process that keeps the lab up.
//!
//! `sh services/service.sh NAME VERB` leaves a request in `services/requests` and prints what is answered in
//! `services/answers`. Only the process that keeps the lab up answers: a lab that is down has no services.

use crate::control::{self, Control};
use crate::error::LabError;
use crate::layout::{Folders, write_atomically};
use crate::operations::{Service, ServiceState, Verb};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use std::path::PathBuf;

const SCRIPT: &str = include_str!("service.sh");
/// The most requests answered at once.
const REQUESTS_MAX: usize = 64;

/// The script.
pub fn script(folders: &Folders) -> PathBuf {
    folders.services().join("service.sh")
}

/// Makes the script and the folders, and forgets what an earlier process was asked.
pub fn prepare(folders: &Folders) -> Result<(), LabError> {
    for name in ["requests", "answers"] {
        let folder = folders.services().join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(LabError::io("remove", &folder))?;
        }
        std::fs::create_dir_all(&folder).map_err(LabError::io("create", &folder))?;
    }
    write_atomically(&script(folders), SCRIPT.as_bytes(), 0o755)
}

/// One thing that a service was told, and what it says; to be answered when it is in force.
pub struct Told {
    file: String,
    said: Result<(String, Service), LabError>,
}

/// Takes what is asked, and changes what is to be in force.
pub fn take_requests(folders: &Folders, born: DateTime<Utc>, now: DateTime<Utc>) -> Result<Vec<Told>, LabError> {
    let folder = folders.services().join("requests");
    let mut told = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(LabError::io("list", &folder))?.take(REQUESTS_MAX) {
        let path = entry.map_err(LabError::io("list", &folder))?.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if file.ends_with(".making") {
            continue;
        }
        // Gone already: whoever asked does not wait any more.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        std::fs::remove_file(&path).map_err(LabError::io("remove", &path))?;
        told.push(Told { file, said: tell(folders, text.trim(), born, now) });
    }
    Ok(told)
}

fn tell(
    folders: &Folders,
    request: &str,
    born: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(String, Service), LabError> {
    let (name, verb) = request.split_once(' ').unwrap_or((request, ""));
    let verb = Verb::from_name(verb.trim())
        .ok_or_else(|| LabError::Options("a service understands status, drain, start, stop and restart".to_owned()))?;
    let service = if verb == Verb::Status {
        let mut control: Control = crate::layout::read_json(&folders.control())?.unwrap_or_default();
        control.tell_service(name, verb, born, now)?
    } else {
        control::change(folders, |control| control.tell_service(name, verb, born, now))?.1
    };
    Ok((name.to_owned(), service))
}

/// Says what was done, once it is in force.
pub fn answer(folders: &Folders, told: Vec<Told>, failure: Option<&str>) -> Result<(), LabError> {
    for one in told {
        let said = one.said.map_err(|error| crate::with_causes(&error));
        let said = failure.map_or(said, |failure| Err(failure.to_owned()));
        let text = match said {
            Ok((name, service)) => format!("0\n{}\n", state(&name, &service)),
            Err(why) => format!("1\n{}\n", json!({ "error": why, "double": true })),
        };
        write_atomically(&folders.services().join("answers").join(&one.file), text.as_bytes(), 0o644)?;
    }
    Ok(())
}

fn state(name: &str, service: &Service) -> serde_json::Value {
    let (state, detail) = match service.state {
        ServiceState::Running => ("running", "a double runs"),
        ServiceState::Draining => ("degraded", "a double takes no new work"),
        ServiceState::Stopped => ("stopped", "a double is down"),
    };
    let since = service.since.to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({ "state": state, "since": since, "service": name, "detail": detail, "double": true })
}
