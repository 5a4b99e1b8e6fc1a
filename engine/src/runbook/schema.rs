//! The JSON Schema of a runbook file, for editors: `packs/runbook.schema.json` is this, and a test compares them.

use super::file::RunbookFile;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// The schema of a runbook file.
pub fn runbook_file_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = generator.into_root_schema_for::<RunbookFile>().to_value();
    schema["title"] = json!("A runbook of the CM Diagnostics Platform");
    schema
}
