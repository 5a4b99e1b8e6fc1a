//! `cmdiag schema`: what events there are, and what they hold.

use crate::cli::Format;
use crate::output;
use anyhow::{Result, bail};
use clap::Subcommand;
use export::registry::{EventSchema, event_schemas};

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Every event type in every version, with its fields; `--format json` prints their JSON schemas
    Events {
        /// Only this type, such as RunRequested
        event: Option<String>,
    },
}

/// Prints the registry.
pub fn run(format: Format, command: &SchemaCommand) -> Result<()> {
    let SchemaCommand::Events { event } = command;
    let mut all = event_schemas()?;
    if let Some(wanted) = event {
        all.retain(|schema| schema.event_type == *wanted);
        if all.is_empty() {
            bail!("there is no event type {wanted}: see `cmdiag schema events`");
        }
    }
    output::list(format, &["aggregate", "event", "version", "fields", "becomes"], &all, |schema| {
        vec![
            schema.aggregate_type.clone(),
            schema.event_type.clone(),
            schema.event_version.clone(),
            schema.fields().join(", "),
            becomes(schema),
        ]
    })
}

/// What an old version becomes when it is read.
fn becomes(schema: &EventSchema) -> String {
    match &schema.upcasts_to {
        None if schema.current => "-".to_owned(),
        None => "not said".to_owned(),
        Some(into) if into.is_empty() => "dropped".to_owned(),
        Some(into) => {
            let into: Vec<String> =
                into.iter().map(|one| format!("{} {}", one.event_type, one.event_version)).collect();
            into.join(", ")
        }
    }
}
