//! What the cluster says of itself, and the retry of what it gave up.

use super::state::{ContentIndex, Index};
use super::{CLUSTER, IndexDouble, Refusal, no_such, reply};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub async fn root() -> impl IntoResponse {
    reply(Ok(json!({
        "name": "double-1", "cluster_name": CLUSTER, "cluster_uuid": "double", "double": true,
        "version": { "number": "8.0.0", "build_flavor": "double" },
        "tagline": "A double of a content index. There is no search engine behind it.",
    })))
}

#[derive(Debug, Deserialize)]
pub struct Level {
    level: Option<String>,
}

pub async fn health(State(double): State<IndexDouble>, Query(query): Query<Level>) -> Response {
    reply(double.answer(move |state| Ok(health_json(state, |_| true, query.level.as_deref()))).await)
}

pub async fn health_of(
    State(double): State<IndexDouble>,
    Path(index): Path<String>,
    Query(query): Query<Level>,
) -> Response {
    let work = move |state: &mut ContentIndex| {
        let name = state.name(&index).ok_or_else(|| no_such(&index))?.to_owned();
        Ok(health_json(state, |one| one == name, query.level.as_deref()))
    };
    reply(double.answer(work).await)
}

/// Of the shards of the indices that are meant; each index has one primary.
fn health_json(state: &ContentIndex, meant: impl Fn(&str) -> bool, level: Option<&str>) -> Value {
    let indices: Vec<(&String, &Index)> = state.indices.iter().filter(|(name, _)| meant(name)).collect();
    let worst = ["red", "yellow"].into_iter().find(|status| indices.iter().any(|(_, one)| one.status() == *status));
    let active = indices.iter().filter(|(_, one)| !one.failed).count();
    let unassigned: usize = indices.iter().map(|(_, one)| missing_shards(one)).sum();
    let mut health = json!({
        "cluster_name": CLUSTER, "double": true, "status": worst.unwrap_or("green"), "timed_out": false,
        "number_of_nodes": 1, "number_of_data_nodes": 1, "active_primary_shards": active, "active_shards": active,
        "relocating_shards": 0, "initializing_shards": 0, "unassigned_shards": unassigned,
        "active_shards_percent_as_number": 100.0 * active as f64 / (active + unassigned).max(1) as f64,
    });
    if level.is_some_and(|level| level != "cluster") {
        let of = |one: &Index| {
            json!({
                "status": one.status(), "number_of_shards": 1, "number_of_replicas": one.replicas,
                "active_primary_shards": u32::from(!one.failed), "active_shards": u32::from(!one.failed),
                "unassigned_shards": missing_shards(one),
            })
        };
        let indices: Map<String, Value> = indices.iter().map(|(name, one)| ((*name).clone(), of(one))).collect();
        health["indices"] = indices.into();
    }
    health
}

fn missing_shards(index: &Index) -> usize {
    usize::from(index.failed) + index.replicas as usize
}

#[derive(Debug, Deserialize)]
pub struct Reroute {
    retry_failed: Option<String>,
}

/// What made the shard fail is over: it is only that nobody tries again.
pub async fn reroute(State(double): State<IndexDouble>, Query(query): Query<Reroute>) -> Response {
    let retry = query.retry_failed.is_some_and(|value| value.is_empty() || value == "true");
    let work = move |state: &mut ContentIndex| {
        if retry {
            state.indices.values_mut().for_each(|index| index.failed = false);
        }
        Ok(json!({ "acknowledged": true, "double": true }))
    };
    reply(double.answer(work).await)
}

/// Why the first shard that is not allocated is not.
pub async fn explain(State(double): State<IndexDouble>) -> Response {
    let work = |state: &mut ContentIndex| {
        let nothing = "unable to find any unassigned shards to explain";
        let found = state.indices.iter().find(|(_, index)| missing_shards(index) > 0);
        let (name, index) = found.ok_or_else(|| Refusal(400, "illegal_argument_exception", nothing.to_owned()))?;
        let (reason, why) = if index.failed {
            (
                "ALLOCATION_FAILED",
                "shard has exceeded the maximum number of retries [5] on failed allocation attempts - manually call \
                 [POST /_cluster/reroute?retry_failed=true] to retry",
            )
        } else {
            ("INDEX_CREATED", "a copy of this shard is already allocated to this node")
        };
        Ok(json!({
            "index": name, "shard": 0, "primary": index.failed, "current_state": "unassigned", "double": true,
            "unassigned_info": { "reason": reason, "failed_allocation_attempts": if index.failed { 5 } else { 0 } },
            "can_allocate": "no", "allocate_explanation": why,
        }))
    };
    reply(double.answer(work).await)
}

/// How full the disk is that the lab lives on: measured, not made up.
pub async fn allocation(State(double): State<IndexDouble>) -> Response {
    let answer = match rustix::fs::statvfs(double.folders.root()) {
        Ok(disk) => {
            let (used, free) = (disk.f_blocks - disk.f_bfree, disk.f_bavail);
            let percent = (100 * used).div_ceil((used + free).max(1));
            Ok(json!([{ "node": "double-1", "shards": "1", "disk.percent": percent.to_string() }]))
        }
        Err(error) => Err(Refusal(500, "io_exception", format!("the double's disk: {error}"))),
    };
    reply(answer)
}
