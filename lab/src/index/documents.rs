//! Documents: counted, listed, added and copied.

use super::state::ContentIndex;
use super::{Answer, IndexDouble, Refusal, no_such, reply};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};
use sqlx::Row as _;
use std::collections::BTreeMap;

/// What a search gives at most: `index.max_result_window`.
const WINDOW: u64 = 10_000;

pub async fn count(State(double): State<IndexDouble>, Path(index): Path<String>) -> Response {
    let work = move |state: &mut ContentIndex| {
        let found = state.index(&index).ok_or_else(|| no_such(&index))?;
        if found.failed {
            return Err(all_failed());
        }
        let shards = json!({ "total": 1, "successful": 1, "skipped": 0, "failed": 0 });
        Ok(json!({ "count": found.docs.len(), "_shards": shards, "double": true }))
    };
    reply(double.answer(work).await)
}

fn all_failed() -> Refusal {
    Refusal(503, "search_phase_execution_exception", "all shards failed".to_owned())
}

/// Documents in the order of `uri`, after the one of `search_after`; with `query.ids` only these.
pub async fn search(
    State(double): State<IndexDouble>,
    Path(index): Path<String>,
    body: Option<Json<Value>>,
) -> Response {
    let body = body.map_or_else(|| json!({}), |Json(body)| body);
    let size = body["size"].as_u64().unwrap_or(10);
    if size > WINDOW {
        let reason = format!("Result window is too large, must be less than or equal to: [{WINDOW}]");
        return reply(Err(Refusal(400, "illegal_argument_exception", reason)));
    }
    let after = body["search_after"][0].as_i64().unwrap_or(i64::MIN);
    let only = body.pointer("/query/ids/values").cloned();
    let with_source = body["_source"] != false;
    let work = move |state: &mut ContentIndex| {
        let name = state.name(&index).ok_or_else(|| no_such(&index))?.to_owned();
        let found = state.index(&name).ok_or_else(|| no_such(&name))?;
        if found.failed {
            return Err(all_failed());
        }
        let wanted = |uri: &i64| only.as_ref().is_none_or(|only| is_among(only, *uri));
        let page = found.docs.iter().filter(|uri| **uri > after && wanted(uri)).take(size as usize);
        let hit = |uri: &i64| json!({ "_index": name, "_id": uri.to_string(), "_score": null, "sort": [uri] });
        let hits: Vec<Value> = page.map(hit).collect();
        let total = json!({ "value": found.docs.iter().filter(|uri| wanted(uri)).count(), "relation": "eq" });
        Ok(json!({ "took": 1, "timed_out": false, "hits": { "total": total, "hits": hits }, "double": true }))
    };
    let answer = double.answer(work).await;
    reply(if with_source { add_sources(&double, answer).await } else { answer })
}

fn is_among(only: &Value, uri: i64) -> bool {
    only.as_array()
        .is_some_and(|ids| ids.iter().any(|id| id.as_i64().or_else(|| id.as_str()?.parse().ok()) == Some(uri)))
}

/// What the documents say, from the dataset.
async fn add_sources(double: &IndexDouble, answer: Answer) -> Answer {
    let mut answer = answer?;
    let hits = answer.pointer_mut("/hits/hits").and_then(Value::as_array_mut);
    let Some(hits) = hits else { return Ok(answer) };
    let uris: Vec<i64> = hits.iter().filter_map(|hit| hit["sort"][0].as_i64()).collect();
    let rows = sqlx::query(
        "SELECT e.uri, r.rctitle, e.refilename FROM tsrecelec e JOIN tsrecord r ON r.uri = e.uri WHERE e.uri = ANY($1)",
    )
    .bind(&uris)
    .fetch_all(&double.pool)
    .await
    .map_err(|_| {
        Refusal(503, "search_phase_execution_exception", "the double's dataset is not available".to_owned())
    })?;
    let sources: BTreeMap<i64, Value> = rows
        .iter()
        .map(|row| {
            let (uri, title, name): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
            (uri, json!({ "uri": uri, "title": title, "name": name }))
        })
        .collect();
    for hit in hits {
        let uri = hit["sort"][0].as_i64();
        hit["_source"] = uri.and_then(|uri| sources.get(&uri).cloned()).unwrap_or_else(|| json!({}));
    }
    Ok(answer)
}

