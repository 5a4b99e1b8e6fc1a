//! A Redis server for a test, with the user that actions log in as.

use crate::action::testing::{Trial, target};
use domain::deployment::{Component, ComponentKind, SecretRef};
use private_servers::testing::test_folder;
use private_servers::{PrivateRedis, RedisOptions};
use redis::FromRedisValue as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The server.
pub(super) struct Cache {
    _folder: tempfile::TempDir,
    server: PrivateRedis,
    component: Component,
}

impl Cache {
    pub(super) async fn start() -> Self {
        let folder = test_folder();
        let options = RedisOptions { folder: folder.path().join("redis"), settings: Vec::new() };
        let server = PrivateRedis::start(options).await.unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, "of-actions\n").unwrap();
        let component = Component {
            name: "cache".parse().unwrap(),
            kind: ComponentKind::Cache,
            settings: [("url", server.url()), ("action_user", "actions".to_owned())]
                .map(|(key, value)| (key.to_owned(), value))
                .into(),
            secrets: [("action_password".to_owned(), SecretRef::File(password.display().to_string()))].into(),
            labels: BTreeMap::new(),
        };
        let cache = Self { _folder: folder, server, component };
        let rights = "+ping +info +config|get +config|set +config|resetstat +memory|purge +bgsave";
        let words: Vec<&str> =
            ["ACL", "SETUSER", "actions", "on", ">of-actions"].into_iter().chain(rights.split(' ')).collect();
        cache.raw(&words).await;
        cache
    }

    /// Where its snapshot goes.
    pub(super) async fn snapshot(&self) -> PathBuf {
        let setting = async |name: &str| self.raw(&["CONFIG", "GET", name]).await.remove(1);
        PathBuf::from(setting("dir").await).join(setting("dbfilename").await)
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests write the arguments in place")]
    pub(super) fn trial(&self, action: &'static str, arguments: Value) -> Trial {
        let components = BTreeMap::from([(self.component.name.clone(), self.component.clone())]);
        Trial::new(action, &arguments, target(&components, "cache"))
    }

    /// As its administrator.
    pub(super) async fn raw(&self, words: &[&str]) -> Vec<String> {
        let client = redis::Client::open(self.server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let answer: redis::Value = command.query_async(&mut connection).await.unwrap();
        match answer {
            redis::Value::Nil => Vec::new(),
            redis::Value::Array(_) | redis::Value::Map(_) => Vec::<String>::from_redis_value(answer).unwrap(),
            other => vec![String::from_redis_value(other).unwrap()],
        }
    }

    pub(super) async fn stat(&self, key: &str) -> u64 {
        let info = self.raw(&["INFO", "stats"]).await.remove(0);
        let found = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        found.unwrap().trim().parse().unwrap()
    }
}
