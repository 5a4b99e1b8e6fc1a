//! Actions on services, by a command contract (`docs/service-contract.md`): a program and its arguments from the
//! component's settings, a verb appended, one JSON object as the answer. What is behind it may be systemd, an agent on
//! a Windows machine or any script: it is never a shell string of ours.

pub mod restart;
pub mod start;

mod command;

use super::{ActionError, ActionTarget};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ServiceState {
    /// It works, as far as who starts and stops it can tell.
    Running,
    /// It is down.
    Stopped,
    /// It is neither: it drains, starts, stops, or works in part.
    Degraded,
}

impl ServiceState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Degraded => "degraded",
        }
    }
}

/// What the command says.
#[derive(Debug, Deserialize)]
struct Status {
    state: ServiceState,
    /// Since when.
    #[serde(default)]
    since: Option<DateTime<Utc>>,
}

/// The service that is meant: the component's own, or a further one that it has a command for.
struct Service<'a> {
    argv: Vec<String>,
    label: String,
    target: &'a ActionTarget,
}

/// The most arguments of a command.
const ARGUMENTS_MAX: usize = 32;
const NAME_CHARS_MAX: usize = 64;

impl<'a> Service<'a> {
    fn of(target: &'a ActionTarget, name: Option<&str>) -> Result<Self, ActionError> {
        if let Some(name) = name
            && (name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_plain))
        {
            return Err(ActionError::configuration(format!("{name:?} is no name of a service")));
        }
        let key = name.map_or_else(|| "service_command".to_owned(), |name| format!("service_command_{name}"));
        let text = target.setting(&key)?;
        let wrong = || {
            ActionError::configuration(format!(
                "setting {key:?} of {} is no JSON list of a program and its arguments",
                target.component.name
            ))
        };
        let argv: Vec<String> = serde_json::from_str(text).map_err(|_| wrong())?;
        if argv.is_empty() || argv.len() > ARGUMENTS_MAX || argv[0].is_empty() {
            return Err(wrong());
        }
        let label = name.map_or_else(|| target.component.name.to_string(), str::to_owned);
        Ok(Self { argv, label, target })
    }

    async fn status(&self) -> Result<Status, ActionError> {
        self.tell("status").await
    }

    /// Runs the command with a verb.
    async fn tell(&self, verb: &str) -> Result<Status, ActionError> {
        let output = command::run(&self.argv, verb, self.target).await?;
        let value: Value = serde_json::from_str(output.trim()).map_err(|_| self.odd(verb, "that is no JSON"))?;
        serde_json::from_value(value).map_err(|error| self.odd(verb, &error.to_string()))
    }

    fn odd(&self, verb: &str, what: &str) -> ActionError {
        ActionError::target(format!("the command of {} answers {verb} otherwise than agreed: {what}", self.label))
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
mod testing;
