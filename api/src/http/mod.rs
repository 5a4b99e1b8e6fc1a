//! HTTP: our own handler for GraphQL (the stock one fails the specification's audit), the two streaming transports, and
//! what wraps every request.

mod accept;
mod admission;
mod answered;
mod graphql;
mod observe;
mod params;
mod sse;
mod websocket;

pub(crate) use admission::Admission;

use crate::problem::Problem;
use crate::state::ApiState;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

/// All routes of the API.
pub fn router(state: ApiState) -> Router {
    let guarded = Router::new()
        .route("/graphql", get(graphql::get).post(graphql::post))
        .route("/graphql/stream", get(sse::get).post(sse::post))
        .route("/graphql/ws", get(websocket::upgrade))
        .layer(middleware::from_fn_with_state(state.clone(), known_host_and_origin));
    Router::new()
        .merge(guarded)
        .route("/health", get(crate::health::health))
        .route("/ready", get(crate::health::ready))
        .route("/metrics", get(crate::metrics::metrics))
        .fallback(no_such_route)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(state.clone(), observe::observe))
        .with_state(state)
}

async fn known_host_and_origin(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if crate::auth::host_and_origin_allowed(&state.options, request.headers()) {
        return next.run(request).await;
    }
    let detail = "the request's Host or Origin is not one that this server answers";
    Problem::new(StatusCode::FORBIDDEN, "FOREIGN_ORIGIN", "Foreign origin", detail).into_response()
}

async fn no_such_route() -> Problem {
    let detail = "there are /graphql, /graphql/ws, /graphql/stream, /health, /ready and /metrics";
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "No such route", detail)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = message, "a request ended in a panic");
    let detail = "the request met a fault of the platform; its log says more";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "A fault of the platform", detail).into_response()
}
