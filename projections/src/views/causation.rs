//! `view_causation`: which event stands where, and which event its command answered.

use crate::decoded::Decoded;
use crate::single::{Added, AddedView};
use crate::table::{Existing, Weighed, columns};
use domain::AnyEvent;
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

const VERSION: i32 = 1;

/// The projection. It remembers nothing of the database: causes do not change.
pub type Causation = AddedView<CausationTable>;

/// One row of `view_causation`.
#[derive(Debug, Clone, PartialEq)]
pub struct CausationRow {
    event_id: Uuid,
    causation_id: Option<Uuid>,
    position: i64,
}

impl CausationRow {
    fn new(event: &RecordedEvent) -> Self {
        Self { event_id: event.event_id, causation_id: event.metadata.causation_id, position: event.position.0 }
    }
}

impl Weighed for CausationRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 64
    }
}

/// The table.
pub struct CausationTable;

impl Added for CausationTable {
    type Row = CausationRow;
    const PROJECTION: &'static str = "causation";
    const VERSION: i32 = VERSION;
    const TABLE: &'static str = "view_causation";

    fn wants(event: &RecordedEvent) -> bool {
        AnyEvent::is_known(&event.stream.aggregate_type)
    }

    fn takes_raw(_event: &RecordedEvent) -> bool {
        true
    }

    fn rows(event: &Decoded) -> Vec<CausationRow> {
        vec![CausationRow::new(event)]
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a CausationRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }
}

// No ON CONFLICT: a position comes once, and a second row of it would be a defect that must not pass unseen.
columns! {
    "view_causation" existing Existing::Fails; row: CausationRow {
        event_id "uuid" = row.event_id;
        causation_id "uuid" = row.causation_id;
        last_position "bigint" = row.position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Told, deployment, log, result, run};
    use super::{Causation, CausationRow};
    use domain::diagnostic_run::RunEvent;
    use domain::{AnyEvent, Outcome};
    use serde_json::json;
    use std::sync::Arc;
    use uuid::Uuid;

    #[tokio::test]
    async fn each_event_is_a_row_with_what_it_answered() {
        let at = super::super::testing::at(1);
        let results = vec![result("C-1", Outcome::Ok)];
        let completed = RunEvent::ChecksCompleted { deployment: deployment(), results, done: 1, planned: 2, at };
        let mut events = log(run().0, [RunEvent::RunStarted { at }, completed].map(AnyEvent::Run));
        let cause = Uuid::from_u128(77);
        let second = Arc::make_mut(&mut events[1]);
        Arc::make_mut(&mut second.recorded).metadata.causation_id = Some(cause);
        assert_eq!(CausationRow::new(&events[0]).causation_id, None);
        let told = Told::new().await;
        let sql = "SELECT event_id, causation_id, last_position FROM view_causation ORDER BY last_position";
        let rows = told.then::<Causation>(&events, sql).await;
        let expected = [
            json!({"event_id": Uuid::from_u128(1), "causation_id": null, "last_position": 1}),
            json!({"event_id": Uuid::from_u128(2), "causation_id": cause, "last_position": 2}),
        ];
        assert_eq!(rows, expected);
        told.survives_being_forgotten::<Causation>(&events).await;
    }
}
