//! A destroyed key is gone: for every process, for good, and nothing leads back to the person.

use crate::support::{Stage, tenant};
use domain::{Personal, Sealed, SubjectId, TenantId};
use vault::erasure::destroy;

async fn erased(stage: &Stage, name: &str) -> (String, SubjectId) {
    let sealed = stage.seal(name).await;
    let subject = Sealed::parse(&sealed).unwrap().subject;
    destroy(&stage.pool, &tenant(), subject).await.unwrap().unwrap();
    stage.vault.forget(subject);
    (sealed, subject)
}

#[tokio::test]
async fn what_is_erased_opens_to_a_tombstone_and_others_stay() {
    let stage = Stage::new().await;
    let other = stage.seal("ben").await;
    let (sealed, subject) = erased(&stage, "mara").await;
    for vault in [stage.vault.clone(), stage.another().await] {
        let text = format!("{sealed} and {other}");
        assert_eq!(vault.open(&tenant(), &text).await.unwrap(), format!("erased:{subject} and ben"));
        let opened = vault.personal(&tenant(), &Sealed::parse(&sealed).unwrap()).await.unwrap();
        assert_eq!(opened, Some(Personal::Erased(subject)));
    }
}

#[tokio::test]
async fn destroying_again_finds_the_first_time() {
    let stage = Stage::new().await;
    let sealed = stage.seal("mara").await;
    let subject = Sealed::parse(&sealed).unwrap().subject;
    let first = destroy(&stage.pool, &tenant(), subject).await.unwrap().unwrap();
    assert_eq!(destroy(&stage.pool, &tenant(), subject).await.unwrap().unwrap(), first);
    let listed = stage.vault.subjects(&tenant(), None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key_fingerprint, first.key_fingerprint);
    assert_eq!(listed[0].erased_at, Some(first.destroyed_at));
    assert_eq!(destroy(&stage.pool, &tenant(), SubjectId(uuid::Uuid::nil())).await.unwrap(), None);
}

#[tokio::test]
async fn nobody_destroys_a_key_of_another_tenant() {
    let stage = Stage::new().await;
    let sealed = stage.seal("mara").await;
    let subject = Sealed::parse(&sealed).unwrap().subject;
    let stranger = TenantId::new("other").unwrap();
    assert_eq!(destroy(&stage.pool, &stranger, subject).await.unwrap(), None);
    assert_eq!(stage.another().await.open(&tenant(), &sealed).await.unwrap(), "mara");
}

#[tokio::test]
async fn whoever_comes_back_is_somebody_new_and_nothing_leads_to_the_old() {
    let stage = Stage::new().await;
    let (sealed, subject) = erased(&stage, "mara").await;
    assert_eq!(stage.vault.find(&tenant(), "mara").await.unwrap(), None);
    let again = stage.seal("mara").await;
    assert_ne!(Sealed::parse(&again).unwrap().subject, subject);
    assert_eq!(stage.open(&again).await, "mara");
    assert_eq!(stage.open(&sealed).await, format!("erased:{subject}"));
}

#[tokio::test]
async fn other_processes_forget_by_themselves_within_a_minute() {
    let stage = Stage::new().await;
    let other = stage.another().await;
    let sealed = stage.seal("mara").await;
    assert_eq!(other.open(&tenant(), &sealed).await.unwrap(), "mara");
    let subject = Sealed::parse(&sealed).unwrap().subject;
    destroy(&stage.pool, &tenant(), subject).await.unwrap();
    // As its feed would have it do, or the time after which nothing is remembered.
    other.forget_all();
    assert_eq!(other.open(&tenant(), &sealed).await.unwrap(), format!("erased:{subject}"));
}
