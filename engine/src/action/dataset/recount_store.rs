//! Sets a store's counters to what the dataset's rows say, where the disk says the same.

use super::files::{self, store_number};
use super::{change, change_rows};
use crate::action::sql::{Access, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct RecountStore;

/// How far the disk may be from the dataset's rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// So many files; 5 where absent. More than that are missing or left over: then the counters are only the symptom.
    #[serde(default = "a_few")]
    pub files_apart: u32,
}

const fn a_few() -> u32 {
    5
}

/// By how much the counters are wrong. Not what they are: that moves with every document that comes in, as it should.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    store: i64,
    items_too_many: i64,
    bytes_too_many: i64,
}

/// What rows name, each file once, as the product counts it.
const ACTUAL: &str = "
    SELECT count(*) AS items, coalesce(CAST(sum(bytes) AS bigint), 0) AS bytes FROM (
      SELECT resid, max(bytes) AS bytes FROM (
        SELECT resid, rebytes AS bytes FROM tsrecelec WHERE restore = $1
        UNION ALL SELECT resid, rvbytes FROM tserecvsn WHERE restore = $1
        UNION ALL SELECT resid, rdbytes FROM tsrenditio WHERE restore = $1) named
      GROUP BY resid) files";

#[derive(Deserialize)]
struct Counted {
    recorded_items: i64,
    recorded_bytes: i64,
    items: i64,
    bytes: i64,
}

impl Act for RecountStore {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "dataset.recount-store",
        version: 1,
        title: "Count a store's files and bytes anew",
        components: &[ComponentKind::DocumentStore],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(10),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let counted = counted(target).await?;
        let walk = files::walked(target).await?;
        let on_disk = i64::try_from(walk.files.len()).unwrap_or(i64::MAX);
        if on_disk.abs_diff(counted.items) > u64::from(parameters.files_apart) {
            let text = format!(
                "the dataset names {} files and the disk holds {on_disk}: look for missing and left over files first, the \
                 counters are only the symptom",
                counted.items
            );
            return Err(ActionError::precondition(text));
        }
        drift(target, &counted)
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let one = |what: &str, column: &str, too_many: i64| {
            (too_many != 0).then(|| {
                let (verb, by) = if too_many > 0 { ("lower", too_many) } else { ("raise", -too_many) };
                let summary = format!("{verb} the counter of {what} of store {} by {by}", before.store);
                let from = json!({"too_many": too_many});
                change(
                    summary,
                    format!("tselecstor {} {column}", before.store),
                    Some(from),
                    Some(json!({"too_many": 0})),
                )
            })
        };
        let items = one("files", "esitems", before.items_too_many);
        items.into_iter().chain(one("bytes", "esbytes", before.bytes_too_many)).collect()
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { stores: 1, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        set(target, &State { items_too_many: 0, bytes_too_many: 0, ..*before }).await?;
        Ok(Outputs::new())
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let now = drift(target, &counted(target).await?)?;
        let right = State { items_too_many: 0, bytes_too_many: 0, ..*before };
        if now == right {
            return Ok(Verified::Done);
        }
        let (items, bytes) = (now.items_too_many, now.bytes_too_many);
        Ok(Verified::NotDone(format!("the counters are {items} files and {bytes} bytes too high")))
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        set(target, before).await
    }
}

async fn counted(target: &ActionTarget) -> Result<Counted, ActionError> {
    let store = store_number(target)?;
    let mut session = Session::open(target, Access::Read).await?;
    let select = format!(
        "SELECT s.esitems AS recorded_items, s.esbytes AS recorded_bytes, a.items, a.bytes
         FROM tselecstor s CROSS JOIN ({ACTUAL}) a WHERE s.uri = $1"
    );
    let counted = session.row(&select, &[store.into()]).await?;
    session.close().await;
    counted.ok_or_else(|| ActionError::precondition(format!("the dataset knows no store {store}")))
}

fn drift(target: &ActionTarget, counted: &Counted) -> Result<State, ActionError> {
    Ok(State {
        store: store_number(target)?,
        items_too_many: counted.recorded_items - counted.items,
        bytes_too_many: counted.recorded_bytes - counted.bytes,
    })
}

/// Counts and sets in one statement: what comes in meanwhile is in both or in none.
async fn set(target: &ActionTarget, to: &State) -> Result<(), ActionError> {
    let statement = format!(
        "UPDATE tselecstor s SET esitems = a.items + $2, esbytes = a.bytes + $3 FROM ({ACTUAL}) a
         WHERE s.uri = $1 AND (s.esitems, s.esbytes) IS DISTINCT FROM (a.items + $2, a.bytes + $3)"
    );
    let values = [to.store.into(), to.items_too_many.into(), to.bytes_too_many.into()];
    change_rows(target, &statement, &values).await.map(drop)
}
