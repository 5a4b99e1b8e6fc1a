//! `cmdiag history`: the events themselves.

use crate::cli::Format;
use crate::commands::as_of;
use crate::output;
use crate::platform::Platform;
use anyhow::{Result, bail};
use domain::{Position, StreamVersion};
use event_store::{RecordedEvent, StreamId};
use query_side::Moment;
use serde_json::{Value, json};

/// Prints the events of one stream, or of the whole log.
pub async fn run(
    platform: &Platform,
    format: Format,
    (stream, moment): (&str, Option<Moment>),
    after: i64,
    limit: u32,
) -> Result<()> {
    let until = match moment {
        Some(moment) => {
            let as_of = platform.queries.locate(moment).await?;
            as_of::say(&as_of, format)?;
            as_of.position
        }
        None => Position(i64::MAX),
    };
    let limit = limit as usize;
    let events = if stream == "all" {
        platform.log.read_all(Position(after), limit).await?
    } else {
        let Some((aggregate_type, id)) = stream.split_once('-') else {
            bail!("{stream:?} is not a stream: write <aggregate type>-<id>, or all");
        };
        let events = platform.log.read_stream(StreamId::new(aggregate_type, id), StreamVersion(after), limit).await?;
        if events.is_empty() && after == 0 {
            bail!("there is no stream {stream}");
        }
        events
    };
    let events = events.into_iter().filter(|event| event.position <= until).collect::<Vec<_>>();
    let rows: Vec<Value> = events.iter().flat_map(RecordedEvent::parts).map(|event| document(&event)).collect();
    output::list(format, &["position", "recorded", "stream", "version", "event", "actor", "data"], &rows, |row| {
        let text = |key: &str| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
        let data: String = row["data"].to_string().chars().take(160).collect();
        vec![text("position"), text("recorded_at"), text("stream"), text("version"), text("type"), text("actor"), data]
    })
}

fn document(event: &RecordedEvent) -> Value {
    // A payload that is not JSON would have been refused on the way in.
    let data: Value = serde_json::from_str(event.payload.get()).unwrap_or(Value::Null);
    json!({
        "position": event.position.0,
        "recorded_at": event.recorded_at,
        "stream": event.stream.to_string(),
        "version": event.version.0,
        "type": event.event_type,
        "event_version": event.event_version,
        "event_id": event.event_id,
        "actor": event.metadata.actor.as_str(),
        "command_id": event.metadata.command_id,
        "correlation_id": event.metadata.correlation_id,
        "causation_id": event.metadata.causation_id,
        "traceparent": event.metadata.traceparent,
        "data": data,
    })
}
