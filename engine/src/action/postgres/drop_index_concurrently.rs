//! Drops an index that another one repeats, and keeps what is needed to make it again.

use super::index::{self, Found, Index, IndexName};
use super::{bytes_at_most, change};
use crate::action::sql::{Access, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct DropIndexConcurrently;

/// Which index, and which one does its work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Its schema.
    pub schema: String,
    /// Its name, without the schema.
    pub index: String,
    /// The index of the same schema and table that serves the same, and stays. Without one, only an index that was
    /// never used since the statistics began is dropped.
    #[serde(default)]
    pub duplicate_of: Option<String>,
}

impl Parameters {
    fn index(&self) -> IndexName {
        IndexName { schema: self.schema.clone(), index: self.index.clone() }
    }
}

/// What makes it again, and how much is not known of its use.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    index: Index,
    bytes_at_most: u64,
    duplicate_of: Option<String>,
    /// Use is only counted from here on.
    statistics_since: Option<String>,
    /// Their use is counted on themselves, and not seen here.
    has_standbys: bool,
}

impl Act for DropIndexConcurrently {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.drop-index-concurrently",
        version: 1,
        title: "Drop an index that another one repeats",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_hours(2),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let name = parameters.index();
        let found = index::to_change(target, &name).await?;
        let fail = |why: String| Err(ActionError::precondition(format!("{} stays: {why}", name.shown())));
        if let Some(reason) = index::holds_back(&found) {
            return fail(reason);
        }
        if !found.index.is_valid {
            return fail("it is invalid, and there is an action of its own for that".to_owned());
        }
        if let Some(reason) = twin_trouble(parameters, target, &found).await? {
            return fail(reason);
        }
        let unknown = unknown(target).await?;
        Ok(State {
            bytes_at_most: bytes_at_most(found.bytes),
            index: found.index,
            duplicate_of: parameters.duplicate_of.clone(),
            statistics_since: unknown.statistics_since,
            has_standbys: unknown.has_standbys,
        })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        let name = parameters.index().shown();
        let why = match &before.duplicate_of {
            Some(twin) => format!("{twin} serves the same"),
            None => "it was not used since the statistics began".to_owned(),
        };
        let since = before.statistics_since.as_deref().unwrap_or("the server was made");
        let standbys = if before.has_standbys {
            "whether queries on the standbys use it"
        } else {
            "whether a standby that is not connected now uses it"
        };
        let summary = format!(
            "drop index {name} on {}: {why}. Not known: what used it before {since}; {standbys}; whether the product's \
             upgrade, a hint or a script expects it by name",
            before.index.table
        );
        let from = json!({"definition": before.index.definition, "statistics_since": before.statistics_since,
                          "has_standbys": before.has_standbys});
        vec![change(summary, name, Some(from), None)]
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { bytes: before.bytes_at_most, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let name = parameters.index();
        let mut session = Session::open(target, Access::Patient).await?;
        if let Some(found) = index::find(&mut session, &name).await? {
            if found.index.definition != before.index.definition {
                let text = format!("{} is another index now: {}", name.shown(), found.index.definition);
                return Err(ActionError::precondition(text));
            }
            if let Some(reason) = index::holds_back(&found) {
                return Err(ActionError::precondition(format!("{} stays: {reason}", name.shown())));
            }
            index::drop_concurrently(&mut session, &name).await?;
        }
        session.close().await;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let name = parameters.index();
        Ok(match index::find_once(target, &name).await? {
            None => Verified::Done,
            Some(_) => Verified::NotDone(format!("{} is still there", name.shown())),
        })
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        index::recreate(target, &parameters.index(), &before.index).await
    }
}

/// Why the other index does not do its work, or why nothing says that nobody needs it.
async fn twin_trouble(
    parameters: &Parameters,
    target: &ActionTarget,
    found: &Found,
) -> Result<Option<String>, ActionError> {
    let Some(twin) = &parameters.duplicate_of else {
        if found.index.is_unique {
            return Ok(Some("it guards uniqueness".to_owned()));
        }
        let used = format!("it was used {} times since the statistics began", found.scans);
        return Ok((found.scans > 0).then_some(used));
    };
    if *twin == parameters.index {
        return Ok(Some("it can not be its own duplicate".to_owned()));
    }
    let name = IndexName { schema: parameters.schema.clone(), index: twin.clone() };
    Ok(match index::find_once(target, &name).await? {
        None => Some(format!("there is no index {}", name.shown())),
        Some(other) if !other.index.is_valid => Some(format!("{} is invalid", name.shown())),
        Some(other) if other.serves != found.serves => Some(format!("{} does not serve the same", name.shown())),
        Some(other) if found.index.is_unique && !other.index.is_unique => {
            Some(format!("it guards uniqueness, and {} does not", name.shown()))
        }
        Some(_) => None,
    })
}

#[derive(Deserialize)]
struct Unknown {
    statistics_since: Option<String>,
    has_standbys: bool,
}

async fn unknown(target: &ActionTarget) -> Result<Unknown, ActionError> {
    let ask = "SELECT d.stats_reset AS statistics_since,
                      EXISTS (SELECT 1 FROM pg_catalog.pg_stat_replication) AS has_standbys
               FROM pg_catalog.pg_stat_database d WHERE d.datname = current_database()";
    let mut session = Session::open(target, Access::Read).await?;
    let answer = session.row(ask, &[]).await?;
    session.close().await;
    answer.ok_or_else(|| ActionError::target("the server has no statistics of this database"))
}
