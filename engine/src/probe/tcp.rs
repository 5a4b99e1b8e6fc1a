//! A TCP connect: a port that is closed, or does not answer, is what was measured.

use super::rows::{Measured, row};
use super::{ProbeError, Run, net};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// The port of a workgroup server where none is set.
const DEFAULT_PORT: u16 = 1137;

pub(super) async fn measure(run: &Run<'_>) -> Result<Measured, ProbeError> {
    let (host, port) = net::endpoint(run.target, DEFAULT_PORT)?;
    let addresses = net::resolve(&host, port).await?;
    // The connect gives up before the measurement does, so that silence is told as what was measured.
    let patience = run.timeout.mul_f64(0.8);
    let started = Instant::now();
    let connected = connect(&addresses, patience).await;
    let latency_ms = started.elapsed().as_secs_f64() * 1e3;
    let error = connected.as_ref().err();
    Ok(Measured::one(row! {
        host: host,
        port: port,
        connected: error.is_none(),
        refused: error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused),
        error: error.map(ToString::to_string),
        latency_ms: latency_ms,
    }))
}

/// Connects to the first address that answers; the error is the last one's.
pub(super) async fn connect(addresses: &[SocketAddr], patience: Duration) -> io::Result<TcpStream> {
    let attempts = async {
        let mut last = io::Error::other("there is no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    match tokio::time::timeout(patience, attempts).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", patience.as_millis()))),
    }
}
