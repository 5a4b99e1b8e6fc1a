//! Computes the hash of documents that have none, where their size is the recorded one.

use super::files::{self, Found, store_number};
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
pub struct FillHash;

/// How many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The most documents; more than that are refused. 1,000 where absent, at most 10,000.
    #[serde(default = "default_limit")]
    pub limit: u32,
}

/// The documents without a hash.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    store: i64,
    documents: Vec<Document>,
    /// Those whose file is missing, or not of the recorded size: their hash stays blank.
    left_blank: Vec<i64>,
}

/// One document.
#[derive(Debug, Serialize, Deserialize)]
pub struct Document {
    uri: i64,
    resid: String,
    bytes: i64,
    /// Null, or an empty text.
    hash: Option<String>,
}

impl State {
    fn keys(&self) -> Bind {
        self.documents.iter().map(|document| document.uri).collect::<Vec<_>>().into()
    }

    fn rows(&self) -> Result<Bind, ActionError> {
        serde_json::to_value(&self.documents).map(Bind::from).map_err(|error| ActionError::internal(error.to_string()))
    }
}

impl Act for FillHash {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "dataset.fill-hash",
        version: 1,
        title: "Compute the hash of documents that have none",
        components: &[ComponentKind::DocumentStore],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(30),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let store = store_number(target)?;
        let select = "SELECT uri, resid, rebytes AS bytes, rehash AS hash FROM tsrecelec
                      WHERE restore = $1 AND coalesce(rehash, '') = '' ORDER BY uri LIMIT $2";
        let blank: Vec<Document> = bounded(target, select, vec![store.into()], parameters.limit).await?;
        let walk = files::walked(target).await?;
        let found = Found::new(&walk);
        let is_as_recorded = |document: &Document| {
            found.file(&document.resid).is_some_and(|(_, bytes)| i64::try_from(bytes) == Ok(document.bytes))
        };
        let (documents, left): (Vec<_>, Vec<_>) = blank.into_iter().partition(is_as_recorded);
        if documents.is_empty() && !left.is_empty() {
            let text = format!("none of the {} documents has a file of its recorded size", left.len());
            return Err(ActionError::precondition(text));
        }
        Ok(State { store, documents, left_blank: left.into_iter().map(|document| document.uri).collect() })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let left = before.left_blank.len();
        let note = (left > 0).then(|| {
            let summary =
                format!("leave {left} documents without a hash: their file is missing or not of its recorded size");
            change(summary, format!("store {}", before.store), None, None)
        });
        let one = |document: &Document| {
            let summary = format!("record the SHA-256 of {} ({} bytes)", document.resid, document.bytes);
            let to = Some(json!("the SHA-256 of the file as it is now"));
            change(summary, format!("tsrecelec {}", document.uri), document.hash.as_ref().map(|hash| json!(hash)), to)
        };
        note.into_iter().chain(before.documents.iter().map(one)).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { stores: 1, documents: before.documents.len() as u64, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let walk = files::walked(target).await?;
        let found = Found::new(&walk);
        let paths: Vec<_> = before.documents.iter().filter_map(|document| found.file(&document.resid)).collect();
        if paths.len() != before.documents.len() {
            return Err(ActionError::precondition("a file has gone meanwhile: nothing was recorded"));
        }
        let hashes = files::hashes(target, paths.into_iter().map(|(path, _)| path).collect()).await?;
        let mut rows = Vec::with_capacity(hashes.len());
        for (document, (hash, bytes)) in before.documents.iter().zip(hashes) {
            if i64::try_from(bytes) != Ok(document.bytes) {
                let text = format!("{} is not of its recorded size any more: nothing was recorded", document.resid);
                return Err(ActionError::precondition(text));
            }
            rows.push(json!({"uri": document.uri, "hash": hash}));
        }
        let statement = "UPDATE tsrecelec e SET rehash = b.hash
                         FROM jsonb_to_recordset($1) AS b(uri bigint, hash text)
                         WHERE e.uri = b.uri AND coalesce(e.rehash, '') = ''";
        change_rows(target, statement, &[Bind::from(serde_json::Value::from(rows))]).await?;
        Ok(Outputs::new())
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let select = "SELECT count(*) AS count FROM tsrecelec WHERE uri = ANY($1) AND coalesce(rehash, '') = ''";
        Ok(match count(target, select, &[before.keys()]).await? {
            0 => Verified::Done,
            left => Verified::NotDone(format!("{left} documents still have no hash")),
        })
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let statement = "UPDATE tsrecelec e SET rehash = b.hash
                         FROM jsonb_to_recordset($1) AS b(uri bigint, hash text)
                         WHERE e.uri = b.uri AND e.rehash IS DISTINCT FROM b.hash";
        change_rows(target, statement, &[before.rows()?]).await.map(drop)
    }
}
