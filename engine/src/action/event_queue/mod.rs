//! Actions on event processors and document queues, through the connector: a plug-in of the ServiceAPI that offers what
//! only the product's SDK can do (`docs/connector-contract.md`).

pub mod add_server;
pub mod dedicate_server;
pub mod isolate_event;
pub mod requeue;
pub mod resume_processor;
mod servers;
mod status;
pub mod stop_document_queue;
pub mod suspend_processor;

use super::http::{Api, Body};
use super::{ActionError, ActionTarget};
use domain::deployment::ComponentKind;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What these actions can be applied to: the component whose setting `connector` names the one with the address.
const COMPONENTS: &[ComponentKind] =
    &[ComponentKind::EventProcessor, ComponentKind::WorkgroupServer, ComponentKind::DatasetDatabase];
/// Where the plug-in is, where the setting `connector_path` says nothing else.
const PATH: &str = "CMServiceAPI";
const NAME_CHARS_MAX: usize = 64;
const SERVERS_MAX: usize = 64;

/// An event processor.
#[derive(Debug, Deserialize)]
struct Processor {
    #[serde(rename = "ProcessorStatus")]
    status: String,
    #[serde(rename = "RunOn")]
    servers: Vec<String>,
}

/// The connector, for one phase of one step.
struct Connector<'a> {
    api: Api<'a>,
    base: Vec<&'a str>,
}

impl<'a> Connector<'a> {
    fn of(target: &'a ActionTarget) -> Result<Self, ActionError> {
        let api = Api::of(target.named_by("connector")?, target)?;
        let path = target.optional("connector_path").unwrap_or(PATH);
        Ok(Self { api, base: path.split('/').filter(|part| !part.is_empty()).collect() })
    }

    fn path<'p>(&'p self, rest: &[&'p str]) -> Vec<&'p str> {
        self.base.iter().copied().chain(rest.iter().copied()).collect()
    }

    async fn get(&self, rest: &[&str]) -> Result<Value, ActionError> {
        self.api.call(Method::GET, &self.path(rest), Body::None).await
    }

    async fn post(&self, rest: &[&str], body: &Value) -> Result<Value, ActionError> {
        self.api.call(Method::POST, &self.path(rest), Body::Json(body)).await
    }

    fn read<T: DeserializeOwned>(&self, value: Value) -> Result<T, ActionError> {
        serde_json::from_value(value).map_err(|error| self.api.odd(&error.to_string()))
    }

    async fn processor(&self, name: &str) -> Result<Processor, ActionError> {
        let mut processor: Processor = self.read(self.get(&["TrimEventProcessors", plain(name)?]).await?)?;
        processor.servers.sort();
        Ok(processor)
    }

    async fn tell(&self, name: &str, verb: &str, body: &Value) -> Result<Value, ActionError> {
        self.post(&["TrimEventProcessors", plain(name)?, verb], body).await
    }

    /// Gives a processor a status, where it has another one.
    async fn set_status(&self, name: &str, status: &str) -> Result<(), ActionError> {
        if self.processor(name).await?.status == status {
            return Ok(());
        }
        let verb = match status {
            "Processing" => "Resume",
            "Suspended" => "Suspend",
            "Ignored" => "Ignore",
            other => return Err(ActionError::precondition(format!("{name} is {other:?}: that can not be put back"))),
        };
        self.tell(name, verb, &json!({})).await.map(drop)
    }

    /// Has a processor run on these servers, where it does not.
    async fn run_on(&self, name: &str, servers: &[String]) -> Result<(), ActionError> {
        if self.processor(name).await?.servers == servers {
            return Ok(());
        }
        self.tell(name, "RunOn", &json!({ "Servers": servers })).await.map(drop)
    }
}

/// A name that may stand in an address.
fn plain(name: &str) -> Result<&str, ActionError> {
    let fits = !name.is_empty() && name.len() <= NAME_CHARS_MAX;
    if fits && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && name != "." && name != ".." {
        return Ok(name);
    }
    Err(ActionError::configuration(format!("{name:?} is no name of an event processor or server")))
}

#[cfg(test)]
pub(super) mod testing;
