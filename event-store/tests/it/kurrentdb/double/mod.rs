//! A double of a KurrentDB server, or of a cluster of them, in this process. It speaks the server's own protocol over
//! real connections, keeps the rules of appends that the server documents, and can be made to fail.
//!
//! It is no KurrentDB: it keeps nothing, replicates nothing and knows no users. What it proves is that our side keeps
//! its promises under every answer and every failure that it can give. The same contract runs against a real server
//! where `CMDIAG_TEST_KURRENTDB` names one.

mod grpc;
mod messages;
mod prompt;
mod service;
mod store;

pub use grpc::Status;
pub use messages::{ExpectedRevision, ProposedMessage, Uuid as WireUuid};
pub use store::{Outcome, Record, Store};

use grpc::{Answer, Call, UNAVAILABLE, response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, server};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prompt::Prompt;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What goes wrong with one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection breaks, and nothing was done.
    DropBefore,
    /// It is done, and the connection breaks before the answer.
    DropAfter,
    /// The node says that it can not just now.
    Unavailable,
    /// The node says that another one leads, and names itself: a leader that has just been elected.
    NotLeader,
    /// It is done, late.
    Delay(Duration),
    /// Nothing is done, and nobody answers.
    Hang,
}

/// A fault that waits for its calls: of this method and stream, after so many that go well.
#[derive(Debug)]
struct Planted {
    method: &'static str,
    /// What the call must mention, such as a stream's beginning.
    about: String,
    skip: usize,
    fault: Fault,
}

/// The double.
pub struct KurrentDouble {
    shared: Arc<Shared>,
}

/// What its nodes share.
pub struct Shared {
    store: Mutex<Store>,
    nodes: Mutex<Vec<Node>>,
    leader: AtomicUsize,
    planted: Mutex<VecDeque<Planted>>,
    calls: AtomicUsize,
}

struct Node {
    port: u16,
    /// Ends its listener and its connections; cancelled: the node is down.
    life: CancellationToken,
    /// Ends its connections only.
    connections: CancellationToken,
}

impl KurrentDouble {
    /// What it calls itself wherever it shows.
    pub const NAME: &'static str = "KurrentDouble";

    /// So many nodes, of which the first leads.
    pub async fn start(nodes: usize) -> Self {
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            nodes: Mutex::default(),
            leader: AtomicUsize::new(0),
            planted: Mutex::default(),
            calls: AtomicUsize::new(0),
        });
        for node in 0..nodes {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let (life, connections) = (CancellationToken::new(), CancellationToken::new());
            shared.nodes().push(Node { port, life: life.clone(), connections });
            tokio::spawn(life.run_until_cancelled_owned(listen(Arc::clone(&shared), node, listener)));
        }
        eprintln!("{}: {nodes} node(s), in this process; no KurrentDB", Self::NAME);
        Self { shared }
    }

    /// Where the client finds it: the node itself, or the whole cluster.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.shared.ports().iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("esdb://{}?tls=false&discoveryInterval=10", hosts.join(","))
    }

    /// The log.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store()
    }

    /// Plants a fault: it strikes the call of `method` (`Read`, `Append`) about a stream that begins so, after `skip`
    /// of them.
    pub fn plant(&self, method: &'static str, about: impl Into<String>, skip: usize, fault: Fault) {
        self.shared.planted.lock().unwrap().push_back(Planted { method, about: about.into(), skip, fault });
    }

    /// How many faults have not struck yet.
    pub fn planted(&self) -> usize {
        self.shared.planted.lock().unwrap().len()
    }

    /// Calls answered until now.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Breaks every connection.
    pub fn drop_connections(&self) {
        for node in self.shared.nodes().iter_mut() {
            std::mem::take(&mut node.connections).cancel();
        }
    }

    /// Another node leads.
    pub fn elect(&self, node: usize) {
        self.shared.leader.store(node, Ordering::SeqCst);
    }

    /// A node goes down for good: its port is closed, its connections break.
    pub fn kill(&self, node: usize) {
        let node = &mut self.shared.nodes()[node];
        node.life.cancel();
        std::mem::take(&mut node.connections).cancel();
    }

    /// Brings a node that went down back, at its port.
    pub async fn revive(&self, node: usize) {
        let port = self.shared.nodes()[node].port;
        // Its old listener may take a moment to go.
        let listener =
            crate::support::eventually("the port is free", async || TcpListener::bind(("127.0.0.1", port)).await.ok())
                .await;
        let life = CancellationToken::new();
        self.shared.nodes()[node].life = life.clone();
        tokio::spawn(life.run_until_cancelled_owned(listen(Arc::clone(&self.shared), node, listener)));
    }
}

impl Drop for KurrentDouble {
    fn drop(&mut self) {
        for node in self.shared.nodes().iter() {
            node.life.cancel();
            node.connections.cancel();
        }
    }
}

impl Shared {
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        self.nodes.lock().unwrap()
    }

    pub fn leader(&self) -> usize {
        self.leader.load(Ordering::SeqCst)
    }

    /// The nodes' ports, and which nodes are up.
    pub fn ports(&self) -> Vec<(u16, bool)> {
        self.nodes().iter().map(|node| (node.port, !node.life.is_cancelled())).collect()
    }

    pub fn not_leader(&self) -> Status {
        let port = self.ports()[self.leader()].0;
        Status::new(UNAVAILABLE, format!("Leader info: 127.0.0.1:{port}"))
            .with("exception", "not-leader")
            .with("leader-endpoint-host", "127.0.0.1")
            .with("leader-endpoint-port", port.to_string())
    }

    /// Answers a call, or does with it what a fault says; `cut` breaks its connection.
    async fn answer(&self, node: usize, call: Call, cut: &CancellationToken) -> Answer {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.fault(&call) {
            None => self.serve(node, &call),
            Some(Fault::Unavailable) => Err(Status::new(UNAVAILABLE, "not just now")),
            Some(Fault::NotLeader) => Err(self.not_leader()),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.serve(node, &call)
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(fault) => {
                if matches!(fault, Fault::DropAfter) {
                    let _ = self.serve(node, &call);
                }
                cut.cancel();
                std::future::pending().await
            }
        }
    }

    /// The fault that strikes this call, if one does.
    fn fault(&self, call: &Call) -> Option<Fault> {
        let mut planted = self.planted.lock().unwrap();
        let method = call.path.rsplit('/').next().unwrap_or_default();
        let index = planted.iter().position(|fault| fault.method == method && call.mentions(&fault.about))?;
        if planted[index].skip > 0 {
            planted[index].skip -= 1;
            return None;
        }
        planted.remove(index).map(|planted| planted.fault)
    }
}

async fn listen(shared: Arc<Shared>, node: usize, listener: TcpListener) {
    while let Ok((connection, _)) = listener.accept().await {
        let _ = connection.set_nodelay(true);
        let life = shared.nodes()[node].connections.clone();
        tokio::spawn(converse(Arc::clone(&shared), node, connection, life));
    }
}

/// One connection, until its node or a fault ends it.
async fn converse(shared: Arc<Shared>, node: usize, connection: TcpStream, life: CancellationToken) {
    let cut = life.child_token();
    let cutting = cut.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, cut) = (Arc::clone(&shared), cutting.clone());
        let answer = async move { shared.answer(node, Call::read(request).await?, &cut).await };
        async move { Ok::<_, Infallible>(response(answer)) }
    });
    let serving = server::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .serve_connection(TokioIo::new(Prompt(connection)), service);
    let _ = cut.run_until_cancelled(serving).await;
}
