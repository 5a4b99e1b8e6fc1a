//! Actions on the content index, over the Elasticsearch wire, as its `action_user`.

pub mod clear_read_only;
pub mod reindex_missing;
pub mod retry_allocation;
pub mod set_replicas;

mod documents;

use super::http::{Api, Body};
use super::{ActionError, ActionTarget};
use reqwest::Method;
use serde_json::{Value, json};

/// The index of the component, for one phase of one step.
struct Index<'a> {
    api: Api<'a>,
    /// As the product searches it: an alias, or the index itself.
    name: &'a str,
}

impl<'a> Index<'a> {
    fn of(target: &'a ActionTarget) -> Result<Self, ActionError> {
        let name = target.setting("index")?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if name.starts_with(['_', '-', '.']) || !name.chars().all(plain) {
            // Lists, patterns and `_all` would touch more than one index.
            return Err(ActionError::configuration(format!("setting \"index\" is {name:?}: one index is meant")));
        }
        Ok(Self { api: Api::of(&target.component, target)?, name })
    }

    async fn get(&self, path: &[&str]) -> Result<Value, ActionError> {
        self.api.call(Method::GET, path, Body::None).await
    }

    /// The settings of the one index that the name means, by their flat names.
    async fn settings(&self) -> Result<(String, Value), ActionError> {
        let query = [("flat_settings", "true")];
        let answer = self.api.call_with(Method::GET, &[self.name, "_settings"], &query, Body::None).await?;
        let Value::Object(all) = answer else { return Err(self.api.odd("no settings")) };
        let mut all: Vec<(String, Value)> = all.into_iter().collect();
        match (all.pop(), all.is_empty()) {
            (Some((index, mut found)), true) => Ok((index, found["settings"].take())),
            _ => Err(ActionError::precondition(format!("{} is not exactly one index", self.name))),
        }
    }

    async fn set(&self, index: &str, settings: &Value) -> Result<(), ActionError> {
        self.api.call(Method::PUT, &[index, "_settings"], Body::Json(settings)).await.map(drop)
    }

    /// The health of one index, and how many data nodes there are.
    async fn health(&self) -> Result<Health, ActionError> {
        let answer = self.get(&["_cluster", "health", self.name]).await?;
        let status = answer["status"].as_str().map(str::to_owned);
        let number = |key: &str| answer[key].as_u64();
        let read = || {
            Some(Health {
                status: status?,
                nodes: number("number_of_data_nodes")?,
                missing: number("unassigned_shards")?,
            })
        };
        read().ok_or_else(|| self.api.odd("no health"))
    }
}

/// What the cluster says of an index.
struct Health {
    status: String,
    nodes: u64,
    missing: u64,
}

/// A flag among flat settings, which are texts.
fn is_set(settings: &Value, key: &str) -> bool {
    settings[key] == json!("true") || settings[key] == json!(true)
}

#[cfg(test)]
mod testing;
