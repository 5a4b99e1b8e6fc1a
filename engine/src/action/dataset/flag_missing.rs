//! Flags documents whose file is missing: beside the record, which stays as it is.

use super::files::{self, Found, store_number};
use super::{change, change_rows, count};
use crate::action::sql::{Access, Bind, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct FlagMissing;

/// The most files of one step.
const FILES_MAX: usize = 1_000;

/// Which files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Their names in the store, as the dataset has them (`resid`); 1 to 1,000.
    pub files: Vec<String>,
}

/// The files that are not flagged yet, in order.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    store: i64,
    files: Vec<String>,
}

impl State {
    fn values(&self) -> [Bind; 2] {
        [self.store.into(), self.files.clone().into()]
    }
}

#[derive(Deserialize)]
struct Named {
    resid: String,
    is_flagged: bool,
}

impl Act for FlagMissing {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "dataset.flag-missing",
        version: 1,
        title: "Flag documents whose file is missing",
        components: &[ComponentKind::DocumentStore],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(10),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        if parameters.files.is_empty() || parameters.files.len() > FILES_MAX {
            return Err(ActionError::configuration(format!("1 to {FILES_MAX} files can be flagged at once")));
        }
        let store = store_number(target)?;
        let named = named(target, store, &parameters.files).await?;
        let walk = files::walked(target).await?;
        let found = Found::new(&walk);
        for file in &parameters.files {
            if !named.iter().any(|one| one.resid == *file) {
                return Err(ActionError::precondition(format!("the dataset knows no file {file} in store {store}")));
            }
            if found.is_there(file) {
                return Err(ActionError::precondition(format!("{file} is there: it is not missing")));
            }
        }
        let mut files: Vec<String> = named.into_iter().filter(|one| !one.is_flagged).map(|one| one.resid).collect();
        files.sort_unstable();
        files.dedup();
        Ok(State { store, files })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let one = |file: &String| {
            let summary = format!("flag {file} as missing; its record and its recorded size stay");
            change(summary, format!("double_document_flag {file}"), None, Some(json!("missing")))
        };
        before.files.iter().map(one).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { documents: before.files.len() as u64, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let statement = "INSERT INTO double_document_flag (store, resid, flag)
                         SELECT $1, named, 'missing' FROM unnest($2) AS named ON CONFLICT (store, resid) DO NOTHING";
        change_rows(target, statement, &before.values()).await?;
        Ok(Outputs::new())
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let select = "SELECT count(*) AS count FROM unnest($2) AS named
                      WHERE NOT EXISTS (SELECT 1 FROM double_document_flag f WHERE f.store = $1 AND f.resid = named)";
        Ok(match count(target, select, &before.values()).await? {
            0 => Verified::Done,
            left => Verified::NotDone(format!("{left} files are not flagged")),
        })
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let statement = "DELETE FROM double_document_flag WHERE store = $1 AND resid = ANY($2) AND flag = 'missing'";
        change_rows(target, statement, &before.values()).await.map(drop)
    }
}

/// Those of the files that the dataset knows.
async fn named(target: &ActionTarget, store: i64, files: &[String]) -> Result<Vec<Named>, ActionError> {
    let select = "
        SELECT n.resid,
            EXISTS (SELECT 1 FROM double_document_flag f WHERE f.store = $1 AND f.resid = n.resid) AS is_flagged
        FROM (SELECT resid FROM tsrecelec WHERE restore = $1 AND resid = ANY($2)
              UNION SELECT resid FROM tserecvsn WHERE restore = $1 AND resid = ANY($2)
              UNION SELECT resid FROM tsrenditio WHERE restore = $1 AND resid = ANY($2)) n";
    let mut session = Session::open(target, Access::Read).await?;
    let named = session.rows(select, &[store.into(), files.to_vec().into()]).await?;
    session.close().await;
    Ok(named)
}
