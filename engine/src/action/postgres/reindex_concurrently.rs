//! Builds an index anew, beside normal traffic.

use super::index::{self, IndexName};
use super::{bytes_at_most, change};
use crate::action::sql::{Access, Bind, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct ReindexConcurrently;

/// Which index it was: a rebuilt one has another object id.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    oid: i64,
    table: String,
    definition: String,
    is_valid: bool,
    bytes_at_most: u64,
    /// Half-built ones beside it that were there before: not ours to remove.
    leftovers: Vec<String>,
}

impl Act for ReindexConcurrently {
    type Parameters = IndexName;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.reindex-concurrently",
        version: 1,
        title: "Build an index anew beside normal traffic",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::Nothing("the new index holds what the table holds; the old one had nothing beyond that"),
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_hours(2),
    };

    async fn capture(parameters: &IndexName, target: &ActionTarget) -> Result<State, ActionError> {
        let found = index::to_change(target, parameters).await?;
        let fail = |why: &str| Err(ActionError::precondition(format!("{}: {why}", parameters.shown())));
        if found.is_part {
            return fail("it is part of a partitioned index: rebuild its parts one by one");
        }
        if parameters.index.ends_with("_ccnew") || parameters.index.ends_with("_ccold") {
            return fail("it is the rest of a failed rebuild: drop it instead");
        }
        let mut session = Session::open(target, Access::Read).await?;
        let leftovers = leftovers(&mut session, parameters).await?;
        session.close().await;
        Ok(State {
            oid: found.oid,
            table: found.index.table,
            definition: found.index.definition,
            is_valid: found.index.is_valid,
            bytes_at_most: bytes_at_most(found.bytes),
            leftovers,
        })
    }

    fn preview(parameters: &IndexName, before: &State) -> Vec<Change> {
        let name = parameters.shown();
        let is = if before.is_valid { "valid" } else { "invalid" };
        let summary = format!("build {name} on {} anew (it is {is}): {}", before.table, before.definition);
        vec![change(summary, name, Some(json!({"valid": before.is_valid})), Some(json!({"valid": true})))]
    }

    fn blast(_: &IndexName, before: &State) -> BlastRadius {
        BlastRadius { bytes: before.bytes_at_most, ..BlastRadius::default() }
    }

    async fn apply(parameters: &IndexName, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let mut session = Session::open(target, Access::Patient).await?;
        tidy(&mut session, parameters, before).await?;
        let rebuilt = session.run(&format!("REINDEX INDEX CONCURRENTLY {}", parameters.quoted()?)).await;
        session.close().await;
        if let Err(error) = rebuilt {
            return Err(index::and_tidied(error, tidy_after_all(parameters, target, before).await));
        }
        Ok(Outputs::new())
    }

    async fn verify(parameters: &IndexName, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let name = parameters.shown();
        Ok(match index::find_once(target, parameters).await? {
            None => Verified::NotDone(format!("there is no index {name} any more")),
            Some(found) if !found.index.is_valid => Verified::NotDone(format!("{name} is invalid")),
            Some(found) if found.oid == before.oid => Verified::NotDone(format!("{name} is still the old one")),
            Some(_) => Verified::Done,
        })
    }

    async fn undo(_: &IndexName, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}

/// Half-built indexes beside the index: what a rebuild that was cut off leaves.
async fn leftovers(session: &mut Session, name: &IndexName) -> Result<Vec<String>, ActionError> {
    #[derive(Deserialize)]
    struct Leftover {
        name: String,
    }
    let find = "
        SELECT CAST(o.relname AS text) AS name
        FROM pg_catalog.pg_index x
        JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace
        JOIN pg_catalog.pg_index y ON y.indrelid = x.indrelid AND NOT y.indisvalid
        JOIN pg_catalog.pg_class o ON o.oid = y.indexrelid AND o.relnamespace = i.relnamespace
        WHERE n.nspname = $1 AND i.relname = $2 AND o.relname ~ '_cc(new|old)[0-9]*$'
          AND starts_with(CAST(o.relname AS text), left(CAST(i.relname AS text), 50))
        ORDER BY 1";
    let values: [Bind; 2] = [name.schema.as_str().into(), name.index.as_str().into()];
    Ok(session.rows::<Leftover>(find, &values).await?.into_iter().map(|one| one.name).collect())
}

/// Removes what a failed try has left, even though the phase has ended.
async fn tidy_after_all(name: &IndexName, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
    let mut session = Session::open_to_tidy(target).await?;
    tidy(&mut session, name, before).await?;
    session.close().await;
    Ok(())
}

/// Drops those that were not there before.
async fn tidy(session: &mut Session, name: &IndexName, before: &State) -> Result<(), ActionError> {
    for index in leftovers(session, name).await? {
        if !before.leftovers.contains(&index) {
            index::drop_concurrently(session, &IndexName { schema: name.schema.clone(), index }).await?;
        }
    }
    Ok(())
}
