//! CloudEvents 1.0, structured mode, one JSON document a line.
//!
//! `data` is the stored payload, byte for byte; a payload with a line break of its own (a foreign writer's) is in
//! `data_base64` instead, byte for byte as well. Positions and versions are texts: an Integer of CloudEvents ends at
//! 2^31 - 1.

use super::EventWriter;
use super::folder::HashedFile;
use crate::error::ExportError;
use crate::event::StoredEvent;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::io::Write;

/// The attributes beside those of CloudEvents itself, with what they say.
pub const EXTENSIONS: &[(&str, &str)] = &[
    ("position", "the event's place in the log, dense from 1"),
    ("sequence", "the position with leading zeros: later events are greater texts"),
    ("streamtype", "the type of the aggregate whose stream it is"),
    ("streamid", "the id of the aggregate whose stream it is"),
    ("streamversion", "its place in its stream, dense from 1"),
    ("eventversion", "the version of the event's type that its data is of"),
    ("actor", "who asked"),
    ("tenant", "whose data it is"),
    ("commandid", "the command that caused it"),
    ("correlationid", "ties together all that one request caused"),
    ("causationid", "the event that the command reacted to"),
    ("traceparent", "W3C trace context of the request"),
    ("payloadsha256", "the SHA-256 of the stored payload, which is the bytes of data"),
    ("metadatasha256", "the SHA-256 of the stored metadata"),
];

const LEVEL: i32 = 3;

/// An event as CloudEvents writes it.
pub struct CloudEvent<'a>(pub &'a StoredEvent);

impl Serialize for CloudEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let known = event.known();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &event.event_id)?;
        let tenant = known.text("tenant").unwrap_or("unknown");
        map.serialize_entry("source", &format!("/cmdiag/tenants/{tenant}/events"))?;
        map.serialize_entry("type", &format!("cmdiag.{}.{}", event.aggregate_type, event.event_type))?;
        map.serialize_entry("subject", &format!("{}/{}", event.aggregate_type, event.aggregate_id))?;
        map.serialize_entry("time", &event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true))?;
        map.serialize_entry("datacontenttype", "application/json")?;
        let of = format!("{}:{}:{}", event.aggregate_type, event.event_type, event.event_version);
        map.serialize_entry("dataschema", &format!("urn:cmdiag:event:{of}"))?;
        map.serialize_entry("position", &event.position.to_string())?;
        map.serialize_entry("sequence", &format!("{:019}", event.position))?;
        map.serialize_entry("streamtype", &event.aggregate_type)?;
        map.serialize_entry("streamid", &event.aggregate_id)?;
        map.serialize_entry("streamversion", &event.sequence.to_string())?;
        map.serialize_entry("eventversion", &event.event_version)?;
        for (attribute, entry) in [
            ("actor", "actor"),
            ("tenant", "tenant"),
            ("commandid", "command_id"),
            ("correlationid", "correlation_id"),
            ("causationid", "causation_id"),
            ("traceparent", "traceparent"),
        ] {
            if let Some(text) = known.text(entry) {
                map.serialize_entry(attribute, text)?;
            }
        }
        map.serialize_entry("payloadsha256", &hex::encode(Sha256::digest(&event.payload)))?;
        map.serialize_entry("metadatasha256", &hex::encode(Sha256::digest(&event.metadata)))?;
        if event.payload.contains(['\n', '\r']) {
            map.serialize_entry("data_base64", &STANDARD.encode(&event.payload))?;
        } else {
            let data: &RawValue = serde_json::from_str(&event.payload).map_err(serde::ser::Error::custom)?;
            map.serialize_entry("data", data)?;
        }
        map.end()
    }
}

/// Appends one line.
pub fn write_line(event: &StoredEvent, line: &mut Vec<u8>) -> Result<(), ExportError> {
    serde_json::to_writer(&mut *line, &CloudEvent(event))?;
    line.push(b'\n');
    Ok(())
}

enum Sink {
    Plain(HashedFile),
    Packed(Box<zstd::Encoder<'static, HashedFile>>),
}

/// A file of lines.
pub(crate) struct Lines {
    sink: Sink,
    line: Vec<u8>,
}

impl Lines {
    pub(crate) fn plain(file: HashedFile) -> Self {
        Self { sink: Sink::Plain(file), line: Vec::new() }
    }