pub async fn refresh(State(double): State<IndexDouble>, Path(index): Path<String>) -> Response {
    let work = move |state: &mut ContentIndex| {
        state.index(&index).ok_or_else(|| no_such(&index))?;
        Ok(json!({ "_shards": { "total": 1, "successful": 1, "failed": 0 }, "double": true }))
    };
    reply(double.answer(work).await)
}

pub async fn reindex(State(double): State<IndexDouble>, Json(body): Json<Value>) -> Response {
    let work = move |state: &mut ContentIndex| {
        let named = |part: &str| body[part]["index"].as_str().unwrap_or_default().to_owned();
        let (source, dest) = (named("source"), named("dest"));
        let from = state.index(&source).ok_or_else(|| no_such(&source))?;
        if from.failed {
            return Err(all_failed());
        }
        let docs = from.docs.clone();
        let to = state.index_mut(&dest).ok_or_else(|| no_such(&dest))?;
        if to.read_only_allow_delete {
            return Err(blocked(&dest));
        }
        let before = to.docs.len();
        to.docs.extend(&docs);
        let created = to.docs.len() - before;
        let (total, updated) = (docs.len(), docs.len() - created);
        Ok(json!({ "took": 1, "timed_out": false, "total": total, "created": created, "updated": updated,
            "failures": [], "double": true }))
    };
    reply(double.answer(work).await)
}

fn blocked(index: &str) -> Refusal {
    let reason = format!(
        "index [{index}] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has \
         read-only-allow-delete block]"
    );
    Refusal(429, "cluster_block_exception", reason)
}

pub async fn bulk(State(double): State<IndexDouble>, body: String) -> Response {
    reply(double.answer(move |state| bulk_lines(state, None, &body)).await)
}

pub async fn bulk_of(State(double): State<IndexDouble>, Path(index): Path<String>, body: String) -> Response {
    reply(double.answer(move |state| bulk_lines(state, Some(&index), &body)).await)
}

fn bulk_lines(state: &mut ContentIndex, default: Option<&str>, body: &str) -> Answer {
    let wrong = |reason: String| Refusal(400, "illegal_argument_exception", reason);
    let mut lines = body.lines().filter(|line| !line.trim().is_empty());
    let mut items = Vec::new();
    while let Some(line) = lines.next() {
        let action: Value =
            serde_json::from_str(line).map_err(|error| wrong(format!("a malformed action: {error}")))?;
        let (kind, of) =
            action.as_object().and_then(|one| one.iter().next()).ok_or_else(|| wrong("no action".into()))?;
        let name = of["_index"].as_str().or(default).unwrap_or_default().to_owned();
        let id = of["_id"].as_i64().or_else(|| of["_id"].as_str()?.parse().ok());
        if kind != "delete" {
            let source = lines.next().ok_or_else(|| wrong("an action without its document".to_owned()))?;
            serde_json::from_str::<Value>(source).map_err(|error| wrong(format!("a malformed document: {error}")))?;
        }
        items.push(json!({ kind: bulk_item(state, kind, &name, id) }));
    }
    let failed = items.iter().any(|item| item.pointer("/index/error").or(item.pointer("/delete/error")).is_some());
    Ok(json!({ "took": 1, "errors": failed, "items": items, "double": true }))
}

fn bulk_item(state: &mut ContentIndex, kind: &str, name: &str, id: Option<i64>) -> Value {
    let refused = |status: u16, kind: &str, reason: &str| json!({ "_index": name, "status": status, "error": { "type": kind, "reason": reason } });
    let Some(id) = id else {
        return refused(400, "illegal_argument_exception", "this double knows documents by number only");
    };
    let Some(index) = state.index_mut(name) else {
        return refused(404, "index_not_found_exception", "no such index");
    };
    let done = match kind {
        "index" | "create" if index.failed => {
            return refused(503, "unavailable_shards_exception", "primary shard is not active");
        }
        "index" | "create" if index.read_only_allow_delete => {
            return refused(429, "cluster_block_exception", "index has read-only-allow-delete block");
        }
        "index" | "create" => {
            index.held_back.remove(&id);
            if index.docs.insert(id) { (201, "created") } else { (200, "updated") }
        }
        "delete" => {
            if index.docs.remove(&id) {
                (200, "deleted")
            } else {
                (404, "not_found")
            }
        }
        _ => return refused(400, "illegal_argument_exception", "this double knows index, create and delete"),
    };
    json!({ "_index": name, "_id": id.to_string(), "status": done.0, "result": done.1 })
}
