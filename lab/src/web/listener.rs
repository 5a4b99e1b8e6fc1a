//! A port that an HTTP double answers on: opened, closed and opened again.

use crate::error::LabError;
use crate::live::wgs::bind;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const HANDSHAKE_BOUND: Duration = Duration::from_secs(10);
const HEADERS_BOUND: Duration = Duration::from_secs(30);
const CONNECTIONS_MAX: usize = 256;

/// The port, what answers on it, and whether it is open.
pub struct Listener {
    port: u16,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    open: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Listener {
    /// Closed yet. Without TLS where there is no configuration for it.
    pub fn new(port: u16, tls: Option<Arc<rustls::ServerConfig>>, router: Router) -> Self {
        Self { port, acceptor: tls.map(TlsAcceptor::from), router, open: None }
    }

    /// Opens or closes it; `fresh` closes it first in any case, with all its connections.
    pub async fn apply(&mut self, wanted: bool, fresh: bool) -> Result<(), LabError> {
        if (!wanted || fresh)
            && let Some((cancel, task)) = self.open.take()
        {
            cancel.cancel();
            // Joined, so that the port is closed when this returns.
            let _ = task.await;
        }
        if wanted && self.open.is_none() {
            let listener = bind(self.port).await?;
            let cancel = CancellationToken::new();
            let task = tokio::spawn(serve(listener, self.acceptor.clone(), self.router.clone(), cancel.clone()));
            self.open = Some((cancel, task));
        }
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((cancel, _)) = &self.open {
            cancel.cancel();
        }
    }
}

/// Serves until cancelled.
async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, router: Router, cancel: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = tokio::select! {
            () = cancel.cancelled() => return,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: give others time to close theirs.
            tokio::time::sleep(Duration::from_millis(50)).await;
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
async fn serve_connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, router: Router) {
    let Some(acceptor) = acceptor else { return serve_stream(stream, router).await };
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_BOUND, acceptor.accept(stream)).await else { return };
    serve_stream(stream, router).await;
}

async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, router: Router) {
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_BOUND)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
}
