//! What is known of an event beside its payload: who, why, and as part of what.

use crate::ids::{Actor, CommandId, CorrelationId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

/// The metadata of a command and of every event that it caused. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Who asked.
    pub actor: Actor,
    /// Whose data it is.
    pub tenant: TenantId,
    /// The command; its repetition returns the first outcome.
    pub command_id: CommandId,
    /// All that one request caused.
    pub correlation_id: CorrelationId,
    /// The event that this command reacts to, where it reacts to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Metadata {
    /// Metadata of a command that starts something new.
    pub fn new(actor: Actor, tenant: TenantId, command_id: CommandId) -> Self {
        Self {
            actor,
            tenant,
            command_id,
            correlation_id: CorrelationId(command_id.0),
            causation_id: None,
            traceparent: None,
        }
    }

    /// As the flat map of texts that `cqrs-es` carries and `postgres-es` stores.
    pub fn to_map(&self) -> HashMap<String, String> {
        let mut map = HashMap::from([
            ("actor".to_owned(), self.actor.to_string()),
            ("tenant".to_owned(), self.tenant.to_string()),
            ("command_id".to_owned(), self.command_id.to_string()),
            ("correlation_id".to_owned(), self.correlation_id.to_string()),
        ]);
        if let Some(cause) = self.causation_id {
            map.insert("causation_id".to_owned(), cause.to_string());
        }
        if let Some(trace) = &self.traceparent {
            map.insert("traceparent".to_owned(), trace.clone());
        }
        map
    }

    /// Reads back what [`Self::to_map`] wrote; `None` where a required entry is missing or malformed.
    pub fn from_map(map: &HashMap<String, String>) -> Option<Self> {
        Some(Self {
            actor: map.get("actor")?.parse().ok()?,
            tenant: map.get("tenant")?.parse().ok()?,
            command_id: map.get("command_id")?.parse().ok()?,
            correlation_id: map.get("correlation_id")?.parse().ok()?,
            causation_id: map.get("causation_id").and_then(|text| Uuid::parse_str(text).ok()),
            traceparent: map.get("traceparent").cloned(),
        })
    }
}
