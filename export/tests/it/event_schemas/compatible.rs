//! Whether what a schema describes can still be read by who knows an earlier one.

use serde_json::{Map, Value};

/// What an earlier schema promised and a later one does not keep.
pub fn broken_by(before: &Value, after: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    compare("", before, after, &mut broken);
    broken
}

fn compare(at: &str, before: &Value, after: &Value, broken: &mut Vec<String>) {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        if before != after {
            broken.push(format!("{at}: it was {before} and is {after}"));
        }
        return;
    };
    for (key, value) in before {
        match key.as_str() {
            "properties" => properties(at, value, after.get(key), broken),
            "required" => same_names(at, value, after.get(key), broken),
            "enum" | "anyOf" | "oneOf" => kept(at, key, value, after.get(key), broken),
            "items" | "additionalProperties" => {
                compare(&format!("{at}/{key}"), value, after.get(key).unwrap_or(&Value::Null), broken);
            }
            _ if after.get(key) != Some(value) => broken.push(format!("{at}: {key} was {value}")),
            _ => {}
        }
    }
    new_demands(at, before, after, broken);
}

fn properties(at: &str, before: &Value, after: Option<&Value>, broken: &mut Vec<String>) {
    for (name, value) in before.as_object().into_iter().flatten() {
        match after.and_then(|after| after.get(name)) {
            Some(after) => compare(&format!("{at}/{name}"), value, after, broken),
            None => broken.push(format!("{at}/{name} is gone")),
        }
    }
}

fn same_names(at: &str, before: &Value, after: Option<&Value>, broken: &mut Vec<String>) {
    for name in before.as_array().into_iter().flatten() {
        let still = after.and_then(Value::as_array).is_some_and(|after| after.contains(name));
        if !still {
            broken.push(format!("{at}: {name} may be missing now"));
        }
    }
}

fn kept(at: &str, key: &str, before: &Value, after: Option<&Value>, broken: &mut Vec<String>) {
    let after = after.and_then(Value::as_array).cloned().unwrap_or_default();
    for (index, choice) in before.as_array().into_iter().flatten().enumerate() {
        // A choice may have been added to, which is no break.
        let same = after.iter().any(|now| now == choice);
        if !same && !after.iter().any(|now| broken_by(choice, now).is_empty()) {
            broken.push(format!("{at}: choice {index} of {key} is gone: {choice}"));
        }
    }
}

fn new_demands(at: &str, before: &Map<String, Value>, after: &Map<String, Value>, broken: &mut Vec<String>) {
    let names = |of: &Map<String, Value>| of.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for name in names(after) {
        if !names(before).contains(&name) {
            broken.push(format!("{at}: {name} was not always there"));
        }
    }
    for key in after.keys().filter(|key| !before.contains_key(*key)) {
        if !["properties", "required", "$comment"].contains(&key.as_str()) {
            broken.push(format!("{at}: {key} is new"));
        }
    }
}
