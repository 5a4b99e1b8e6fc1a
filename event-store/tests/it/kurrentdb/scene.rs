//! A log on the double, and what the tests do with it.

use super::double::{Fault, KurrentDouble};
use event_store::{EventLog, KurrentEventLog, KurrentLogOptions};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The double with one log on it.
pub struct Scene {
    pub double: KurrentDouble,
    pub name: String,
}

impl Scene {
    pub async fn new() -> Self {
        Self::of_nodes(1).await
    }

    pub async fn of_nodes(nodes: usize) -> Self {
        Self { double: KurrentDouble::start(nodes).await, name: new_name() }
    }

    pub fn options(&self) -> KurrentLogOptions {
        KurrentLogOptions { name: self.name.clone(), ..KurrentLogOptions::new(self.double.url()) }
    }

    /// Another process' log.
    pub async fn log(&self) -> Arc<dyn EventLog> {
        KurrentEventLog::connect(self.options()).await.unwrap()
    }

    /// What the streams of each kind begin with: those of commands, of aggregates, and the links.
    pub fn kinds(&self) -> [String; 3] {
        [format!("{}:command-", self.name), format!("{}.Thing-", self.name), format!("{}:positions-", self.name)]
    }

    /// Waits until every planted fault has struck.
    pub async fn struck(&self) {
        crate::support::eventually("the fault strikes", async || (self.double.planted() == 0).then_some(())).await;
    }

    /// A process that dies while it appends to a stream of this kind: nothing of that append is done.
    pub async fn dies_at(&self, kind: &str, append: event_store::Append) {
        let log = self.log().await;
        self.double.plant("Append", kind, 0, Fault::Hang);
        let dying = tokio::spawn(async move { log.append(append).await });
        self.struck().await;
        dying.abort();
        assert!(dying.await.unwrap_err().is_cancelled());
    }
}

/// A name that no other log has.
pub fn new_name() -> String {
    format!("test_{}", Uuid::now_v7().simple())
}

/// Short enough for a test to wait for it to pass.
pub const SOON: Duration = Duration::from_millis(600);
