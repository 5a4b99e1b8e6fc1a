//! `/graphql`: one request, one answer, as "GraphQL over HTTP" has it. All 61 of the specification's audits pass.

use super::accept::{Media, names, negotiate};
use super::answered::{Answered, Asked, Turned, answered};
use super::observe::Traceparent;
use super::params::{Malformed, Params, caller};
use crate::problem::{Problem, retry_after_value};
use crate::schema::codes;
use crate::schema::documents::AllowedOperations;
use crate::state::ApiState;
use async_graphql::{PathSegment, Response as GraphqlResponse, ServerError, Value};
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;

/// Queries by GET; GraphiQL for a browser, where it is switched on.
pub async fn get(
    State(state): State<ApiState>,
    Extension(Traceparent(traceparent)): Extension<Traceparent>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if state.options.graphiql && uri.query().is_none() && names(&headers, "text/html") {
        return graphiql();
    }
    answer(&state, &headers, traceparent, AllowedOperations::READ, async { Ok(Asked::ByGet(uri)) }).await
}

/// Queries and mutations by POST.
pub async fn post(
    State(state): State<ApiState>,
    Extension(Traceparent(traceparent)): Extension<Traceparent>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let asked = async {
        let turn = state.arriving.acquire();
        let Ok(Ok(_turn)) = tokio::time::timeout(state.options.queue_wait, turn).await else {
            return Err(Turned::Away);
        };
        Ok(Asked::ByPost(Params::body(&headers, body, state.options.limits.body_bytes).await?))
    };
    answer(&state, &headers, traceparent, AllowedOperations::ONE_ANSWER, asked).await
}

async fn answer(
    state: &ApiState,
    headers: &HeaderMap,
    traceparent: Option<String>,
    allowed: AllowedOperations,
    asked: impl Future<Output = Result<Asked, Turned>>,
) -> Response {
    let Some(media) = negotiate(headers) else {
        let detail = "application/graphql-response+json and application/json are served";
        return Problem::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", "Not acceptable", detail).into_response();
    };
    let caller = match caller(state, headers, traceparent) {
        Ok(caller) => caller,
        Err(problem) => {
            let error = codes::coded_server_error(codes::UNAUTHENTICATED, problem.detail);
            let mut response = refuse(state, media, problem.status, error);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
    };
    let work = async { answered(state, caller, allowed, asked.await?).await };
    match tokio::time::timeout(state.options.request_timeout, work).await {
        Ok(Ok(Answered::Fine(body))) => {
            let body = state.opened_body(body).await;
            dressed(StatusCode::OK, media, body.into(), state.options.retry_after)
        }
        Ok(Ok(Answered::Response(response))) => respond(state, media, *response).await,
        Ok(Err(Turned::Malformed(Malformed { status, error }))) => refuse(state, media, status, error),
        Ok(Err(Turned::Away)) => {
            state.metrics.shed.inc();
            let error = codes::coded_server_error(codes::OVERLOADED, "too many requests are in work");
            refuse(state, media, StatusCode::SERVICE_UNAVAILABLE, error)
        }
        Err(_) => {
            let seconds = state.options.request_timeout.as_secs_f64();
            let message = format!("the request took longer than {seconds} s; to repeat it, use its idempotency key");
            let error = codes::coded_server_error(codes::TIMEOUT, message);
            refuse(state, media, StatusCode::GATEWAY_TIMEOUT, error)
        }
    }
}

/// What the specification calls a well-formed response; `data` is left out where nothing was executed.
#[derive(Serialize)]
struct WellFormed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    extensions: &'a std::collections::BTreeMap<String, Value>,
}

/// Whether nothing was executed: the document, its variables or its operation were at fault.
fn is_request_error(response: &GraphqlResponse) -> bool {
    let nowhere = |error: &ServerError| error.path.iter().all(|segment| matches!(segment, PathSegment::Index(_)));
    response.data == Value::Null && !response.errors.is_empty() && response.errors.iter().all(nowhere)
}

/// The status of an answer. The draft of 2026 would say 422 and 294 in places; the audit of today wants these.
fn status_of(response: &GraphqlResponse, media: Media) -> StatusCode {
    if codes::has(response, codes::UNAVAILABLE) || codes::has(response, codes::OVERLOADED) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if codes::has(response, codes::OPERATION_NOT_ALLOWED) {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    match media {
        Media::GraphqlResponse if is_request_error(response) => StatusCode::BAD_REQUEST,
        Media::GraphqlResponse | Media::Json => StatusCode::OK,
    }
}

async fn respond(state: &ApiState, media: Media, response: GraphqlResponse) -> Response {
    let status = status_of(&response, media);
    let Ok(body) = body_of(&response) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let body = state.opened_body(body.into()).await;
    let mut answer = dressed(status, media, body.into(), state.options.retry_after);
    answer.headers_mut().extend(response.http_headers);
    answer
}

fn refuse(state: &ApiState, media: Media, status: StatusCode, error: ServerError) -> Response {
    let response = GraphqlResponse::from_errors(vec![error]);
    match body_of(&response) {
        Ok(body) => dressed(status, media, body.into(), state.options.retry_after),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) fn body_of(response: &GraphqlResponse) -> Result<Vec<u8>, serde_json::Error> {
    let data = (!is_request_error(response)).then_some(&response.data);
    serde_json::to_vec(&WellFormed { data, errors: &response.errors, extensions: &response.extensions })
}

fn dressed(status: StatusCode, media: Media, body: Body, retry_after: Duration) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.as_str()));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, retry_after_value(retry_after));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    answer
}

fn graphiql() -> Response {
    let page = async_graphql::http::GraphiQLSource::build()
        .endpoint("/graphql")
        .subscription_endpoint("/graphql/ws")
        .title("CM Diagnostics Platform")
        .finish();
    // The page is made of inline and foreign scripts, which is why it is an option for development.
    let policy = "default-src 'self'; script-src 'unsafe-inline' https:; style-src 'unsafe-inline' https:; \
                  img-src https: data:; font-src https: data:; connect-src 'self' https:; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: &'static str, path: &[&str]) -> GraphqlResponse {
        let mut error = codes::coded_server_error(code, "no");
        error.path = path.iter().map(|name| PathSegment::Field((*name).to_owned())).collect();
        GraphqlResponse::from_errors(vec![error])
    }

    #[test]
    fn statuses_by_what_became_of_the_request() {
        use Media::{GraphqlResponse as New, Json as Old};
        let fine = || GraphqlResponse::new(Value::from("x"));
        let cases = [
            (fine(), New, 200),
            (fine(), Old, 200),
            (failed(codes::GRAPHQL_VALIDATION_FAILED, &[]), New, 400),
            (failed(codes::GRAPHQL_VALIDATION_FAILED, &[]), Old, 200),
            (failed(codes::BEHIND, &["run"]), New, 200),
            (failed(codes::UNAVAILABLE, &["run"]), New, 503),
            (failed(codes::UNAVAILABLE, &["run"]), Old, 503),
            (failed(codes::OPERATION_NOT_ALLOWED, &[]), Old, 405),
        ];
        for (response, media, expected) in cases {
            assert_eq!(status_of(&response, media).as_u16(), expected, "{response:?} {media:?}");
        }
    }
}