    pub(crate) fn packed(file: HashedFile) -> Result<Self, ExportError> {
        let failed = |error| ExportError::file("compress into", std::path::Path::new("the export"), error);
        let mut encoder = zstd::Encoder::new(file, LEVEL).map_err(failed)?;
        encoder.include_checksum(true).map_err(failed)?;
        Ok(Self { sink: Sink::Packed(Box::new(encoder)), line: Vec::new() })
    }
}

impl EventWriter for Lines {
    fn write(&mut self, event: &StoredEvent) -> Result<(), ExportError> {
        self.line.clear();
        write_line(event, &mut self.line)?;
        match &mut self.sink {
            Sink::Plain(file) => file.write_all(&self.line).map_err(|error| file.failed(error)),
            Sink::Packed(encoder) => encoder.write_all(&self.line).map_err(|error| encoder.get_ref().failed(error)),
        }
    }

    fn finish(self: Box<Self>) -> Result<HashedFile, ExportError> {
        match self.sink {
            Sink::Plain(file) => Ok(file),
            Sink::Packed(encoder) => encoder
                .finish()
                .map_err(|error| ExportError::file("compress into", std::path::Path::new("the export"), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StoredEvent;
    use chrono::DateTime;
    use serde_json::Value;
    use uuid::Uuid;

    fn stored(payload: &str, metadata: &str) -> StoredEvent {
        StoredEvent {
            position: 3_000_000_000,
            aggregate_type: "DiagnosticRun".to_owned(),
            aggregate_id: Uuid::from_u128(7).to_string(),
            sequence: 2,
            event_id: Uuid::from_u128(9),
            event_type: "RunPlanned".to_owned(),
            event_version: "1".to_owned(),
            recorded_at: DateTime::from_timestamp_micros(1_767_600_000_000_001).unwrap(),
            payload: payload.to_owned(),
            metadata: metadata.to_owned(),
        }
    }

    fn line(event: &StoredEvent) -> String {
        let mut line = Vec::new();
        write_line(event, &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn data_is_the_stored_text_byte_for_byte() {
        // Spaces, a number beyond 2^53 and an escape that a re-writer would change.
        let payload = r#"{"RunPlanned": {"n":9007199254740993,  "text":"\u0041", "x":1.0}}"#;
        let text = line(&stored(payload, "{}"));
        assert!(text.contains(&format!(r#""data":{payload}}}"#)), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["payloadsha256"], hex::encode(Sha256::digest(payload)));
        assert!(read.get("actor").is_none(), "a foreign writer's event names nobody");
    }

    #[test]
    fn a_payload_with_line_breaks_stays_on_one_line_and_verbatim() {
        let payload = "{\n \"a\": 1\r\n}";
        let text = line(&stored(payload, "{}"));
        assert_eq!(text.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(STANDARD.decode(read["data_base64"].as_str().unwrap()).unwrap(), payload.as_bytes());
        assert!(read.get("data").is_none(), "one of the two, never both");
    }

    #[test]
    fn attributes_are_those_that_cloud_events_allows() {
        let metadata = r#"{"actor":"mara","tenant":"default","command_id":"c","correlation_id":"r","causation_id":"e",
            "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#;
        let read: Value = serde_json::from_str(&line(&stored("{}", metadata))).unwrap();
        let own = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"];
        for (name, value) in read.as_object().unwrap() {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{name}");
            assert!(name.len() <= 20, "{name}");
            let extension = EXTENSIONS.iter().any(|(extension, _)| extension == name);
            assert!(own.contains(&name.as_str()) || extension, "{name} is documented");
            assert!(name == "data" || value.is_string(), "{name}: {value}");
        }
        for (name, _) in EXTENSIONS {
            assert!(read.get(name).is_some(), "{name}");
        }
        assert_eq!((&read["position"], &read["time"]), (&"3000000000".into(), &"2026-01-05T08:00:00.000001Z".into()));
        assert_eq!(read["sequence"], "0000000003000000000");
    }
}
