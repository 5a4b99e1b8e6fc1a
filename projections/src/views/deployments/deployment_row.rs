//! `view_deployments`, row by row.

use super::VERSION;
use super::finding_row::CountsAs;
use crate::decoded::Decoded;
use crate::projection::ApplyError;
use crate::table::{Existing, Loading, Table, Weighed, clean, clean_json, columns, select_list};
use chrono::{DateTime, Utc};
use domain::deployment::{Component, DeploymentEvent, MaintenanceWindow};
use domain::diagnostic_run::{RunEvent, Tally};
use domain::{CheckCode, ComponentName, Outcome};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use std::sync::LazyLock;
use uuid::Uuid;

/// One row of `view_deployments`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct DeploymentRow {
    id: Uuid,
    tenant: String,
    name: String,
    product_version: String,
    is_double: bool,
    labels: Json<serde_json::Value>,
    pub components: Json<Vec<Component>>,
    pub overrides: Json<Vec<ThresholdOverride>>,
    pub maintenance: Json<Vec<MaintenanceWindow>>,
    registered_at: DateTime<Utc>,
    pub retired_at: Option<DateTime<Utc>>,
    retire_reason: Option<String>,
    pub health: String,
    pub open_critical: i32,
    pub open_warning: i32,
    pub open_muted: i32,
    last_run_id: Option<Uuid>,
    last_run_at: Option<DateTime<Utc>>,
    last_run_outcome: Option<String>,
    pub last_run_measured: i32,
    pub last_run_unknown: i32,
    pub last_position: i64,
}

/// A threshold that differs from the check's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdOverride {
    check: CheckCode,
    threshold: String,
    pub warning: Option<String>,
    critical: Option<String>,
    reason: String,
    at: DateTime<Utc>,
}

impl DeploymentRow {
    /// A run ended. One that was cancelled says nothing: somebody stopped it.
    pub fn run_ended(&mut self, run: Uuid, event: &RunEvent) {
        let (tally, outcome, at): (&Tally, Option<Outcome>, _) = match event {
            RunEvent::RunCompleted { tally, outcome, at, .. } => (tally, Some(*outcome), at),
            RunEvent::RunTimedOut { tally, at, .. } | RunEvent::RunFailed { tally, at, .. } => (tally, None, at),
            _ => return,
        };
        self.last_run_id = Some(run);
        self.last_run_at = Some(*at);
        self.last_run_outcome = outcome.map(|outcome| outcome.as_str().to_owned());
        self.last_run_measured = (tally.ok + tally.warning + tally.critical) as i32;
        self.last_run_unknown = tally.unknown as i32;
    }

    /// A finding counts as something else now.
    pub fn recount(&mut self, before: Option<CountsAs>, after: Option<CountsAs>) {
        for (counts_as, by) in [(before, -1), (after, 1)] {
            match counts_as {
                Some(CountsAs::Critical) => self.open_critical += by,
                Some(CountsAs::Warning) => self.open_warning += by,
                Some(CountsAs::Muted) => self.open_muted += by,
                None => {}
            }
        }
    }

    /// Notes the event and what the health is with it.
    pub fn touch(&mut self, event: &Decoded) {
        self.last_position = event.position.0;
        let health = match (self.open_critical, self.open_warning, self.last_run_measured) {
            (1.., _, _) => Outcome::Critical,
            (_, 1.., _) => Outcome::Warning,
            (_, _, 1..) => Outcome::Ok,
            _ => Outcome::Unknown,
        };
        health.as_str().clone_into(&mut self.health);
    }

    /// Components stand in the order of their names.
    fn put_component(&mut self, component: &Component) {
        match self.place_of(&component.name) {
            Ok(place) => self.components[place] = component.clone(),
            Err(place) => self.components.insert(place, component.clone()),
        }
    }

    fn place_of(&self, name: &ComponentName) -> Result<usize, usize> {
        self.components.binary_search_by(|component| component.name.cmp(name))
    }

    fn drop_override(&mut self, check: &CheckCode, threshold: &str) {
        self.overrides.retain(|one| (&one.check, one.threshold.as_str()) != (check, threshold));
    }
}

impl Weighed for DeploymentRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 1_024 * (1 + self.components.len()) + 256 * (self.overrides.len() + self.maintenance.len())
    }
}

