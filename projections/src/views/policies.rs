//! `view_policies` and `view_policy_statistics`: what may be done, what is reserved for it now, and what was learned.

mod statistic_row;

use super::{ROWS_REMEMBERED, begun};
use crate::decoded::Decoded;
use crate::json::rows_of;
use crate::projection::{ApplyError, Pending, Projection, TableRows};
use crate::rows::Rows;
use crate::table::{Existing, Loading, Table, Weighed, clean_json, columns};
use chrono::{DateTime, Utc};
use domain::any_event::{AnyEvent, POLICY};
use domain::policy::{BreakerKey, PolicyEvent, StatisticsKey};
use domain::remediation::BlastRadius;
use domain::{DeploymentId, RemediationId};
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use statistic_row::{StatisticTable, learned};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

const VERSION: i32 = 1;

/// The projection.
pub struct Policies {
    policies: Rows<PolicyTable>,
    statistics: Rows<StatisticTable>,
}

impl Default for Policies {
    fn default() -> Self {
        Self { policies: Rows::new(ROWS_REMEMBERED), statistics: Rows::new(ROWS_REMEMBERED) }
    }
}

impl Projection for Policies {
    fn name(&self) -> &'static str {
        "policies"
    }

    fn version(&self) -> i32 {
        VERSION
    }

    fn tables(&self) -> &'static [&'static str] {
        &["view_policies", "view_policy_statistics"]
    }

    fn wants(&self) -> fn(&RecordedEvent) -> bool {
        wants
    }

    fn fold<'a>(
        &'a mut self,
        events: &'a [Arc<Decoded>],
        db: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            self.policies.fetch(db, events.iter().map(|event| event.id), &begun(events)).await?;
            let keys = events.iter().filter_map(|event| Some(statistic_id(event.id, learned(event)?.key)));
            self.statistics.fetch(db, keys, &std::collections::HashSet::new()).await?;
            self.fold_known(events)
        })
    }

    fn fold_known(&mut self, events: &[Arc<Decoded>]) -> Result<(), ApplyError> {
        for event in events {
            if let AnyEvent::Policy(told) = event.whole()? {
                PolicyRow::fold(self.policies.change(event.id), told, event);
            }
            if let Some(learned) = learned(event) {
                let id = statistic_id(event.id, learned.key);
                statistic_row::fold(self.statistics.change(id), id, &learned, event);
            }
        }
        Ok(())
    }

    fn rows(&self) -> Vec<TableRows> {
        vec![rows_of(PolicyTable::NAME, self.policies.known()), rows_of(StatisticTable::NAME, self.statistics.known())]
    }

    fn pending(&self) -> Pending {
        self.policies.pending() + self.statistics.pending()
    }

    fn write<'a>(&'a mut self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            self.policies.write(db).await?;
            self.statistics.write(db).await
        })
    }

    fn forget(&mut self) {
        self.policies.forget();
        self.statistics.forget();
    }
}

fn wants(event: &RecordedEvent) -> bool {
    &*event.stream.aggregate_type == POLICY
}

/// A statistic's row: of its policy and its key, so that it is found without reading.
fn statistic_id(policy: Uuid, key: &StatisticsKey) -> Uuid {
    let name = format!("{}\n{}\n{}\n{}", key.runbook, key.runbook_version, key.check, key.check_version);
    Uuid::new_v5(&policy, name.as_bytes())
}

/// A breaker's name in the row. A policy governs several deployments: their breakers are not the same.
fn breaker_name(breaker: &BreakerKey) -> String {
    match breaker {
        BreakerKey::Action { deployment, action } => format!("action {action} in {deployment}"),
        BreakerKey::Resource { deployment, resource } => format!("resource {resource} in {deployment}"),
    }
}

/// What an open remediation holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Held {
    deployment: DeploymentId,
    blast: BlastRadius,
    since: DateTime<Utc>,
}

/// A breaker that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OpenBreaker {
    breaker: BreakerKey,
    failures: u32,
    until: DateTime<Utc>,
    half_open: bool,
}

/// One row of `view_policies`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct PolicyRow {
    id: Uuid,
    tenant: String,
    name: String,
    #[sqlx(json(nullable))]
    definition: Option<Value>,
    revision: i32,
    changed_by: Option<String>,
    changed_at: Option<DateTime<Utc>>,
    reservations: Json<BTreeMap<RemediationId, Held>>,
    breakers: Json<BTreeMap<String, OpenBreaker>>,
    last_position: i64,
}

