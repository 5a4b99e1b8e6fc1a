//! `view_emergency_stops`: whether everything stops, for each tenant that ever had it so.

use crate::decoded::Decoded;
use crate::projection::ApplyError;
use crate::single::{Folded, FoldedView};
use crate::table::{Existing, Loading, Table, Weighed, clean, columns, select_list};
use chrono::{DateTime, Utc};
use domain::any_event::{AnyEvent, EMERGENCY_STOP};
use domain::emergency_stop::EmergencyStopEvent;
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::sync::LazyLock;
use uuid::Uuid;

const VERSION: i32 = 1;

/// The projection.
pub type EmergencyStops = FoldedView<EmergencyStopTable>;

/// One row of `view_emergency_stops`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct EmergencyStopRow {
    id: Uuid,
    tenant: String,
    engaged: bool,
    undo: bool,
    reason: String,
    changed_by: String,
    changed_at: DateTime<Utc>,
    last_position: i64,
}

impl EmergencyStopRow {
    /// Each event says all of it anew.
    fn after(told: &EmergencyStopEvent, event: &Decoded) -> Self {
        let (engaged, undo, by, reason, at) = match told {
            EmergencyStopEvent::EmergencyStopEngaged { undo, by, reason, at } => (true, *undo, by, reason, *at),
            EmergencyStopEvent::EmergencyStopReleased { by, reason, at } => (false, false, by, reason, *at),
        };
        Self {
            id: event.id,
            tenant: event.metadata.tenant.to_string(),
            engaged,
            undo,
            reason: clean(reason),
            changed_by: by.to_string(),
            changed_at: at,
            last_position: event.position.0,
        }
    }
}

impl Weighed for EmergencyStopRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 64 + self.reason.len()
    }
}

/// The table.
pub struct EmergencyStopTable;

columns! {
    "view_emergency_stops" existing Existing::Replaced(&["id"]); row: EmergencyStopRow {
        id "uuid" = row.id;
        tenant "text" = row.tenant.as_str();
        engaged "boolean" = row.engaged;
        undo "boolean" = row.undo;
        reason "text" = row.reason.as_str();
        changed_by "text" = row.changed_by.as_str();
        changed_at "timestamptz" = row.changed_at;
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

impl Table for EmergencyStopTable {
    type Key = Uuid;
    type Row = EmergencyStopRow;
    const NAME: &'static str = "view_emergency_stops";

    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Uuid]) -> Loading<'a, Uuid, EmergencyStopRow> {
        static SQL: LazyLock<String> =
            LazyLock::new(|| format!("SELECT {} FROM view_emergency_stops WHERE id = ANY($1)", select_list(COLUMNS)));
        Box::pin(async move {
            let rows = sqlx::query_as::<_, EmergencyStopRow>(&SQL).bind(keys).fetch_all(db).await?;
            Ok(rows.into_iter().map(|row| (row.id, row)).collect())
        })
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a EmergencyStopRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }
}

impl Folded for EmergencyStopTable {
    const PROJECTION: &'static str = "emergency_stops";
    const VERSION: i32 = VERSION;

    fn wants(event: &RecordedEvent) -> bool {
        &*event.stream.aggregate_type == EMERGENCY_STOP
    }

    fn fold(row: &mut Option<EmergencyStopRow>, event: &Decoded) -> Result<(), ApplyError> {
        if let AnyEvent::EmergencyStop(told) = event.whole()? {
            *row = Some(EmergencyStopRow::after(told, event));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Told, log};
    use super::EmergencyStops;
    use domain::emergency_stop::{EmergencyStop, EmergencyStopCommand};
    use domain::testing::{after, given, start};
    use domain::{AnyEvent, TenantId};
    use serde_json::{Value, json};

    const SHOWN: &str = "SELECT engaged, undo, reason, changed_by, extract(epoch FROM changed_at)::bigint AS changed, \
        last_position FROM view_emergency_stops";

    fn shown(engaged: bool, undo: bool, reason: &str, seconds: i64, position: usize) -> Value {
        json!({ "engaged": engaged, "undo": undo, "reason": reason, "changed_by": "operator@example.org",
            "changed": after(seconds).timestamp(), "last_position": position })
    }

    #[tokio::test]
    async fn the_last_word_counts_also_after_the_row_was_forgotten() {
        let id = EmergencyStop::of(&TenantId::default());
        let engage = |undo| EmergencyStopCommand::Engage { undo, reason: "it went wrong".to_owned() };
        let release = EmergencyStopCommand::Release { reason: "put right".to_owned() };
        let story = given::<EmergencyStop>(id, []).at(start()).and(engage(false)).at(after(10)).and(engage(true));
        let events = story.at(after(20)).and(release).into_events();
        let told = log(id, events.into_iter().map(AnyEvent::EmergencyStop));
        let views = Told::new().await;
        let expected = [
            shown(true, false, "it went wrong", 0, 1),
            shown(true, true, "it went wrong", 10, 2),
            shown(false, false, "put right", 20, 3),
        ];
        for (index, row) in expected.into_iter().enumerate() {
            assert_eq!(views.then::<EmergencyStops>(&told[..=index], SHOWN).await, [row]);
        }
        views.survives_being_forgotten::<EmergencyStops>(&told).await;
    }
}
