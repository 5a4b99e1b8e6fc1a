//! `demo.set-value`: writes a short text into a file of the demo folder, and notes each effect once by its key.

use super::{folder, plain_name};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

/// The file in which each effect leaves a line: its idempotency key.
const EFFECTS: &str = "effects.log";
const VALUE_BYTES_MAX: u64 = 64 * 1024;

/// Writes a value into a file.
#[derive(Debug)]
pub struct SetValue;

/// What it is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The file in the component's `demo_folder`: letters, digits and -.
    file: String,
    /// What is to stand in it.
    value: String,
}

/// What stood in the file.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// `None` where there was no file.
    value: Option<String>,
}

impl Act for SetValue {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "demo.set-value",
        version: 1,
        title: "Write a value into a file of the demo folder",
        components: &[ComponentKind::Host],
        outputs: &[OutputSpec { name: "value", kind: OutputKind::Text }],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(10),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        plain_name(&parameters.file)?;
        Ok(State { value: read(&folder(target)?.join(&parameters.file))? })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        if before.value.as_ref() == Some(&parameters.value) {
            return Vec::new();
        }
        let was = before.value.as_deref().map_or("no file".to_owned(), |value| format!("{value:?}"));
        vec![Change {
            summary: format!("write {:?} into {} in place of {was}", parameters.value, parameters.file),
            subject: parameters.file.clone(),
            from: before.value.clone().map(Into::into),
            to: Some(parameters.value.clone().into()),
        }]
    }

    fn blast(parameters: &Parameters, _before: &State) -> BlastRadius {
        let bytes = parameters.value.len() as u64;
        BlastRadius { deployments: 1, documents: 1, bytes, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _before: &State) -> Result<Outputs, ActionError> {
        plain_name(&parameters.file)?;
        let folder = folder(target)?;
        note_effect(&folder.join(EFFECTS), &target.idempotency_key)?;
        write(&folder, &parameters.file, &parameters.value)?;
        Ok(Outputs::from([("value".to_owned(), parameters.value.clone().into())]))
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _before: &State) -> Result<Verified, ActionError> {
        Ok(match read(&folder(target)?.join(&parameters.file))? {
            Some(value) if value == parameters.value => Verified::Done,
            Some(value) => Verified::NotDone(format!("{} holds {value:?}", parameters.file)),
            None => Verified::NotDone(format!("there is no {}", parameters.file)),
        })
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let folder = folder(target)?;
        match &before.value {
            Some(value) => write(&folder, &parameters.file, value),
            None => match fs::remove_file(folder.join(&parameters.file)) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(trouble(&folder, &error)),
                _ => Ok(()),
            },
        }
    }
}

/// The effect whose at-most-once the tests count: whoever repeats the step finds its key.
fn note_effect(path: &Path, key: &str) -> Result<(), ActionError> {
    let known = match fs::read_to_string(path) {
        Ok(text) => text.lines().any(|line| line == key),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(trouble(path, &error)),
    };
    if known {
        return Ok(());
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| trouble(path, &error))?;
    file.write_all(format!("{key}\n").as_bytes()).map_err(|error| trouble(path, &error))
}

fn read(path: &Path) -> Result<Option<String>, ActionError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble(path, &error)),
        Ok(known) if known.len() > VALUE_BYTES_MAX => {
            return Err(ActionError::precondition(format!("{} is larger than 64 KiB", path.display())));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(|error| trouble(path, &error))
}

/// At once or not at all.
fn write(folder: &Path, file: &str, value: &str) -> Result<(), ActionError> {
    let beside = folder.join(format!(".{file}.new"));
    fs::write(&beside, value).map_err(|error| trouble(&beside, &error))?;
    fs::rename(&beside, folder.join(file)).map_err(|error| trouble(folder, &error))
}

fn trouble(path: &Path, error: &std::io::Error) -> ActionError {
    ActionError::target(format!("{}: {error}", path.display()))
}
