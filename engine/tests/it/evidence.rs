//! The evidence store.

use engine::evidence::{EvidenceError, EvidenceStore};
use private_servers::testing::TestDatabase;

#[tokio::test]
async fn the_same_bytes_are_stored_once_and_read_back() {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let (store, now) = (EvidenceStore::new(pool.clone()), chrono::Utc::now());
    let pieces = vec![br#"{"a":1}"#.to_vec(), br#"{"b":2}"#.to_vec(), br#"{"a":1}"#.to_vec()];
    let hashes = store.put_all(pieces, now).await.unwrap();
    assert_eq!(hashes[0], hashes[2]);
    assert_eq!(store.put(br#"{"b":2}"#.to_vec(), now).await.unwrap(), hashes[1]);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM evidence").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 2);
    let stored = store.get(&hashes[1]).await.unwrap().unwrap();
    assert_eq!((stored.bytes.as_slice(), stored.media_type.as_str()), (&br#"{"b":2}"#[..], "application/json"));
    let absent = domain::EvidenceHash::new("0".repeat(64)).unwrap();
    assert_eq!(store.get(&absent).await.unwrap(), None);
    assert!(store.put_all(Vec::new(), now).await.unwrap().is_empty());
}

#[tokio::test]
async fn changed_evidence_is_found_out() {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let (store, now) = (EvidenceStore::new(pool.clone()), chrono::Utc::now());
    let one = store.put(br#"{"a":1}"#.to_vec(), now).await.unwrap();
    let other = store.put(br#"{"a":2}"#.to_vec(), now).await.unwrap();
    sqlx::query("UPDATE evidence SET bytes = (SELECT bytes FROM evidence WHERE hash = $2) WHERE hash = $1")
        .bind(one.as_str())
        .bind(other.as_str())
        .execute(&pool)
        .await
        .unwrap();
    assert!(matches!(store.get(&one).await, Err(EvidenceError::Damaged { .. })));
}
