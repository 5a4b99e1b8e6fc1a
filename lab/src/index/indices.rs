//! Indices, their settings, and the aliases that they are searched by.

use super::state::{ContentIndex, Index};
use super::{Answer, IndexDouble, Refusal, no_such, reply};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

/// More than these are a mistake of somebody who tries a double out.
const INDICES_MAX: usize = 50;

pub async fn get(State(double): State<IndexDouble>, Path(index): Path<String>) -> Response {
    let work = move |state: &mut ContentIndex| {
        let name = state.name(&index).ok_or_else(|| no_such(&index))?;
        let found = state.index(name).ok_or_else(|| no_such(name))?;
        let aliases = aliases_of(state, name);
        Ok(json!({ name: { "aliases": aliases, "mappings": found.mappings, "settings": settings_json(found) } }))
    };
    reply(double.answer(work).await)
}

pub async fn create(
    State(double): State<IndexDouble>,
    Path(index): Path<String>,
    body: Option<Json<Value>>,
) -> Response {
    let body = body.map_or(Value::Null, |Json(body)| body);
    let work = move |state: &mut ContentIndex| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if index.starts_with(['_', '-', '.']) || !index.chars().all(plain) || index.len() > 255 {
            return Err(Refusal(400, "invalid_index_name_exception", format!("Invalid index name [{index}]")));
        }
        if state.indices.contains_key(&index) || state.aliases.contains_key(&index) {
            return Err(Refusal(400, "resource_already_exists_exception", format!("index [{index}] already exists")));
        }
        if state.indices.len() >= INDICES_MAX {
            return Err(Refusal(400, "validation_exception", "this double has enough indices".to_owned()));
        }
        let replicas = number(&body, "number_of_replicas").unwrap_or(1);
        let mappings = body.get("mappings").cloned().unwrap_or_else(|| json!({}));
        state.indices.insert(index.clone(), Index::new(replicas, mappings));
        Ok(json!({ "acknowledged": true, "shards_acknowledged": true, "index": index, "double": true }))
    };
    reply(double.answer(work).await)
}

pub async fn delete(State(double): State<IndexDouble>, Path(index): Path<String>) -> Response {
    let work = move |state: &mut ContentIndex| {
        // By its own name only, as the real one has it.
        state.indices.remove(&index).ok_or_else(|| no_such(&index))?;
        state.aliases.retain(|_, of| *of != index);
        Ok(json!({ "acknowledged": true, "double": true }))
    };
    reply(double.answer(work).await)
}

pub async fn settings(State(double): State<IndexDouble>, Path(index): Path<String>) -> Response {
    let work = move |state: &mut ContentIndex| {
        let name = state.name(&index).ok_or_else(|| no_such(&index))?;
        let found = state.index(name).ok_or_else(|| no_such(name))?;
        Ok(json!({ name: { "settings": settings_json(found) } }))
    };
    reply(double.answer(work).await)
}

/// Always in the flat form (`flat_settings=true`).
fn settings_json(index: &Index) -> Value {
    let mut settings = json!({
        "index.number_of_shards": "1", "index.number_of_replicas": index.replicas.to_string(),
        "index.provided_by": "a double",
    });
    if index.read_only_allow_delete {
        settings["index.blocks.read_only_allow_delete"] = "true".into();
    }
    settings
}

pub async fn set(State(double): State<IndexDouble>, Path(index): Path<String>, Json(body): Json<Value>) -> Response {
    let work = move |state: &mut ContentIndex| {
        let found = state.index_mut(&index).ok_or_else(|| no_such(&index))?;
        let known = ["index.number_of_replicas", "index.blocks.read_only_allow_delete"];
        let keys = body.as_object().into_iter().flat_map(Map::keys);
        if let Some(other) = keys.into_iter().find(|key| !known.contains(&key.as_str()) && *key != "index") {
            let reason = format!("this double does not know the setting [{other}]");
            return Err(Refusal(400, "illegal_argument_exception", reason));
        }
        if let Some(replicas) = number(&body, "number_of_replicas") {
            found.replicas = replicas;
        }
        match setting(&body, "blocks.read_only_allow_delete") {
            None => {}
            Some(Value::Null) => found.read_only_allow_delete = false,
            Some(value) => found.read_only_allow_delete = value == "true" || *value == true,
        }
        Ok(json!({ "acknowledged": true, "double": true }))
    };
    reply(double.answer(work).await)
}

