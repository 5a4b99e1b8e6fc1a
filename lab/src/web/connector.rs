//! The connector: what a plug-in of the ServiceAPI would have to offer so that event processors and document queues can
//! be steered. The contract is the platform's own (`docs/connector-contract.md`), in the shape of a plug-in that is
//! public; this is its double.

use super::WebState;
use super::routes::{Answer, Refusal, reach_workgroup_server};
use crate::config;
use crate::control::{self, ProcessorMode, Switch};
use crate::error::LabError;
use crate::layout::WORKGROUP_SERVERS;
use crate::live::processors::{POISON, PROCESSORS};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use sqlx::Row as _;

pub fn routes(state: &WebState) -> Router<WebState> {
    let changing = Router::new()
        .route("/CMServiceAPI/TrimEventProcessors/{name}/Resume", post(resume))
        .route("/CMServiceAPI/TrimEventProcessors/{name}/Suspend", post(suspend))
        .route("/CMServiceAPI/TrimEventProcessors/{name}/Ignore", post(ignore))
        .route("/CMServiceAPI/TrimEventProcessors/{name}/SkipEvent", post(skip_event))
        .route("/CMServiceAPI/TrimEventProcessors/{name}/Requeue", post(requeue))
        .route("/CMServiceAPI/TrimEventProcessors/{name}/RunOn", post(run_on))
        .route("/CMServiceAPI/TrimDocumentQueues/{uri}/Stop", post(stop_queue))
        .route("/CMServiceAPI/TrimDocumentQueues/{uri}/Start", post(start_queue))
        .layer(from_fn_with_state(state.clone(), authorized));
    Router::new()
        .route("/CMServiceAPI/TrimEventProcessors/{name}", get(processor))
        .route("/CMServiceAPI/TrimEventProcessors/{name}/BlockedEvent", get(blocked_event))
        .route("/CMServiceAPI/TrimEventProcessors/{name}/Failures", get(failures))
        .route("/CMServiceAPI/TrimDocumentQueues/{uri}", get(queue))
        .merge(changing)
}

async fn authorized(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let brought = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if brought == Some(&*state.authorization) {
        return next.run(request).await;
    }
    Refusal::new(StatusCode::UNAUTHORIZED, "this needs the connector's user").into_response()
}

fn failed(error: &LabError) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, &crate::with_causes(error))
}

fn broken(error: &sqlx::Error) -> Refusal {
    tracing::warn!(error = %error, "the connector double could not ask the dataset");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The database is not available")
}

fn known(name: &str) -> Result<(), Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "there is no such event processor");
    PROCESSORS.iter().any(|one| one.name == name).then_some(()).ok_or_else(missing)
}

async fn processor(State(state): State<WebState>, Path(name): Path<String>) -> Answer {
    reach_workgroup_server(&state)?;
    known(&name)?;
    let row = sqlx::query("SELECT status, queued, lasterror FROM double_event_processor WHERE name = $1")
        .bind(&name)
        .fetch_one(&state.pool)
        .await
        .map_err(|error| broken(&error))?;
    let servers = config::servers_of(&state.folders, &name).map_err(|error| failed(&error))?;
    Ok(Json(json!({
        "double": true, "Name": name, "ProcessorStatus": row.get::<String, _>("status"),
        "QueuedEvents": row.get::<i64, _>("queued"), "LastError": row.get::<Option<String>, _>("lasterror"),
        "RunOn": servers,
    })))
}

async fn resume(state: State<WebState>, name: Path<String>) -> Answer {
    set_status(state, name, "Processing").await
}

async fn suspend(state: State<WebState>, name: Path<String>) -> Answer {
    set_status(state, name, "Suspended").await
}

async fn ignore(state: State<WebState>, name: Path<String>) -> Answer {
    set_status(state, name, "Ignored").await
}

async fn set_status(State(state): State<WebState>, Path(name): Path<String>, status: &'static str) -> Answer {
    reach_workgroup_server(&state)?;
    known(&name)?;
    let done = control::operate(&state.folders, |control| control.set_status(&name, status)).await;
    done.map_err(|error| failed(&error))?;
    Ok(Json(json!({ "double": true, "Name": name, "ProcessorStatus": status })))
}

/// The event that a processor fails on again and again, where there is one.
async fn blocked_event(State(state): State<WebState>, Path(name): Path<String>) -> Answer {
    reach_workgroup_server(&state)?;
    known(&name)?;
    Ok(Json(json!({ "double": true, "Name": name, "Event": is_poisoned(&state, &name).then(event_json) })))
}

fn is_poisoned(state: &WebState, name: &str) -> bool {
    let is =
        |switch: &Switch| matches!(switch, Switch::Processor { name: one, mode: ProcessorMode::Poison } if one == name);
    state.switches().iter().any(is)
}

