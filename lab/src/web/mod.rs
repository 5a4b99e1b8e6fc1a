//! The double of the web tier: a page at `/` and the ServiceAPI's JSON under `/CMServiceAPI/`, over TLS.
//!
//! Every response has the header `X-Double: content-manager-lab`, every JSON document a member `double: true`.

mod routes;
mod tls;

pub use tls::{ca_file, ensure_authority, server_config};

use crate::control::Switch;
use crate::error::LabError;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use chrono::Duration;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sqlx::PgPool;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const HANDSHAKE_BOUND: std::time::Duration = std::time::Duration::from_secs(10);
const HEADERS_BOUND: std::time::Duration = std::time::Duration::from_secs(30);
const CONNECTIONS_MAX: usize = 256;

/// What the handlers need.
#[derive(Clone)]
pub struct WebState {
    /// The dataset: the double really asks it.
    pub pool: PgPool,
    /// The faults in force.
    pub switches: watch::Receiver<Arc<Vec<Switch>>>,
    /// The time.
    pub clock: crate::options::Clock,
}

impl WebState {
    fn switches(&self) -> Arc<Vec<Switch>> {
        Arc::clone(&self.switches.borrow())
    }
}

fn router(state: WebState) -> Router {
    routes::routes().layer(from_fn_with_state(state.clone(), misbehave)).with_state(state)
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
            _ => {}
        }
    }
    let mut response = match status {
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

/// Serves until cancelled.
pub async fn serve(
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
    state: WebState,
    cancel: CancellationToken,
) -> Result<(), LabError> {
    let acceptor = TlsAcceptor::from(config);
    let router = router(state);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            place = Arc::clone(&places).acquire_owned() => place,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { return Ok(()) };
        let accepted = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: give others time to close theirs.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let (acceptor, router, cancel) = (acceptor.clone(), router.clone(), cancel.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = serve_connection(stream, acceptor, router) => {}
            }
            drop(place);
        });
    }
}

/// One connection. Its errors are the client's: they are not reported.
async fn serve_connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_BOUND, acceptor.accept(stream)).await else { return };
    let service = TowerToHyperService::new(router);
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_BOUND)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