/// A setting in one of the forms in which they are given.
fn setting<'a>(body: &'a Value, key: &str) -> Option<&'a Value> {
    let settings = body.get("settings").unwrap_or(body);
    let flat = settings.get(format!("index.{key}")).or_else(|| settings.get(key));
    let nested = || {
        let path = format!("/{}", key.replace('.', "/"));
        settings.pointer(&format!("/index{path}")).or_else(|| settings.pointer(&path))
    };
    flat.or_else(nested)
}

fn number(body: &Value, key: &str) -> Option<u32> {
    let value = setting(body, key)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u32::try_from(number).ok()
}

pub async fn mapping(State(double): State<IndexDouble>, Path(index): Path<String>) -> Response {
    let work = move |state: &mut ContentIndex| {
        let name = state.name(&index).ok_or_else(|| no_such(&index))?;
        let found = state.index(name).ok_or_else(|| no_such(name))?;
        Ok(json!({ name: { "mappings": found.mappings } }))
    };
    reply(double.answer(work).await)
}

pub async fn aliases(State(double): State<IndexDouble>) -> Response {
    let work = |state: &mut ContentIndex| {
        let of = |name: &String| (name.clone(), json!({ "aliases": aliases_of(state, name) }));
        Ok(Value::Object(state.indices.keys().map(of).collect()))
    };
    reply(double.answer(work).await)
}

pub async fn alias(State(double): State<IndexDouble>, Path(name): Path<String>) -> Response {
    let work = move |state: &mut ContentIndex| match state.aliases.get(&name) {
        Some(index) => Ok(json!({ index: { "aliases": { name: {} } } })),
        None => Err(Refusal(404, "aliases_not_found_exception", format!("alias [{name}] missing"))),
    };
    reply(double.answer(work).await)
}

fn aliases_of(state: &ContentIndex, index: &str) -> Value {
    let names = state.aliases.iter().filter(|(_, of)| *of == index);
    Value::Object(names.map(|(name, _)| (name.clone(), json!({}))).collect())
}

/// All actions or none.
pub async fn swap(State(double): State<IndexDouble>, Json(body): Json<Value>) -> Response {
    let work = move |state: &mut ContentIndex| {
        let mut changed = state.clone();
        for action in body["actions"].as_array().into_iter().flatten() {
            act(&mut changed, action)?;
        }
        *state = changed;
        Ok(json!({ "acknowledged": true, "errors": false, "double": true }))
    };
    reply(double.answer(work).await)
}

fn act(state: &mut ContentIndex, action: &Value) -> Answer {
    let wrong = |reason: &str| Refusal(400, "illegal_argument_exception", reason.to_owned());
    let (kind, of) = action.as_object().and_then(|one| one.iter().next()).ok_or_else(|| wrong("an empty action"))?;
    let (Some(index), Some(alias)) = (of["index"].as_str(), of["alias"].as_str()) else {
        return Err(wrong("this double wants an index and an alias in each action"));
    };
    if !state.indices.contains_key(index) {
        return Err(no_such(index));
    }
    match kind.as_str() {
        "add" => {
            state.aliases.insert(alias.to_owned(), index.to_owned());
        }
        "remove" if state.aliases.get(alias).is_some_and(|of| of == index) => {
            state.aliases.remove(alias);
        }
        "remove" => return Err(Refusal(404, "aliases_not_found_exception", format!("aliases [{alias}] missing"))),
        _ => return Err(wrong("this double knows the actions add and remove")),
    }
    Ok(Value::Null)
}