fn registered(event: &Decoded, registered: &DeploymentEvent) -> Option<DeploymentRow> {
    let DeploymentEvent::DeploymentRegistered { name, product_version, is_double, labels, components, at, .. } =
        registered
    else {
        return None;
    };
    let mut components = components.clone();
    components.sort_by(|one, other| one.name.cmp(&other.name));
    Some(DeploymentRow {
        id: event.id,
        tenant: event.metadata.tenant.to_string(),
        name: clean(name),
        product_version: clean(product_version),
        is_double: *is_double,
        labels: Json(serde_json::json!(labels)),
        components: Json(components),
        overrides: Json(Vec::new()),
        maintenance: Json(Vec::new()),
        registered_at: *at,
        retired_at: None,
        retire_reason: None,
        health: String::new(),
        open_critical: 0,
        open_warning: 0,
        open_muted: 0,
        last_run_id: None,
        last_run_at: None,
        last_run_outcome: None,
        last_run_measured: 0,
        last_run_unknown: 0,
        last_position: 0,
    })
}

/// Folds an event of the deployment itself.
pub fn fold(row: &mut Option<DeploymentRow>, deployment: &DeploymentEvent, event: &Decoded) -> Result<(), ApplyError> {
    if let Some(new) = registered(event, deployment) {
        *row = Some(new);
    }
    let row = row.as_mut().ok_or_else(|| ApplyError::no_row(event))?;
    match deployment {
        DeploymentEvent::DeploymentRegistered { .. } => {}
        DeploymentEvent::ComponentAttached { component, .. } | DeploymentEvent::ComponentChanged { component, .. } => {
            row.put_component(component);
        }
        DeploymentEvent::ComponentDetached { name, .. } => {
            if let Ok(place) = row.place_of(name) {
                row.components.remove(place);
            }
        }
        DeploymentEvent::MaintenanceScheduled { window, at } => {
            row.maintenance.retain(|earlier| earlier.until > *at);
            row.maintenance.push(window.clone());
        }
        DeploymentEvent::ThresholdOverridden { check, threshold, warning, critical, reason, at } => {
            row.drop_override(check, threshold);
            row.overrides.push(ThresholdOverride {
                check: check.clone(),
                threshold: threshold.clone(),
                warning: warning.clone(),
                critical: critical.clone(),
                reason: reason.clone(),
                at: *at,
            });
            row.overrides.sort_by(|one, other| (&one.check, &one.threshold).cmp(&(&other.check, &other.threshold)));
        }
        DeploymentEvent::ThresholdRestored { check, threshold, .. } => row.drop_override(check, threshold),
        DeploymentEvent::DeploymentRetired { reason, at } => {
            row.retired_at = Some(*at);
            row.retire_reason = Some(clean(reason));
        }
    }
    row.touch(event);
    Ok(())
}

/// The table.
pub struct DeploymentTable;

columns! {
    "view_deployments" existing Existing::Replaced(&["id"]); row: DeploymentRow {
        id "uuid" = row.id;
        tenant "text" = row.tenant.as_str();
        name "text" = row.name.as_str();
        product_version "text" = row.product_version.as_str();
        is_double "boolean" = row.is_double;
        labels "jsonb" = clean_json(&row.labels);
        components "jsonb" = clean_json(&row.components);
        overrides "jsonb" = clean_json(&row.overrides);
        maintenance "jsonb" = clean_json(&row.maintenance);
        registered_at "timestamptz" = row.registered_at;
        retired_at "timestamptz" = row.retired_at;
        retire_reason "text" = row.retire_reason.as_deref();
        health "text" = row.health.as_str();
        open_critical "integer" = row.open_critical;
        open_warning "integer" = row.open_warning;
        open_muted "integer" = row.open_muted;
        last_run_id "uuid" = row.last_run_id;
        last_run_at "timestamptz" = row.last_run_at;
        last_run_outcome "text" = row.last_run_outcome.as_deref();
        last_run_measured "integer" = row.last_run_measured;
        last_run_unknown "integer" = row.last_run_unknown;
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

impl Table for DeploymentTable {
    type Key = Uuid;
    type Row = DeploymentRow;
    const NAME: &'static str = "view_deployments";

    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Uuid]) -> Loading<'a, Uuid, DeploymentRow> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            let list = select_list(COLUMNS).replace("::text", "");
            format!("SELECT {list} FROM view_deployments WHERE id = ANY($1)")
        });
        Box::pin(async move {
            let rows = sqlx::query_as::<_, DeploymentRow>(&SQL).bind(keys).fetch_all(db).await?;
            Ok(rows.into_iter().map(|row| (row.id, row)).collect())
        })
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a DeploymentRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }
}
