//! The bus on PostgreSQL.

use crate::bus_promises;
use event_store::{PostgresEventLog, PostgresLogOptions};
use private_servers::testing::TestDatabase;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_holds_its_promises() {
    let database = TestDatabase::migrated().await;
    let log =
        PostgresEventLog::connect(database.pool().await, PostgresLogOptions::default()).await.expect("it connects");
    bus_promises::hold(log).await;
}
