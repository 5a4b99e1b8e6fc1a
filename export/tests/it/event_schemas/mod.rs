//! The registry of event schemas is what the domain's types say, and no event changes without a new version.
//!
//! `UPDATE_EVENT_SCHEMAS=1` writes the file anew, and still refuses a change that needs a version.

mod compatible;
mod reader;

use compatible::broken_by;
use domain::DomainEvent;
use domain::any_event::AnyEvent;
use export::registry::{EventSchema, event_schemas};
use projections::testing::Story;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("event-schemas.jsonl")
}

fn same_event(one: &EventSchema, other: &EventSchema) -> bool {
    one.aggregate_type == other.aggregate_type
        && one.event_type == other.event_type
        && one.event_version == other.event_version
}

/// What the file must hold: what the code writes today, and what it wrote once. The second: what may not be.
fn wanted(in_code: Vec<EventSchema>, on_file: &[EventSchema]) -> (Vec<EventSchema>, Vec<String>) {
    let mut broken = Vec::new();
    for now in &in_code {
        if let Some(before) = on_file.iter().find(|before| same_event(before, now)) {
            for change in broken_by(&before.payload, &now.payload) {
                broken.push(format!("{} version {}: {change}", now.event_type, now.event_version));
            }
        }
    }
    let mut all = in_code;
    for before in on_file {
        if !all.iter().any(|now| same_event(now, before)) {
            all.push(EventSchema { current: false, ..before.clone() });
        }
    }
    let key =
        |event: &EventSchema| (event.aggregate_type.clone(), event.event_type.clone(), event.event_version.clone());
    all.sort_by_key(key);
    (all, broken)
}

#[test]
fn the_registry_is_what_the_code_says() {
    let (all, broken) = wanted(reader::events_in_code(), &event_schemas().unwrap());
    assert!(
        broken.is_empty(),
        "an event holds something else than its version says. Give it a new version (`event_version`) and an upcaster, \
         then run this with UPDATE_EVENT_SCHEMAS=1:\n{}",
        broken.join("\n")
    );
    let text: String = all.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    if std::env::var_os("UPDATE_EVENT_SCHEMAS").is_some() {
        std::fs::write(file(), &text).unwrap();
    }
    let on_file = std::fs::read_to_string(file()).unwrap();
    assert!(on_file == text, "export/event-schemas.jsonl is not what the code says: UPDATE_EVENT_SCHEMAS=1 writes it");
}

#[test]
fn every_old_version_says_what_becomes_of_it() {
    let all = event_schemas().unwrap();
    for event in all.iter().filter(|event| !event.current) {
        let into = event.upcasts_to.as_ref();
        let into = into.unwrap_or_else(|| panic!("{} version {}: upcasts_to", event.event_type, event.event_version));
        for one in into {
            let known =
                |other: &EventSchema| other.event_type == one.event_type && other.event_version == one.event_version;
            assert!(all.iter().any(known), "{} version {} is in the registry", one.event_type, one.event_version);
        }
    }
    assert!(all.iter().filter(|event| event.current).count() > 60);
}

/// The reader of the source might be wrong: so what deciders really decide is held against the schemas.
#[test]
fn what_deciders_decide_is_what_the_registry_says() {
    let schemas = event_schemas().unwrap();
    let mut seen = BTreeSet::new();
    let mut told = Story::with_remedies(7);
    for event in told.by_ref().take(20_000) {
        let kind = event.event_type.clone();
        let of = (event.stream.aggregate_type.to_string(), kind.clone());
        let schema =
            schemas.iter().find(|schema| schema.current && schema.aggregate_type == of.0 && schema.event_type == kind);
        let schema = schema.unwrap_or_else(|| panic!("{kind} is in the registry"));
        assert_eq!(event.event_version, schema.event_version);
        if seen.contains(&of) && event.position.0 % 7 != 0 {
            continue; // Each type at least once, then every seventh event.
        }
        let payload: Value = serde_json::from_str(event.payload.get()).unwrap();
        let faults: Vec<String> = jsonschema::validator_for(&schema.payload)
            .unwrap()
            .iter_errors(&payload)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{kind}: {faults:?}\n{payload:#}");
        seen.insert(of);
    }
    assert!(seen.len() > 40, "only {} types were told: {seen:?}", seen.len());
}

#[test]
fn event_types_are_told_by_the_events_themselves() {
    let schemas = event_schemas().unwrap();
    let mut checked = 0;
    for event in Story::with_remedies(3).take(2_000) {
        let decoded = event.decode().unwrap();
        let version = match &decoded {
            AnyEvent::Deployment(event) => event.event_version(),
            AnyEvent::Run(event) => event.event_version(),
            AnyEvent::Finding(event) => event.event_version(),
            AnyEvent::Remediation(event) => event.event_version(),
            AnyEvent::Policy(event) => event.event_version(),
            _ => continue,
        };
        let known = |schema: &EventSchema| schema.event_type == event.event_type && schema.event_version == version;
        assert!(schemas.iter().any(known), "{} version {version}", event.event_type);
        checked += 1;
    }
    assert!(checked > 1_000);
}

#[test]
fn a_changed_event_is_found_and_an_addition_that_may_be_missing_is_not() {
    let object = |properties: Value, required: Value| json!({ "type": "object", "properties": properties, "required": required });
    let before = object(json!({ "by": { "type": "string" }, "count": { "type": "integer" } }), json!(["by", "count"]));
    let cases = [
        ("the same", before.clone(), true),
        (
            "one more that may be missing",
            object(
                json!({ "by": { "type": "string" }, "count": { "type": "integer" }, "why": { "type": "string" } }),
                json!(["by", "count"]),
            ),
            true,
        ),
        (
            "one more that is always there",
            object(
                json!({ "by": { "type": "string" }, "count": { "type": "integer" }, "why": { "type": "string" } }),
                json!(["by", "count", "why"]),
            ),
            false,
        ),
        ("one less", object(json!({ "by": { "type": "string" } }), json!(["by"])), false),
        (
            "another type",
            object(json!({ "by": { "type": "string" }, "count": { "type": "string" } }), json!(["by", "count"])),
            false,
        ),
        (
            "may be missing now",
            object(json!({ "by": { "type": "string" }, "count": { "type": "integer" } }), json!(["by"])),
            false,
        ),
    ];
    for (what, after, fine) in cases {
        assert_eq!(broken_by(&before, &after).is_empty(), fine, "{what}: {:?}", broken_by(&before, &after));
    }
    let words = |words: Value| json!({ "enum": words });
    assert!(broken_by(&words(json!(["a", "b"])), &words(json!(["a", "b", "c"]))).is_empty(), "one more word");
    assert!(!broken_by(&words(json!(["a", "b"])), &words(json!(["a", "c"]))).is_empty(), "a word is gone");
}
