//! The contract, kept by the PostgreSQL backend.

use crate::contract::{Backend, contract_suite};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use private_servers::testing::TestDatabase;
use std::sync::Arc;

struct OnPostgres(TestDatabase);

impl Backend for OnPostgres {
    async fn create() -> Self {
        Self(TestDatabase::migrated().await)
    }

    async fn log(&self) -> Arc<dyn EventLog> {
        PostgresEventLog::connect(self.0.pool().await, PostgresLogOptions::default()).await.unwrap()
    }
}

contract_suite!(OnPostgres);
