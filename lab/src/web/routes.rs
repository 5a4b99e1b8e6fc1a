//! What the double answers: the shapes of the ServiceAPI and of the public monitoring plug-in, from the dataset.

use super::WebState;
use crate::control::Switch;
use crate::layout::DBID;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

const PAGE_SIZE_MAX: i64 = 1_000;
const QUERY_CHARS_MAX: usize = 500;
const PAGE: &str = "<!doctype html><html lang=\"en\"><head><title>Content Manager (DOUBLE)</title></head><body>\
    <h1>This is a double of a Content Manager web client</h1>\
    <p>It belongs to a lab. No record here is real.</p></body></html>\n";

pub fn routes() -> Router<WebState> {
    Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/CMServiceAPI", get(index))
        .route("/CMServiceAPI/", get(index))
        .route("/CMServiceAPI/Record", get(records))
        .route("/CMServiceAPI/Record/{uri}", get(record))
        .route("/CMServiceAPI/RecordType", get(record_types))
        .route("/CMServiceAPI/TrimDatasets", get(datasets))
        .route("/CMServiceAPI/TrimWorkgroupServers", get(workgroup_servers))
        .route("/CMServiceAPI/TrimEventProcessors", get(event_processors))
        .route("/CMServiceAPI/TrimLicences", get(licences))
        .fallback(|| async { failure(StatusCode::NOT_FOUND, "there is no such route on this double") })
}

/// The search parameters of the ServiceAPI that the double understands.
#[derive(Debug, Deserialize)]
struct Search {
    q: Option<String>,
    #[serde(rename = "pageSize", alias = "pagesize")]
    page_size: Option<i64>,
    start: Option<i64>,
    #[serde(rename = "ExcludeCount", alias = "excludeCount")]
    exclude_count: Option<bool>,
}

pub type Answer = Result<Json<Value>, Refusal>;

/// An error response, boxed because it is rare and large.
pub struct Refusal(Box<Response>);

