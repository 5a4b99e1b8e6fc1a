//! Marks records as recalculated whose retention was not: dates only, nothing is ever disposed of.

use super::{bounded, change, change_rows, count, default_limit};
use crate::action::sql::Bind;
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct RecalculateRetention;

/// Which records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Those whose trigger date passed longer ago than this; 2 where absent.
    #[serde(default = "two_days")]
    pub overdue_days: u32,
    /// The most records; more than that are refused. 1,000 where absent, at most 10,000.
    #[serde(default = "default_limit")]
    pub limit: u32,
}

const fn two_days() -> u32 {
    2
}

/// The records, and when they were last calculated.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    records: Vec<Record>,
}

/// One record.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    uri: i64,
    rcrecalcdate: Option<String>,
    on_hold: bool,
}

impl State {
    fn rows(&self) -> Result<Bind, ActionError> {
        serde_json::to_value(&self.records).map(Bind::from).map_err(|error| ActionError::internal(error.to_string()))
    }

    fn keys(&self) -> Bind {
        self.records.iter().map(|record| record.uri).collect::<Vec<_>>().into()
    }
}

const STALE: &str = "(r.rcrecalcdate IS NULL OR r.rcrecalcdate < r.rctriggerdate)";

impl Act for RecalculateRetention {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "dataset.recalculate-retention",
        version: 1,
        title: "Recalculate the retention of records that are due",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(2),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let select = format!(
            "SELECT r.uri, r.rcrecalcdate, EXISTS (SELECT 1 FROM tscasereco c WHERE c.crrecuri = r.uri) AS on_hold
             FROM tsrecord r WHERE r.rctriggerdate < now() - $1 * interval '1 day' AND {STALE} ORDER BY r.uri LIMIT $2"
        );
        let values = vec![parameters.overdue_days.into()];
        Ok(State { records: bounded(target, &select, values, parameters.limit).await? })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let one = |record: &Record| {
            let hold = if record.on_hold { "; it is on hold, and stays so" } else { "" };
            let summary = format!("recalculate record {}{hold}; nothing is disposed of", record.uri);
            let from = record.rcrecalcdate.as_ref().map(|date| json!(date));
            change(summary, format!("tsrecord {}", record.uri), from, Some(json!("now")))
        };
        before.records.iter().map(one).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { documents: before.records.len() as u64, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let statement = format!("UPDATE tsrecord r SET rcrecalcdate = now() WHERE r.uri = ANY($1) AND {STALE}");
        change_rows(target, &statement, &[before.keys()]).await?;
        Ok(Outputs::new())
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let select = format!("SELECT count(*) AS count FROM tsrecord r WHERE r.uri = ANY($1) AND {STALE}");
        Ok(match count(target, &select, &[before.keys()]).await? {
            0 => Verified::Done,
            left => Verified::NotDone(format!("{left} records are still not recalculated")),
        })
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let statement = "UPDATE tsrecord r SET rcrecalcdate = b.rcrecalcdate
                         FROM jsonb_to_recordset($1) AS b(uri bigint, rcrecalcdate timestamptz)
                         WHERE r.uri = b.uri AND r.rcrecalcdate IS DISTINCT FROM b.rcrecalcdate";
        change_rows(target, statement, &[before.rows()?]).await.map(drop)
    }
}
