//! Queues documents for indexing again that a network error kept out of the content index.

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
pub struct RequeueIndex;

/// How many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The most documents; more than that are refused. 1,000 where absent, at most 10,000.
    #[serde(default = "default_limit")]
    pub limit: u32,
}

/// The documents (their records' numbers) whose status is `NetworkError`: the one status that is worth a retry.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    documents: Vec<i64>,
}

impl State {
    fn values(&self) -> [Bind; 1] {
        [self.documents.clone().into()]
    }
}

#[derive(Deserialize)]
struct Document {
    uri: i64,
}

impl Act for RequeueIndex {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "dataset.requeue-index",
        version: 1,
        title: "Queue documents for indexing again that a network error kept out",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(2),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let select = "SELECT uri FROM tsrecelec WHERE reindexstatus = 'NetworkError' ORDER BY uri LIMIT $1";
        let documents: Vec<Document> = bounded(target, select, Vec::new(), parameters.limit).await?;
        Ok(State { documents: documents.into_iter().map(|document| document.uri).collect() })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let one = |uri: &i64| {
            let summary = format!("queue the document of record {uri} for indexing again");
            change(summary, format!("tsrecelec {uri}"), Some(json!("NetworkError")), Some(json!("Pending")))
        };
        before.documents.iter().map(one).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { documents: before.documents.len() as u64, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let statement = "UPDATE tsrecelec SET reindexstatus = 'Pending'
                         WHERE uri = ANY($1) AND reindexstatus = 'NetworkError'";
        change_rows(target, statement, &before.values()).await?;
        Ok(Outputs::new())
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let select = "SELECT count(*) AS count FROM tsrecelec WHERE uri = ANY($1) AND reindexstatus = 'NetworkError'";
        Ok(match count(target, select, &before.values()).await? {
            0 => Verified::Done,
            left => Verified::NotDone(format!("{left} documents still stand at NetworkError")),
        })
    }

    /// Whatever they stand at by then: the image is of what was.
    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let statement = "UPDATE tsrecelec SET reindexstatus = 'NetworkError'
                         WHERE uri = ANY($1) AND reindexstatus <> 'NetworkError'";
        change_rows(target, statement, &before.values()).await.map(drop)
    }
}
