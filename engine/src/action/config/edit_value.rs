//! `config.edit-value`: changes one value in the configuration that administrators have saved, under a new version.
//!
//! The servers' files are not touched: deploying is a step of its own, as it is for administrators.

use super::tcfg::{Stamp, admin, edited, servers};
use super::value_path::ValuePath;
use crate::action::file::{Content, Replaced, Stop, blocking, put_back, replace};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

const VALUE_CHARS_MAX: usize = 2_000;

/// See the module.
pub struct EditValue;

/// What it is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The value: `TRIMConfig/DataSources/Dataset[@id='D1']/@name`. It must mean exactly one.
    path: ValuePath,
    /// What it becomes.
    #[schemars(length(max = 2000))]
    value: String,
    /// What it must be now; whatever it is, where absent.
    #[serde(default)]
    expected: Option<String>,
}

/// What it reads before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The value as it is.
    value: String,
    /// The saved file as it is.
    saved: Stamp,
    /// Its next version: above that of every server and of the saved file.
    next: i64,
    /// What the file becomes.
    content: Content,
}

impl Act for EditValue {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "config.edit-value",
        version: 1,
        title: "Change one value of the saved enterprise configuration",
        components: &[ComponentKind::WorkgroupServer, ComponentKind::EventProcessor],
        outputs: &[OutputSpec { name: "version", kind: OutputKind::Integer }],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_secs(30),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        if parameters.path.is_stamp() {
            return Err(ActionError::configuration("version and GUID follow by rule: they are not edited"));
        }
        if parameters.value.chars().count() > VALUE_CHARS_MAX || parameters.value.chars().any(char::is_control) {
            return Err(ActionError::configuration("the value is too long, or holds a control character"));
        }
        let (place, servers, parameters) = (admin(target)?, servers(target)?, parameters.clone());
        blocking(target, move |stop| {
            let saved = place.read(stop)?;
            let mut highest = saved.stamp.version.max(saved.config.admin_version.unwrap_or(0));
            for (_, server) in servers {
                // A server whose file can not be read may have a higher version: then none is safe.
                let config = server.read(stop)?.config;
                highest = highest.max(config.version).max(config.admin_version.unwrap_or(0));
            }
            let next = highest.checked_add(1);
            let next = next.ok_or_else(|| ActionError::precondition("there is no higher version".to_owned()))?;
            let text = std::str::from_utf8(&saved.bytes);
            let text = text.map_err(|_| ActionError::precondition("the saved configuration is not UTF-8"))?;
            let value = parameters.path.find(text).map_err(ActionError::precondition)?.value;
            must_be_expected(&parameters, &value)?;
            let new = edited(&saved.bytes, &parameters.path, &parameters.value, next);
            let content = Content::of(&new.map_err(ActionError::precondition)?);
            Ok(State { value, saved: saved.stamp, next, content })
        })
        .await
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        let Parameters { path, value, .. } = parameters;
        vec![
            Change {
                summary: format!("set {path} from {:?} to {value:?}", before.value),
                subject: path.to_string(),
                from: Some(json!(before.value)),
                to: Some(json!(value)),
            },
            Change {
                summary: format!("save it as version {} with a new GUID", before.next),
                subject: "version of the saved configuration".to_owned(),
                from: Some(json!(before.saved.version)),
                to: Some(json!(before.next)),
            },
        ]
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { deployments: 1, bytes: before.content.bytes, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let (place, parameters) = (admin(target)?, parameters.clone());
        let (key, before) = (target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop| {
            let saved = place.read(stop)?;
            let version = Outputs::from([("version".to_owned(), json!(before.next))]);
            if saved.stamp.content == before.content {
                return Ok(version);
            }
            let new = edited(&saved.bytes, &parameters.path, &parameters.value, before.next);
            let new = new.map_err(ActionError::precondition)?;
            let (old, root, file) = (&before.saved.content, &saved.root, &saved.file);
            replace(Replaced { root, file, key: &key, old, new: &before.content }, &new)?;
            Ok(version)
        })
        .await
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let (place, parameters, before) = (admin(target)?, parameters.clone(), before.clone());
        blocking(target, move |stop| {
            let saved = place.read(stop)?;
            if saved.stamp.content == before.content {
                return Ok(Verified::Done);
            }
            let (path, version) = (&parameters.path, saved.stamp.version);
            Ok(Verified::NotDone(format!("the saved configuration is version {version}, without the change of {path}")))
        })
        .await
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let (place, key, before) = (admin(target)?, target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop: &Stop| {
            let (root, file) = place.open(stop)?;
            let (old, new) = (&before.saved.content, &before.content);
            put_back(Replaced { root: &root, file: &file, key: &key, old, new })
        })
        .await
    }
}

fn must_be_expected(parameters: &Parameters, value: &str) -> Result<(), ActionError> {
    if parameters.expected.as_deref().is_some_and(|expected| expected != value) {
        let expected = parameters.expected.as_deref().unwrap_or_default();
        return Err(ActionError::precondition(format!("{} is {value:?}, not {expected:?}", parameters.path)));
    }
    if parameters.value == value {
        return Err(ActionError::precondition(format!("{} is {value:?} already", parameters.path)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
