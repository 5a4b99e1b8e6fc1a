//! What the database lets be done with keys: add and forget.

use crate::support::Stage;
use sqlx::Executor;

#[tokio::test]
async fn a_subject_can_only_be_forgotten_even_by_the_owner() {
    let stage = Stage::new().await;
    stage.seal("mara").await;
    let refused = [
        "UPDATE cmdiag.subjects SET tenant = 'other'",
        "UPDATE cmdiag.subjects SET wrapped_key = '\\x00'",
        "UPDATE cmdiag.subjects SET lookup = NULL",
        "UPDATE cmdiag.subjects SET wrapped_key = NULL, lookup = NULL, erased_at = now(), subject_id = gen_random_uuid()",
        "UPDATE cmdiag.subjects SET wrapped_key = NULL, lookup = NULL, erased_at = now(), fingerprint = sha256('x')",
        "DELETE FROM cmdiag.subjects",
        "TRUNCATE cmdiag.subjects",
        "UPDATE cmdiag.vault SET fingerprint = sha256('x')",
        "DELETE FROM cmdiag.vault",
    ];
    for statement in refused {
        stage.pool.execute(statement).await.unwrap_err();
    }
    let forget = "UPDATE cmdiag.subjects SET wrapped_key = NULL, lookup = NULL, erased_at = now()";
    stage.pool.execute(forget).await.unwrap();
    let back = "UPDATE cmdiag.subjects SET wrapped_key = '\\x00', lookup = '\\x00', erased_at = NULL";
    stage.pool.execute(back).await.unwrap_err();
}

#[tokio::test]
async fn the_running_role_adds_and_forgets_and_the_readers_see_no_key() {
    let stage = Stage::new().await;
    stage.seal("mara").await;
    let mut connection = stage.pool.acquire().await.unwrap();
    connection.execute("SET ROLE cmdiag_app").await.unwrap();
    for statement in
        ["UPDATE cmdiag.subjects SET created_at = now()", "DELETE FROM cmdiag.subjects", "DELETE FROM cmdiag.vault"]
    {
        connection.execute(statement).await.unwrap_err();
    }
    let forget = "UPDATE cmdiag.subjects SET wrapped_key = NULL, lookup = NULL, erased_at = now()";
    connection.execute(forget).await.unwrap();
    connection.execute("SET ROLE cmdiag_reader").await.unwrap();
    connection.execute("SELECT wrapped_key FROM cmdiag.subjects").await.unwrap_err();
    connection.execute("SELECT lookup FROM cmdiag.subjects").await.unwrap_err();
    connection.execute("SELECT fingerprint FROM cmdiag.vault").await.unwrap_err();
    connection.execute("SELECT subject_id, erased_at FROM cmdiag.subjects").await.unwrap();
    connection.execute("RESET ROLE").await.unwrap();
}
