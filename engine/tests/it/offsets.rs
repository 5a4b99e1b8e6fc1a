//! How far logs have been read.

use command_side::SystemClock;
use engine::offsets::PostgresOffsets;
use engine::probe::{OffsetKey, OffsetStore};
use private_servers::testing::TestDatabase;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn the_last_state_of_each_probe_is_kept() {
    let database = TestDatabase::migrated().await;
    let offsets = PostgresOffsets::new(database.pool().await, Arc::new(SystemClock));
    let key = |probe: &str| OffsetKey {
        deployment: domain::testing::DEPLOYMENT,
        component: "wgs-1".parse().unwrap(),
        probe: probe.to_owned(),
    };
    assert_eq!(offsets.load(&key("a")).await.unwrap(), None);
    offsets.save(&key("a"), json!({"at": 1})).await.unwrap();
    offsets.save(&key("a"), json!({"at": 2})).await.unwrap();
    offsets.save(&key("b"), json!({"at": 3})).await.unwrap();
    assert_eq!(offsets.load(&key("a")).await.unwrap(), Some(json!({"at": 2})));
    assert_eq!(offsets.load(&key("b")).await.unwrap(), Some(json!({"at": 3})));
}
