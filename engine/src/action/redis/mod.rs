//! Actions on a Redis server, as its `action_user`: an ACL user that need not see a single key.

pub mod purge_memory;
pub mod reset_statistics;
pub mod save;
pub mod set_limit;
pub mod set_policy;

use super::{ActionError, ActionTarget};
use crate::probe::Secret;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo, RedisError};
use std::collections::HashMap;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection for one phase of one step.
struct Server<'a> {
    connection: MultiplexedConnection,
    secret: Secret,
    target: &'a ActionTarget,
}

impl<'a> Server<'a> {
    async fn open(target: &'a ActionTarget) -> Result<Self, ActionError> {
        let component = &target.component;
        let user = target
            .setting("action_user")
            .map_err(|_| ActionError::configuration(format!("component {} has no action_user", component.name)))?;
        let secret = ActionTarget::secret(component, "action_password")?.ok_or_else(|| {
            ActionError::configuration(format!("component {} has no secret \"action_password\"", component.name))
        })?;
        let wrong =
            |error: &RedisError| ActionError::configuration(secret.cut_out_of(&format!("setting \"url\": {error}")));
        let info = target.setting("url")?.into_connection_info().map_err(|error| wrong(&error))?;
        let settings = info.redis_settings().clone().set_username(user).set_password(secret.reveal());
        let client = Client::open(info.set_redis_settings(settings)).map_err(|error| wrong(&error))?;
        let patience = CONNECT_TIMEOUT.min(target.deadline);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(target.deadline));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let connected = tokio::select! {
            biased;
            () = target.cancel.cancelled() => return Err(ActionError::cancelled()),
            connected = connecting => connected,
        };
        let connection = connected.map_err(|error| explain(&error, target, &secret))?;
        Ok(Self { connection, secret, target })
    }

    /// Sends one command; ends with the phase.
    async fn send<T: FromRedisValue>(&mut self, words: &[&str]) -> Result<T, ActionError> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        tokio::select! {
            biased;
            () = self.target.cancel.cancelled() => Err(ActionError::cancelled()),
            done = command.query_async(&mut self.connection) => {
                done.map_err(|error| explain(&error, self.target, &self.secret))
            }
            () = tokio::time::sleep(self.target.deadline) => Err(ActionError::timed_out(self.target.deadline)),
        }
    }

    /// A setting as it is in force.
    async fn setting(&mut self, name: &str) -> Result<String, ActionError> {
        let mut found: HashMap<String, String> = self.send(&["CONFIG", "GET", name]).await?;
        found.remove(name).ok_or_else(|| ActionError::precondition(format!("the server has no setting {name}")))
    }

    /// Sets a setting, in the running server only.
    async fn set(&mut self, name: &str, value: &str) -> Result<(), ActionError> {
        self.send(&["CONFIG", "SET", name, value]).await
    }

    /// A section of `INFO`.
    async fn info(&mut self, section: &str) -> Result<HashMap<String, String>, ActionError> {
        let text: String = self.send(&["INFO", section]).await?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(lines.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect())
    }
}

fn explain(error: &RedisError, target: &ActionTarget, secret: &Secret) -> ActionError {
    let text = secret.cut_out_of(&format!("{}: {error}", target.component.name));
    match error.code().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" | "NOPERM" => ActionError::configuration(text),
        _ => ActionError::target(text),
    }
}

/// A number of `INFO`.
fn number(info: &HashMap<String, String>, key: &str) -> Result<u64, ActionError> {
    let found = info.get(key).and_then(|value| value.parse().ok());
    found.ok_or_else(|| ActionError::precondition(format!("the server does not say {key}")))
}

#[cfg(test)]
mod testing;
