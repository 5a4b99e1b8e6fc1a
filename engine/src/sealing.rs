//! Seals what a check's file calls personal, before anything is judged, recorded or kept.

use crate::check::Check;
use crate::probe::Measurement;
use domain::TenantId;
use serde_json::Value;
use vault::Vault;

/// The measurement with its personal columns sealed. An error is a reason not to use it at all: what can not be sealed
/// is not written openly instead.
pub(crate) async fn sealed(
    vault: &Vault,
    check: &Check,
    tenant: &TenantId,
    mut measurement: Measurement,
) -> Result<Measurement, String> {
    if check.personal.is_empty() || !vault.is_on() {
        return Ok(measurement);
    }
    let columns = || check.personal.iter().map(String::as_str);
    let texts: Vec<String> =
        measurement.rows.iter().flat_map(|row| columns().filter_map(|column| personal_text(row.get(column)))).collect();
    let given: Vec<&str> = texts.iter().map(String::as_str).collect();
    let sealed = vault.seal(tenant, &given).await;
    let mut sealed = sealed.map_err(|error| format!("its personal columns can not be sealed: {error}"))?.into_iter();
    for row in &mut measurement.rows {
        for column in columns() {
            if personal_text(row.get(column)).is_some()
                && let (Some(value), Some(sealed)) = (row.get_mut(column), sealed.next())
            {
                *value = Value::String(sealed);
            }
        }
    }
    Ok(measurement)
}

/// The value as a text; nothing at all tells nothing of anybody.
fn personal_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        // A sealed text that a probe found in the target is a text like any other: it is not taken for one of ours.
        Value::String(text) => Some(text.replace(domain::personal::SEALED, "sealed :")),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Effective, Subject, judge};
    use chrono::{DateTime, Utc};
    use domain::Outcome;
    use private_servers::testing::TestDatabase;
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::time::Duration;
    use vault::MasterKey;

    const CHECK: &str = include_str!("../../packs/content-manager/CM-LOGIN-FAILURES.toml");

    fn measured(who: &[&Value]) -> Measurement {
        let row = |who: &&Value| json!({ "who": who, "failures": 60, "logins": 1 }).as_object().unwrap().clone();
        Measurement {
            rows: who.iter().map(row).collect(),
            facts: crate::probe::Row::new(),
            truncated: false,
            taken_at: DateTime::<Utc>::UNIX_EPOCH,
            duration: Duration::ZERO,
        }
    }

    async fn vault(database: &TestDatabase) -> Vault {
        let master = MasterKey::new(&[1; 32]).unwrap();
        Vault::connect(database.pool().await, Some(master)).await.unwrap()
    }

    #[tokio::test]
    async fn a_login_found_on_the_host_is_sealed_before_it_is_judged() {
        let database = TestDatabase::migrated().await;
        let vault = vault(&database).await;
        let tenant = TenantId::default();
        let check = crate::check::parse_check("content-manager", "CM-LOGIN-FAILURES.toml", CHECK).unwrap();
        let long = json!("HOUSE\\a-service-account-with-a-long-name");
        let given = [&json!("HOUSE\\anna"), &long, &json!("HOUSE\\anna"), &json!(null), &json!(7)];
        let sealed = sealed(&vault, &check, &tenant, measured(&given)).await.unwrap();
        assert_eq!(sealed.rows[0]["who"], sealed.rows[2]["who"], "alike, so that they can be counted");
        assert_eq!(sealed.rows[3]["who"], json!(null));
        assert_eq!(vault.open(&tenant, sealed.rows[4]["who"].as_str().unwrap()).await.unwrap(), "7");
        let subject = Subject { component: "dataset", settings: &BTreeMap::new(), now: Utc::now() };
        let limits = Effective::overridden(&check, std::iter::empty()).unwrap();
        let first_two = Measurement { rows: sealed.rows[..2].to_vec(), ..sealed };
        let judged = judge(&check, subject, Ok(&first_two), &limits);
        assert_eq!((judged.outcome, judged.observations.len()), (Outcome::Warning, 2));
        let text = format!("{judged:?}");
        assert!(!text.contains("anna") && !text.contains("service-account"), "{text}");
        let mut resources = Vec::new();
        for seen in &judged.observations {
            let resource = vault.open(&tenant, seen.resource.as_str()).await.unwrap().into_owned();
            assert!(vault.open(&tenant, &seen.symptom).await.unwrap().contains("HOUSE\\a"), "{}", seen.symptom);
            let inline = seen.evidence.inline.as_ref().unwrap();
            assert!(vault.open(&tenant, inline["who"].as_str().unwrap()).await.unwrap().starts_with("HOUSE\\"));
            resources.push(resource);
        }
        resources.sort();
        assert_eq!(resources, ["dataset/HOUSE\\a-service-account-with-a-long-name", "dataset/HOUSE\\anna"]);
    }

    #[tokio::test]
    async fn what_can_not_be_sealed_is_not_used() {
        let database = TestDatabase::migrated().await;
        let vault = vault(&database).await;
        let check = crate::check::parse_check("content-manager", "CM-LOGIN-FAILURES.toml", CHECK).unwrap();
        let endless = json!("x".repeat(2_000));
        let refused = sealed(&vault, &check, &TenantId::default(), measured(&[&endless])).await.unwrap_err();
        assert!(refused.contains("can not be sealed"), "{refused}");
        let open = sealed(&Vault::off(), &check, &TenantId::default(), measured(&[&endless])).await.unwrap();
        assert_eq!(open.rows[0]["who"], endless, "no vault, no sealing");
    }
}
