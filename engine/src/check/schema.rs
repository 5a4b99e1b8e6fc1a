//! The JSON Schema of a check file, for editors: `packs/check.schema.json` is this, and a test compares them.

use super::file::CheckFile;
use super::probe_keys::ProbeFile;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// The schema of a check file.
pub fn check_file_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut probe = generator.subschema_for::<ProbeFile>().to_value();
    let mut schema = generator.into_root_schema_for::<CheckFile>().to_value();
    // The reader takes what all kinds share out of the table first; the schema adds it to each kind.
    if let Some(kinds) = schema.pointer_mut("/$defs/ProbeFile/oneOf").and_then(Value::as_array_mut) {
        for kind in kinds {
            kind["properties"]["on"] = json!({
                "type": "string",
                "description": "The setting that names another component, whose connection is used."
            });
            kind["properties"]["timeout"] = json!({
                "type": "string",
                "pattern": "^[0-9]+(ms|s|m|h|d)$",
                "description": "How long the measurement may take."
            });
        }
    }
    probe["description"] = json!("How to measure.");
    schema["properties"]["probe"] = probe;
    if let Some(required) = schema["required"].as_array_mut() {
        required.push(json!("probe"));
    }
    schema["title"] = json!("A check of the CM Diagnostics Platform");
    schema
}