fn event_json() -> serde_json::Value {
    json!({ "Id": POISON.id, "EventType": POISON.event_type, "ObjectType": POISON.object_type,
        "ObjectUri": POISON.object_uri })
}

#[derive(Debug, Deserialize)]
struct Skip {
    #[serde(rename = "EventId")]
    event: i64,
}

async fn skip_event(State(state): State<WebState>, Path(name): Path<String>, Json(skip): Json<Skip>) -> Answer {
    reach_workgroup_server(&state)?;
    known(&name)?;
    if !is_poisoned(&state, &name) || skip.event != POISON.id {
        return Err(Refusal::new(StatusCode::CONFLICT, "this event does not block the processor"));
    }
    let done = control::operate(&state.folders, |control| control.skip_event(&name)).await;
    done.map_err(|error| failed(&error))?;
    Ok(Json(json!({ "double": true, "Name": name, "Skipped": event_json() })))
}

/// How many documents have which index status.
async fn failures(State(state): State<WebState>, Path(name): Path<String>) -> Answer {
    reach_workgroup_server(&state)?;
    known(&name)?;
    let rows = sqlx::query("SELECT reindexstatus, count(*) AS count FROM tsrecelec GROUP BY 1 ORDER BY 1")
        .fetch_all(&state.pool)
        .await
        .map_err(|error| broken(&error))?;
    let of = |row: &sqlx::postgres::PgRow| (row.get::<String, _>(0), json!(row.get::<i64, _>(1)));
    let counts: serde_json::Map<String, serde_json::Value> = rows.iter().map(of).collect();
    Ok(Json(json!({ "double": true, "Name": name, "DocumentsByStatus": counts })))
}

#[derive(Debug, Deserialize)]
struct Requeue {
    #[serde(rename = "Status")]
    status: String,
}

/// The double's processor is done with what is queued again as soon as it is.
async fn requeue(State(state): State<WebState>, Path(name): Path<String>, Json(ask): Json<Requeue>) -> Answer {
    reach_workgroup_server(&state)?;
    if name != "ContentIndex" || ask.status != "NetworkError" {
        let message = "this double queues documents with the status NetworkError again, for ContentIndex";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    }
    let done = sqlx::query("UPDATE tsrecelec SET reindexstatus = 'OK' WHERE reindexstatus = $1")
        .bind(&ask.status)
        .execute(&state.pool)
        .await
        .map_err(|error| broken(&error))?;
    Ok(Json(json!({ "double": true, "Name": name, "Requeued": done.rows_affected() })))
}

#[derive(Debug, Deserialize)]
struct RunOn {
    #[serde(rename = "Servers")]
    servers: Vec<String>,
}

async fn run_on(State(state): State<WebState>, Path(name): Path<String>, Json(ask): Json<RunOn>) -> Answer {
    reach_workgroup_server(&state)?;
    known(&name)?;
    let mut servers = ask.servers;
    servers.sort();
    servers.dedup();
    if servers.is_empty() || !servers.iter().all(|one| WORKGROUP_SERVERS.contains(&one.as_str())) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "there is no such workgroup server"));
    }
    config::order_servers(&state.folders, state.seed, &name, &servers).map_err(|error| failed(&error))?;
    let done = control::operate(&state.folders, |control| control.spread(&name, servers.len())).await;
    done.map_err(|error| failed(&error))?;
    Ok(Json(json!({ "double": true, "Name": name, "RunOn": servers })))
}

async fn queue(State(state): State<WebState>, Path(uri): Path<i64>) -> Answer {
    reach_workgroup_server(&state)?;
    let row = sqlx::query("SELECT name, automatic FROM double_document_queue WHERE uri = $1")
        .bind(uri)
        .fetch_optional(&state.pool)
        .await
        .map_err(|error| broken(&error))?;
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "there is no such document queue");
    let row = row.ok_or_else(missing)?;
    let (name, automatic): (String, bool) = (row.get(0), row.get(1));
    Ok(Json(json!({ "double": true, "Uri": uri, "Name": name, "AutomaticProcessing": automatic })))
}

async fn stop_queue(state: State<WebState>, uri: Path<i64>) -> Answer {
    set_queue(state, uri, false).await
}

async fn start_queue(state: State<WebState>, uri: Path<i64>) -> Answer {
    set_queue(state, uri, true).await
}

async fn set_queue(State(state): State<WebState>, Path(uri): Path<i64>, automatic: bool) -> Answer {
    reach_workgroup_server(&state)?;
    sqlx::query("UPDATE double_document_queue SET automatic = $2 WHERE uri = $1 AND automatic <> $2")
        .bind(uri)
        .bind(automatic)
        .execute(&state.pool)
        .await
        .map_err(|error| broken(&error))?;
    queue(State(state), Path(uri)).await
}
