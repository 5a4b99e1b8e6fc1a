//! Adds the words of records to the word index that it lacks.

use super::{bounded, change, change_rows, count, default_limit};
use crate::action::sql::{Access, Bind, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// See the module.
pub struct IndexWords;

/// Which records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// How many of the newest records are looked at; 20,000 where absent. Those of the last hour are left to the
    /// product's own processor.
    #[serde(default = "newest")]
    pub newest: u32,
    /// The most records without words; more than that are refused. 1,000 where absent, at most 10,000.
    #[serde(default = "default_limit")]
    pub limit: u32,
}

const fn newest() -> u32 {
    20_000
}

/// The records of which the word index has nothing.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    records: Vec<i64>,
}

impl State {
    fn keys(&self) -> Bind {
        self.records.clone().into()
    }
}

#[derive(Deserialize)]
struct Record {
    uri: i64,
}

impl Act for IndexWords {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "dataset.index-words",
        version: 1,
        title: "Add the words of records to the word index that it lacks",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(5),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let select = "
            SELECT r.uri
            FROM (SELECT uri FROM tsrecord WHERE rcdatereg < now() - interval '1 hour'
                  ORDER BY rcdatereg DESC LIMIT $1) r
            WHERE NOT EXISTS (SELECT 1 FROM tstxtidx x WHERE x.recuri = r.uri)
            ORDER BY r.uri LIMIT $2";
        let records: Vec<Record> = bounded(target, select, vec![parameters.newest.into()], parameters.limit).await?;
        Ok(State { records: records.into_iter().map(|record| record.uri).collect() })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let one = |uri: &i64| {
            let summary = format!("add the words of the title of record {uri} to the word index");
            change(summary, format!("tstxtidx {uri}"), None, Some("the words of its title".into()))
        };
        before.records.iter().map(one).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { documents: before.records.len() as u64, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let mut session = Session::open(target, Access::Write).await?;
        session.run("BEGIN").await?;
        // New keys follow the highest: nobody else adds words meanwhile. Readers go on.
        session.run("LOCK TABLE tstxtidx IN SHARE ROW EXCLUSIVE MODE").await?;
        let add = "
            WITH words AS (
              SELECT DISTINCT r.uri, w.word
              FROM tsrecord r CROSS JOIN LATERAL regexp_split_to_table(lower(r.rctitle), '[^[:alnum:]]+') AS w(word)
              WHERE r.uri = ANY($1) AND w.word <> ''
                AND NOT EXISTS (SELECT 1 FROM tstxtidx x WHERE x.recuri = r.uri))
            INSERT INTO tstxtidx (uri, recuri, word)
            SELECT (SELECT coalesce(max(uri), 0) FROM tstxtidx) + row_number() OVER (ORDER BY uri, word), uri, word
            FROM words";
        session.execute(add, &[before.keys()]).await?;
        session.run("COMMIT").await?;
        session.close().await;
        Ok(Outputs::new())
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        // A title without a word has nothing to be found by.
        let select = "SELECT count(*) AS count FROM tsrecord r
                      WHERE r.uri = ANY($1) AND r.rctitle ~ '[[:alnum:]]'
                        AND NOT EXISTS (SELECT 1 FROM tstxtidx x WHERE x.recuri = r.uri)";
        Ok(match count(target, select, &[before.keys()]).await? {
            0 => Verified::Done,
            left => Verified::NotDone(format!("{left} records still have no words")),
        })
    }

    /// The image says that the index had nothing of these records: so it has nothing again. Records stay.
    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        change_rows(target, "DELETE FROM tstxtidx WHERE recuri = ANY($1)", &[before.keys()]).await.map(drop)
    }
}
