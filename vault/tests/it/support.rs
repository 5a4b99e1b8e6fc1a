//! A migrated database and a vault on it.

use domain::TenantId;
use private_servers::testing::TestDatabase;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use vault::{MasterKey, Vault};

pub struct Stage {
    pub pool: PgPool,
    pub vault: Vault,
    _database: TestDatabase,
}

pub fn master(byte: u8) -> MasterKey {
    MasterKey::new(&[byte; 32]).unwrap()
}

pub fn tenant() -> TenantId {
    TenantId::default()
}

impl Stage {
    pub async fn new() -> Self {
        let database = TestDatabase::migrated().await;
        let options = migrations::connect_options(database.url()).unwrap();
        let pool = PgPoolOptions::new().max_connections(8).connect_with(options).await.unwrap();
        let vault = Vault::connect(pool.clone(), Some(master(1))).await.unwrap();
        Self { pool, vault, _database: database }
    }

    /// As another process would have it.
    pub async fn another(&self) -> Vault {
        Vault::connect(self.pool.clone(), Some(master(1))).await.unwrap()
    }

    pub async fn seal(&self, text: &str) -> String {
        self.vault.seal(&tenant(), &[text]).await.unwrap().remove(0)
    }

    pub async fn open(&self, text: &str) -> String {
        self.vault.open(&tenant(), text).await.unwrap().into_owned()
    }
}
