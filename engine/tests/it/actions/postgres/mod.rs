//! PostgreSQL's actions on a database of their own, as a role that owns tables and is no superuser.

mod cancelled;
mod credentials;
mod indexes;
mod sequences;
mod sessions;
mod settings;
mod tables;

use super::kit::{self, Driven, component};
use domain::deployment::{ComponentKind, SecretRef};
use engine::action::ActionTarget;
use private_servers::testing::TestDatabase;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Executor, PgPool};
use std::str::FromStr;

/// A database, a superuser's pool on it, and its operator.
pub struct Server {
    pub database: TestDatabase,
    pub admin: PgPool,
    /// Logs in as the operator.
    pub operator: PgPool,
    pub target: ActionTarget,
    role: String,
    _secret: tempfile::NamedTempFile,
}

const PASSWORD: &str = "hush-hush";

impl Server {
    pub async fn start() -> Self {
        let database = TestDatabase::create().await;
        let admin = database.pool().await;
        let role = format!("operator_{}", database.name());
        let setup = format!(
            "CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{PASSWORD}';
             GRANT pg_monitor, pg_signal_backend TO {role}; GRANT CREATE ON SCHEMA public TO {role};
             GRANT CREATE ON DATABASE {} TO {role}",
            database.name()
        );
        sqlx::raw_sql(&setup).execute(&admin).await.unwrap();
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), PASSWORD).unwrap();
        let url = database.url().to_owned();
        let settings = [("url", url.as_str()), ("action_user", role.as_str())];
        let mut dataset = component("dataset", ComponentKind::DatasetDatabase, &settings);
        dataset.secrets.insert("action_password".to_owned(), SecretRef::File(secret.path().display().to_string()));
        let options = PgConnectOptions::from_str(&url).unwrap().username(&role).password(PASSWORD);
        let operator = PgPool::connect_with(options).await.unwrap();
        Self { database, admin, operator, target: kit::target(&[dataset]), role, _secret: secret }
    }

    /// Runs statements as the operator, who then owns what they make.
    pub async fn sql(&self, statements: &str) {
        self.operator.execute(statements).await.unwrap();
    }

    pub fn driven(&self, name: &str, given: &Value) -> Driven {
        Driven::new(name, given, &self.target)
    }

    /// One number.
    pub async fn number(&self, select: &str) -> i64 {
        sqlx::query_scalar(select).fetch_one(&self.admin).await.unwrap()
    }

    /// Removes the role, which belongs to the whole server.
    pub async fn stop(self) {
        self.operator.close().await;
        for statement in [format!("DROP OWNED BY {} CASCADE", self.role), format!("DROP ROLE {}", self.role)] {
            self.admin.execute(statement.as_str()).await.unwrap();
        }
    }
}
