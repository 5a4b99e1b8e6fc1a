//! The double of the web tier: a page at `/` and the ServiceAPI's JSON under `/CMServiceAPI/`, over TLS. And, in the
//! shape of a ServiceAPI plug-in, the connector's routes that change something, for whoever knows the password.
//!
//! Every response has the header `X-Double: content-manager-lab`, every JSON document a member `double: true`.

mod connector;
mod listener;
mod routes;
mod tls;

pub use listener::Listener;
pub use tls::{ca_file, ensure_authority, issue, renewed_files, served_files, server_config, show};

use crate::control::Switch;
use crate::layout::Folders;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use chrono::Duration;
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::watch;

/// What the handlers need.
#[derive(Clone)]
pub struct WebState {
    /// The dataset: the double really asks it.
    pub pool: PgPool,
    /// The faults in force.
    pub switches: watch::Receiver<Arc<Vec<Switch>>>,
    /// The time.
    pub clock: crate::options::Clock,
    /// Where what is ordered is written down.
    pub folders: Folders,
    /// The configuration follows from it.
    pub seed: u64,
    /// What a request that changes something must bring.
    pub authorization: Arc<str>,
}

impl WebState {
    fn switches(&self) -> Arc<Vec<Switch>> {
        Arc::clone(&self.switches.borrow())
    }
}

/// All routes.
pub fn router(state: WebState) -> Router {
    routes::routes()
        .merge(connector::routes(&state))
        .layer(from_fn_with_state(state.clone(), misbehave))
        .with_state(state)
}

/// Adds what every response has, and brings the faults into force.
async fn misbehave(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let switches = state.switches();
    let mut status = None;
    let mut skew = 0;
    for switch in switches.iter() {
        match switch {
            Switch::WebDelay { ms } => tokio::time::sleep(std::time::Duration::from_millis(*ms)).await,
            // The ServiceAPI is an application of its own: it goes on working.
            Switch::WebStatus { status: code } if !request.uri().path().starts_with("/CMServiceAPI") => {
                status = StatusCode::from_u16(*code).ok();
            }
            Switch::WebDateSkew { seconds } => skew = *seconds,
            Switch::Drain { service } if service == "web" => status = Some(StatusCode::SERVICE_UNAVAILABLE),
            _ => {}
        }
    }
    let mut response = match status {
        Some(StatusCode::SERVICE_UNAVAILABLE) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], "DOUBLE: no new work\n").into_response()
        }
        Some(status) => (status, "DOUBLE: Server Error in '/' Application (a planted fault)\n").into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert("x-double", HeaderValue::from_static("content-manager-lab"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    if skew != 0 {
        let date = ((state.clock)() + Duration::seconds(skew)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(date) = HeaderValue::from_str(&date) {
            headers.insert(header::DATE, date);
        }
    }
    response
}
