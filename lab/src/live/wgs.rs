//! Doubles of the workgroup servers' TCP ports: they accept, greet nothing and answer nothing, as an RCF port does to
//! a stranger.

use crate::error::LabError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The product's idle time-out.
const IDLE: Duration = Duration::from_mins(1);
const CONNECTIONS_MAX: usize = 250;
/// What a stranger may send before it is cut off.
const BYTES_MAX: usize = 1 << 20;
/// How long to try to get a port back that another program took meanwhile.
const REBIND_BOUND: Duration = Duration::from_secs(5);

/// The ports by server.
pub struct WgsDoubles {
    ports: BTreeMap<String, u16>,
    open: BTreeMap<String, Port>,
}

/// An open port.
struct Port {
    /// Takes no more connections; those that there are go on.
    drain: CancellationToken,
    /// Ends all of it.
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Port {
    async fn close(self) {
        self.cancel.cancel();
        // Joined, so that the port is closed when this returns.
        let _ = self.task.await;
    }
}

impl WgsDoubles {
    /// All closed yet.
    pub fn new(ports: BTreeMap<String, u16>) -> Self {
        Self { ports, open: BTreeMap::new() }
    }

    /// Opens and closes ports until exactly these are closed. Those that `fresh` names are closed first in any case;
    /// those of `draining` take no new connection.
    pub async fn apply(&mut self, closed: &[&str], draining: &[&str], fresh: &[&str]) -> Result<(), LabError> {
        for (name, port) in self.ports.clone() {
            let is_in = |names: &[&str]| names.contains(&name.as_str());
            let wanted = !is_in(closed);
            // A port that has drained is opened anew.
            let drained = self.open.get(&name).is_some_and(|port| port.drain.is_cancelled() && !is_in(draining));
            if (!wanted || is_in(fresh) || drained)
                && let Some(port) = self.open.remove(&name)
            {
                port.close().await;
            }
            if wanted && !self.open.contains_key(&name) {
                let listener = bind(port).await?;
                let (drain, cancel) = (CancellationToken::new(), CancellationToken::new());
                let task = tokio::spawn(serve(listener, drain.clone(), cancel.clone()));
                self.open.insert(name.clone(), Port { drain, cancel, task });
            }
            if let Some(port) = self.open.get(&name).filter(|_| is_in(draining)) {
                port.drain.cancel();
            }
        }
        Ok(())
    }
}

impl Drop for WgsDoubles {
    fn drop(&mut self) {
        for port in self.open.values() {
            port.cancel.cancel();
        }
    }
}

/// Listens on a port of this machine; one that another program took meanwhile is waited for.
pub async fn bind(port: u16) -> Result<TcpListener, LabError> {
    let deadline = Instant::now() + REBIND_BOUND;
    loop {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if Instant::now() > deadline => {
                return Err(LabError::io("listen on port", format!("127.0.0.1:{port}"))(error));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(listener: TcpListener, drain: CancellationToken, cancel: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            () = drain.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: give others time to close theirs.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Beyond the product's number of client threads a connection is closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let cancel = cancel.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = listen_to(stream) => {}
            }
            drop(place);
        });
    }
    drop(listener);
    cancel.cancelled().await;
}

/// Reads and forgets, until the other side ends, is idle for too long or sends too much.
async fn listen_to(mut stream: TcpStream) {
    let mut buffer = [0_u8; 4096];
    let mut total = 0;
    while total < BYTES_MAX {
        match tokio::time::timeout(IDLE, stream.read(&mut buffer)).await {
            Ok(Ok(read)) if read > 0 => total += read,
            _ => return,
        }
    }
}
