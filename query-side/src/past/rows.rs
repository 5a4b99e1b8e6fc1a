//! The rows of views with one row an aggregate, as they stood.

use super::{EVENTS_MAX, Past, STREAMS_MAX, too_much, unfolded};
use crate::error::QueryError;
use domain::Position;
use domain::any_event::{DIAGNOSTIC_RUN, EMERGENCY_STOP, FINDING, POLICY, REMEDIATION};
use event_store::{RecordedEvent, StreamId};
use projections::TableRows;
use projections::decisions::DecisionsError;
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

/// Above this many events the fold goes to a thread of its own.
const FOLDED_HERE: usize = 200;

/// A view with one row an aggregate, which the aggregate's own events change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folded {
    /// The projection.
    pub projection: &'static str,
    /// Its table with that row.
    pub table: &'static str,
    /// The aggregate's type.
    pub aggregate: &'static str,
}

macro_rules! folded {
    ($($name:ident: $projection:literal, $table:literal, $aggregate:expr;)+) => {$(
        pub(super) const $name: Folded = Folded { projection: $projection, table: $table, aggregate: $aggregate };
    )+};
}

folded! {
    RUNS: "runs", "view_runs", DIAGNOSTIC_RUN;
    FINDINGS: "findings", "view_findings", FINDING;
    REMEDIATIONS: "remediations", "view_remediations", REMEDIATION;
    POLICIES: "policies", "view_policies", POLICY;
    STOPS: "emergency_stops", "view_emergency_stops", EMERGENCY_STOP;
}

/// What today's view says of some rows.
#[derive(Default)]
pub(super) struct Today {
    /// Those that stand as they stood.
    pub same: Vec<String>,
    /// Those that were changed since, or made.
    pub changed: Vec<Uuid>,
}

impl Today {
    /// From rows of an id and, where nothing has changed it since, the row itself.
    pub(super) fn of(rows: &[PgRow]) -> Result<Self, QueryError> {
        let mut today = Self::default();
        for row in rows {
            match row.try_get::<Option<String>, _>("same")? {
                Some(same) => today.same.push(same),
                None => today.changed.push(row.try_get("id")?),
            }
        }
        Ok(today)
    }
}

/// An id, and the row as JSON where it stands as it stood. `$1` ids, `$2` position.
pub(super) fn today_by_ids(table: &str) -> String {
    format!(
        "SELECT v.id, CASE WHEN v.last_position <= $2 THEN to_json(v)::text END AS same FROM {table} v \
         WHERE v.id = ANY($1)"
    )
}

impl Past<'_> {
    /// The rows of these aggregates as they stood; those that were not there yet have none.
    pub(super) async fn rows(&self, view: Folded, ids: &[Uuid]) -> Result<Vec<String>, QueryError> {
        if ids.len() > STREAMS_MAX {
            return Err(too_much("rows", STREAMS_MAX));
        }
        let sql = today_by_ids(view.table);
        let found = sqlx::query(&sql).bind(ids).bind(self.position()).fetch_all(self.queries.pool()).await?;
        let today = Today::of(&found)?;
        self.then(view, today).await
    }

    /// What stands as it stood, and the rest folded anew.
    pub(super) async fn then(&self, view: Folded, today: Today) -> Result<Vec<String>, QueryError> {
        let Today { mut same, changed } = today;
        let streams = changed.iter().map(|id| StreamId::new(view.aggregate, &id.to_string())).collect();
        let folded = self.fold(view.projection, streams).await?;
        same.extend(rows_of(folded, view.table));
        Ok(same)
    }

    /// The rows that a projection makes of these streams up to the position.
    pub(super) async fn fold(
        &self,
        projection: &'static str,
        streams: Vec<StreamId>,
    ) -> Result<Vec<TableRows>, QueryError> {
        if streams.is_empty() {
            return Ok(Vec::new());
        }
        if streams.len() > STREAMS_MAX {
            return Err(too_much("streams", STREAMS_MAX));
        }
        let without = projections::past::passed_over(projection);
        let read = self.queries.the_log()?.read_streams(streams, without, self.as_of.position, EVENTS_MAX).await?;
        let events = read.ok_or_else(|| too_much("events", EVENTS_MAX))?;
        self.fold_events(projection, events).await
    }

    /// The rows that a projection makes of these events, without those that an operator told it to pass over.
    pub(super) async fn fold_events(
        &self,
        projection: &'static str,
        mut events: Vec<RecordedEvent>,
    ) -> Result<Vec<TableRows>, QueryError> {
        let mut db = self.queries.pool().acquire().await?;
        let log = self.queries.the_log()?;
        let skipped = projections::decisions::skips(log.as_ref(), &mut db, projection, Position::START).await;
        let skipped = skipped.map_err(|error| match error {
            DecisionsError::Log(error) => QueryError::from(error),
            DecisionsError::Database(error) => error.into(),
        })?;
        drop(db);
        events.retain(|event| skipped.binary_search(&event.position.0).is_err());
        let folded = if events.len() <= FOLDED_HERE {
            projections::as_of(projection, events)
        } else {
            let folding = tokio::task::spawn_blocking(move || projections::as_of(projection, events));
            folding.await.map_err(|_| event_store::LogError::Closed)?
        };
        folded.map_err(|error| unfolded(&error))
    }
}

/// Of a fold, the rows of one table.
pub(super) fn rows_of(folded: Vec<TableRows>, table: &str) -> Vec<String> {
    folded.into_iter().filter(|one| one.table == table).flat_map(|one| one.rows).collect()
}
