//! What is sealed can be opened, by whoever has the keys, and by nobody else.

use crate::support::{Stage, master, tenant};
use domain::{Actor, Sealed, TenantId};
use vault::{Vault, VaultError};

#[tokio::test]
async fn a_name_is_sealed_alike_by_all_processes_and_opened_by_all() {
    let stage = Stage::new().await;
    let sealed = stage.seal("mara@example.org").await;
    assert!(!sealed.contains("mara"), "{sealed}");
    let other = stage.another().await;
    assert_eq!(other.seal(&tenant(), &["mara@example.org"]).await.unwrap(), std::slice::from_ref(&sealed));
    assert_eq!(other.open(&tenant(), &format!("by {sealed}!")).await.unwrap(), "by mara@example.org!");
    let spelled = stage.seal(" Mara@Example.ORG ").await;
    assert_eq!(Sealed::parse(&spelled).unwrap().subject, Sealed::parse(&sealed).unwrap().subject);
    assert_eq!(stage.open(&spelled).await, " Mara@Example.ORG ");
}

#[tokio::test]
async fn many_are_sealed_at_once_by_two_processes_and_each_is_one_subject() {
    let stage = Stage::new().await;
    let names: Vec<String> = (0..200).map(|number| format!("HOUSE\\person {number}")).collect();
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    let (one, two) = (stage.another().await, stage.another().await);
    let tenant = tenant();
    let (one, two) = tokio::join!(one.seal(&tenant, &texts), two.seal(&tenant, &texts));
    assert_eq!(one.unwrap(), two.unwrap());
    let subjects: i64 =
        sqlx::query_scalar("SELECT count(*) FROM cmdiag.subjects").fetch_one(&stage.pool).await.unwrap();
    assert_eq!(subjects, 200);
}

#[tokio::test]
async fn json_stays_json_whatever_the_name() {
    let stage = Stage::new().await;
    let name = "HOUSE\\an\"na\u{1}\n";
    let sealed = stage.seal(name).await;
    let json = serde_json::json!({ "by": sealed, "text": format!("{sealed} was here") }).to_string();
    let opened = stage.vault.open_json(&tenant(), &json).await.unwrap();
    let opened: serde_json::Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(opened, serde_json::json!({ "by": name, "text": format!("{name} was here") }));
}

#[tokio::test]
async fn only_people_are_sealed() {
    let stage = Stage::new().await;
    for name in ["system:planner", "anonymous:local"] {
        let actor = Actor::new(name).unwrap();
        assert_eq!(stage.vault.seal_actor(&tenant(), &actor).await.unwrap(), actor);
    }
    let sealed = stage.vault.seal_actor(&tenant(), &Actor::new("mara").unwrap()).await.unwrap();
    assert!(sealed.subject().is_some());
    assert_eq!(stage.vault.seal_actor(&tenant(), &sealed).await.unwrap(), sealed, "once is enough");
}

#[tokio::test]
async fn nobody_passes_a_made_up_text_for_a_sealed_one() {
    let stage = Stage::new().await;
    let sealed = stage.seal("mara").await;
    let other: TenantId = "other".parse().unwrap();
    let mut changed = sealed.clone();
    let last = changed.len() - 3;
    changed.replace_range(last..=last, if &changed[last..=last] == "A" { "B" } else { "A" });
    let unknown = format!("sealed:0198c0de-0000-7000-8000-000000000001.{}.", "A".repeat(59));
    for text in [&changed, &unknown] {
        assert_eq!(stage.vault.seal(&tenant(), &[text]).await, Err(VaultError::NotOurs));
        assert_eq!(stage.open(text).await, *text, "and it is not opened");
    }
    assert_eq!(stage.vault.seal(&other, &[&sealed]).await, Err(VaultError::NotOurs));
    let actor = Actor::new(sealed).unwrap();
    assert_eq!(Vault::off().seal_actor(&tenant(), &actor).await, Err(VaultError::NotOurs));
}

#[tokio::test]
async fn nothing_but_the_master_key_on_record_will_do() {
    let stage = Stage::new().await;
    let connect = |master| Vault::connect(stage.pool.clone(), master);
    assert_eq!(connect(Some(master(2))).await.unwrap_err(), VaultError::MasterKeyWrong);
    assert_eq!(connect(None).await.unwrap_err(), VaultError::MasterKeyMissing);
    connect(Some(master(1))).await.unwrap();
}

#[tokio::test]
async fn without_a_master_key_everything_stays_as_it_is() {
    let database = private_servers::testing::TestDatabase::migrated().await;
    let options = migrations::connect_options(database.url()).unwrap();
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let vault = Vault::connect(pool, None).await.unwrap();
    assert!(!vault.is_on());
    assert_eq!(vault.seal(&tenant(), &["mara"]).await.unwrap(), ["mara"]);
    assert_eq!(vault.open(&tenant(), "mara").await.unwrap(), "mara");
}