impl PolicyRow {
    fn fold(row: &mut Option<Self>, told: &PolicyEvent, event: &Decoded) {
        let row = row.get_or_insert_with(|| Self {
            id: event.id,
            tenant: event.metadata.tenant.to_string(),
            name: String::new(),
            definition: None,
            revision: 0,
            changed_by: None,
            changed_at: None,
            reservations: Json(BTreeMap::new()),
            breakers: Json(BTreeMap::new()),
            last_position: 0,
        });
        row.last_position = event.position.0;
        match told {
            PolicyEvent::PolicyDefined { policy, definition, revision, at, .. } => {
                policy.as_str().clone_into(&mut row.name);
                row.says(serde_json::to_value(definition).ok(), *revision, *at, event);
            }
            PolicyEvent::PolicyRevised { definition, revision, at, .. } => {
                row.says(serde_json::to_value(definition).ok(), *revision, *at, event);
            }
            PolicyEvent::PolicyRetired { at, .. } => row.says(None, 0, *at, event),
            PolicyEvent::RemediationReserved { request, at, .. } => {
                request.policy.as_str().clone_into(&mut row.name);
                let held = Held { deployment: request.deployment, blast: request.blast, since: *at };
                row.reservations.insert(request.remediation, held);
            }
            PolicyEvent::AdmissionDeferred { policy, .. }
            | PolicyEvent::AdmissionForbidden { policy, .. }
            | PolicyEvent::RunbookChosen { policy, .. } => policy.as_str().clone_into(&mut row.name),
            PolicyEvent::ReservationReleased { remediation, .. } => {
                row.reservations.remove(remediation);
            }
            PolicyEvent::BreakerOpened { breaker, failures, until, .. } => {
                let (failures, until) = (*failures, *until);
                let open = OpenBreaker { breaker: breaker.clone(), failures, until, half_open: false };
                row.breakers.insert(breaker_name(breaker), open);
            }
            PolicyEvent::BreakerHalfOpened { breaker, .. } => {
                if let Some(open) = row.breakers.get_mut(&breaker_name(breaker)) {
                    open.half_open = true;
                }
            }
            PolicyEvent::BreakerClosed { breaker, .. } => {
                row.breakers.remove(&breaker_name(breaker));
            }
            PolicyEvent::SettlementCorrected { .. }
            | PolicyEvent::AutomaticRightGained { .. }
            | PolicyEvent::AutomaticRightLost { .. } => {}
        }
    }

    fn says(&mut self, definition: Option<Value>, revision: u32, at: DateTime<Utc>, event: &Decoded) {
        self.definition = definition;
        self.revision = revision as i32;
        self.changed_by = Some(event.metadata.actor.to_string());
        self.changed_at = Some(at);
    }
}

impl Weighed for PolicyRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 8_192 + 256 * (self.reservations.len() + self.breakers.len())
    }
}

/// The table.
pub struct PolicyTable;

columns! {
    "view_policies" existing Existing::Replaced(&["id"]); row: PolicyRow {
        id "uuid" = row.id;
        tenant "text" = row.tenant.as_str();
        name "text" = row.name.as_str();
        definition "jsonb" = row.definition.as_ref().map(clean_json);
        revision "integer" = row.revision;
        changed_by "text" = row.changed_by.as_deref();
        changed_at "timestamptz" = row.changed_at;
        reservations "jsonb" = clean_json(&row.reservations.0);
        breakers "jsonb" = clean_json(&row.breakers.0);
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

impl Table for PolicyTable {
    type Key = Uuid;
    type Row = PolicyRow;
    const NAME: &'static str = "view_policies";

    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Uuid]) -> Loading<'a, Uuid, PolicyRow> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            let columns: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
            format!("SELECT {} FROM view_policies WHERE id = ANY($1)", columns.join(", "))
        });
        Box::pin(async move {
            let rows = sqlx::query_as::<_, PolicyRow>(&SQL).bind(keys).fetch_all(db).await?;
            Ok(rows.into_iter().map(|row| (row.id, row)).collect())
        })
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a PolicyRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }
}

#[cfg(test)]
mod tests;
