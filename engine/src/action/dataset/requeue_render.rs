//! Queues rendering requests again that stand still.

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
pub struct RequeueRender;

/// Which requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Those that have waited longer than this; 60 where absent.
    #[serde(default = "an_hour")]
    pub older_than_minutes: u32,
    /// The most requests; more than that are refused. 1,000 where absent, at most 10,000.
    #[serde(default = "default_limit")]
    pub limit: u32,
}

const fn an_hour() -> u32 {
    60
}

/// The requests as they stand in the queue.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    requests: Vec<Request>,
}

/// One request: a row of `tsrendqueu`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    uri: i64,
    rqqueued: String,
    rqstatus: String,
    rqerror: Option<String>,
}

impl State {
    fn values(&self) -> Result<[Bind; 1], ActionError> {
        let rows = serde_json::to_value(&self.requests);
        Ok([rows.map_err(|error| ActionError::internal(error.to_string()))?.into()])
    }
}

impl Act for RequeueRender {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "dataset.requeue-render",
        version: 1,
        title: "Queue rendering requests again that stand still",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(1),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let select = "SELECT uri, rqqueued, rqstatus, rqerror FROM tsrendqueu
                      WHERE rqqueued < now() - $1 * interval '1 minute' ORDER BY uri LIMIT $2";
        let values = vec![parameters.older_than_minutes.into()];
        Ok(State { requests: bounded(target, select, values, parameters.limit).await? })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let one = |request: &Request| {
            let error = request.rqerror.as_deref().unwrap_or("no error");
            let summary = format!(
                "queue rendering request {} again; it stands since {} ({error})",
                request.uri, request.rqqueued
            );
            change(
                summary,
                format!("tsrendqueu {}", request.uri),
                Some(json!(request)),
                Some(json!({"rqstatus": "Pending"})),
            )
        };
        before.requests.iter().map(one).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { documents: before.requests.len() as u64, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        // Those that the service has taken up meanwhile are not there any more, or are another's.
        let statement = "UPDATE tsrendqueu q SET rqstatus = 'Pending', rqerror = NULL, rqqueued = now()
                         FROM jsonb_populate_recordset(NULL::tsrendqueu, $1) b
                         WHERE q.uri = b.uri AND q.rqqueued = b.rqqueued";
        change_rows(target, statement, &before.values()?).await?;
        Ok(Outputs::new())
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let select = "SELECT count(*) AS count FROM tsrendqueu q
                      JOIN jsonb_populate_recordset(NULL::tsrendqueu, $1) b USING (uri)
                      WHERE q.rqqueued = b.rqqueued";
        Ok(match count(target, select, &before.values()?).await? {
            0 => Verified::Done,
            left => Verified::NotDone(format!("{left} requests still stand where they stood")),
        })
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let statement = "UPDATE tsrendqueu q SET rqstatus = b.rqstatus, rqerror = b.rqerror, rqqueued = b.rqqueued
                         FROM jsonb_populate_recordset(NULL::tsrendqueu, $1) b
                         WHERE q.uri = b.uri AND (q.rqstatus, q.rqerror, q.rqqueued)
                           IS DISTINCT FROM (b.rqstatus, b.rqerror, b.rqqueued)";
        change_rows(target, statement, &before.values()?).await.map(drop)
    }
}