impl Refusal {
    pub fn new(status: StatusCode, message: &str) -> Self {
        Self(Box::new(failure(status, message)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

async fn index() -> Json<Value> {
    let routes =
        ["Record", "RecordType", "TrimDatasets", "TrimWorkgroupServers", "TrimEventProcessors", "TrimLicences"];
    Json(json!({ "double": true, "Product": "Content Manager ServiceAPI (DOUBLE)", "Routes": routes }))
}

async fn records(State(state): State<WebState>, Query(search): Query<Search>) -> Answer {
    reach_workgroup_server(&state)?;
    let q = search.q.unwrap_or_default();
    let (condition, argument) = condition(&q)?;
    let size = search.page_size.unwrap_or(20).clamp(1, PAGE_SIZE_MAX);
    let start = search.start.unwrap_or(1).max(1);
    let rows = sqlx::query(&format!("{RECORDS} WHERE {condition} ORDER BY r.uri OFFSET $2 LIMIT $3"))
        .bind(&argument)
        .bind(start - 1)
        .bind(size + 1)
        .fetch_all(&state.pool)
        .await
        .map_err(|error| database_failure(&error))?;
    let more = rows.len() as i64 > size;
    let results: Vec<Value> = rows.iter().take(size as usize).map(record_json).collect();
    let mut answer = list("Record", results);
    answer.insert("HasMoreItems".to_owned(), more.into());
    if search.exclude_count != Some(true) {
        let total: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM tsrecord r WHERE {condition}"))
            .bind(&argument)
            .fetch_one(&state.pool)
            .await
            .map_err(|error| database_failure(&error))?;
        answer.insert("TotalResults".to_owned(), total.into());
    }
    Ok(Json(answer.into()))
}

async fn record(State(state): State<WebState>, Path(uri): Path<i64>) -> Answer {
    reach_workgroup_server(&state)?;
    let rows = sqlx::query(&format!("{RECORDS} WHERE r.uri = $1"))
        .bind(uri)
        .fetch_all(&state.pool)
        .await
        .map_err(|error| database_failure(&error))?;
    if rows.is_empty() {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "Unable to find the object with this Uri"));
    }
    Ok(Json(list("Record", rows.iter().map(record_json).collect()).into()))
}

const RECORDS: &str = "SELECT r.uri, r.recordid, r.rctitle, t.rtname, r.rcdatereg, e.rebytes, e.refilename
    FROM tsrecord r JOIN tsrectype t ON t.uri = r.rcrectypeuri LEFT JOIN tsrecelec e ON e.uri = r.uri";

/// The SQL for a search text; `$1` is its argument. Only what a probe needs is understood.
fn condition(q: &str) -> Result<(&'static str, String), Refusal> {
    if q.chars().count() > QUERY_CHARS_MAX {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the search is too long"));
    }
    let (field, argument) = q.split_once(':').unwrap_or((q, ""));
    let condition = match field.trim().to_ascii_lowercase().as_str() {
        "all" | "" => "$1::text IS NOT NULL",
        "unkuri" | "uri" => "r.uri::text = $1",
        "number" => "r.recordid = $1",
        "title" => "r.uri IN (SELECT recuri FROM tstxtidx WHERE word = lower($1))",
        _ => {
            let message = "this double understands only: all, uri:<n>, number:<record number>, title:<word>";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
        }
    };
    Ok((condition, argument.trim().to_owned()))
}

fn record_json(row: &PgRow) -> Value {
    json!({
        "TrimType": "Record",
        "Uri": row.get::<i64, _>("uri"),
        "RecordNumber": { "Value": row.get::<String, _>("recordid") },
        "RecordTitle": { "Value": row.get::<String, _>("rctitle") },
        "RecordRecordType": { "Name": row.get::<String, _>("rtname") },
        "RecordDateRegistered": { "DateTime": time(row.get("rcdatereg")) },
        "RecordDocumentSize": { "Value": row.get::<Option<i64>, _>("rebytes") },
        "RecordFileName": { "Value": row.get::<Option<String>, _>("refilename") },
        "double": true,
    })
}

async fn record_types(State(state): State<WebState>) -> Answer {
    reach_workgroup_server(&state)?;
    let statement = "SELECT uri, rtname, rtneedsdocument FROM tsrectype ORDER BY uri";
    answer_all(&state, "RecordType", statement, |row| {
        json!({
            "TrimType": "RecordType",
            "Uri": row.get::<i64, _>("uri"),
            "NameString": row.get::<String, _>("rtname"),
            "NeedsDocument": row.get::<bool, _>("rtneedsdocument"),
        })
    })
    .await
}

async fn datasets(State(state): State<WebState>) -> Answer {
    reach_workgroup_server(&state)?;
    answer_all(&state, "Dataset", "SELECT dbid, schemaversion, product FROM double_schema_info", |row| {
        json!({
            "Id": row.get::<String, _>("dbid"),
            "SchemaVersion": row.get::<i32, _>("schemaversion"),
            "Product": row.get::<String, _>("product"),
            "DatabaseType": "PostgreSQL",
        })
    })
    .await
}

async fn workgroup_servers(State(state): State<WebState>) -> Answer {
    reach_workgroup_server(&state)?;
    let statement = "SELECT wgs, count(*) AS processors FROM double_event_processor GROUP BY wgs ORDER BY wgs";
    answer_all(&state, "WorkgroupServer", statement, |row| {
        json!({
            "Name": row.get::<String, _>("wgs"),
            "Port": 1137,
            "Datasets": [DBID],
            "EventProcessors": row.get::<i64, _>("processors"),
        })
    })
    .await
}

async fn event_processors(State(state): State<WebState>) -> Answer {
    reach_workgroup_server(&state)?;
    answer_all(&state, "EventProcessor", "SELECT * FROM double_event_processor ORDER BY name", |row| {
        json!({
            "Name": row.get::<String, _>("name"),
            "WorkgroupServer": row.get::<String, _>("wgs"),
            "ProcessorStatus": row.get::<String, _>("status"),
            "StatusSince": time(row.get("status_since")),
            "QueuedEvents": row.get::<i64, _>("queued"),
            "ProcessedEvents": row.get::<i64, _>("processed"),
            "FailedEvents": row.get::<i64, _>("failed"),
            "TimerEvents": row.get::<i64, _>("timerevents"),
            "TimerFailedEvents": row.get::<i64, _>("timerfailed"),
            "LastError": row.get::<Option<String>, _>("lasterror"),
            "SampledAt": time(row.get("sampled_at")),
        })
    })
    .await
}

async fn licences(State(state): State<WebState>) -> Answer {
    reach_workgroup_server(&state)?;
    answer_all(&state, "Licence", "SELECT * FROM double_licence ORDER BY module", |row| {
        json!({
            "Module": row.get::<String, _>("module"),
            "Seats": row.get::<i32, _>("seats"),
            "Used": row.get::<i32, _>("used"),
            "Expires": time(row.get("expires")),
        })
    })
    .await
}

async fn answer_all(state: &WebState, kind: &str, statement: &str, to_json: fn(&PgRow) -> Value) -> Answer {
    let rows = sqlx::query(statement).fetch_all(&state.pool).await.map_err(|error| database_failure(&error))?;
    let mut answer = list(kind, rows.iter().map(to_json).collect());
    answer.insert("TotalResults".to_owned(), rows.len().into());
    Ok(Json(answer.into()))
}

fn list(kind: &str, results: Vec<Value>) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("double".to_owned(), true.into());
    answer.insert("TrimType".to_owned(), kind.into());
    answer.insert("HasMoreItems".to_owned(), false.into());
    answer.insert("Results".to_owned(), results.into());
    answer.insert("ResponseStatus".to_owned(), json!({}));
    answer
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The fault: the web tier lives, but what it needs for every query does not answer.
pub fn reach_workgroup_server(state: &WebState) -> Result<(), Refusal> {
    if state.switches().contains(&Switch::WebNoWgs) {
        let message = "Unable to connect to any Workgroup Server (double: a planted fault)";
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message));
    }
    Ok(())
}

fn database_failure(error: &sqlx::Error) -> Refusal {
    tracing::warn!(error = %error, "the web double could not ask the dataset");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The database is not available")
}

fn failure(status: StatusCode, message: &str) -> Response {
    let error = json!({ "ErrorCode": status.as_str(), "Message": message });
    (status, Json(json!({ "double": true, "Results": [], "ResponseStatus": error }))).into_response()
}
