//! Makes a plain index, beside normal traffic.

use super::index::{self, Found, IndexName};
use super::table::{self, TableName};
use super::{bytes_at_most, change};
use crate::action::sql::{Access, Session, identifier};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// See the module.
pub struct CreateIndexConcurrently;

/// The most columns.
const COLUMNS_MAX: usize = 8;

/// What is to be made: a B-tree without conditions, which promises nothing but speed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The table's schema; the index goes there, too.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The name of the index.
    pub index: String,
    /// Its columns, in order; 1 to 8.
    pub columns: Vec<String>,
}

impl Parameters {
    fn index(&self) -> IndexName {
        IndexName { schema: self.schema.clone(), index: self.index.clone() }
    }

    fn table(&self) -> TableName {
        TableName { schema: self.schema.clone(), table: self.table.clone() }
    }

    fn columns(&self) -> Result<String, ActionError> {
        if self.columns.is_empty() || self.columns.len() > COLUMNS_MAX {
            return Err(ActionError::configuration(format!("an index has 1 to {COLUMNS_MAX} columns")));
        }
        Ok(self.columns.iter().map(|column| identifier(column)).collect::<Result<Vec<_>, _>>()?.join(", "))
    }

    /// Whether an index is what was asked for.
    fn is_this(&self, found: &Found) -> bool {
        found.is_plain && found.method == "btree" && found.columns == self.columns
    }
}

/// There was no such index; about how large the table is.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    table_oid: i64,
    bytes_at_most: u64,
}

impl Act for CreateIndexConcurrently {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.create-index-concurrently",
        version: 1,
        title: "Make an index beside normal traffic",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_hours(2),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        parameters.columns()?;
        let mut session = Session::open(target, Access::Read).await?;
        let table = table::to_maintain(&mut session, &parameters.table()).await?;
        let there = index::find(&mut session, &parameters.index()).await?;
        session.close().await;
        if table.kind == "p" {
            let text = format!("{} is partitioned: index its partitions", parameters.table().shown());
            return Err(ActionError::precondition(text));
        }
        if let Some(found) = there {
            let (name, definition) = (parameters.index().shown(), found.index.definition);
            return Err(ActionError::precondition(format!("there is an index {name} already: {definition}")));
        }
        Ok(State { table_oid: table.oid, bytes_at_most: bytes_at_most(table.bytes) })
    }

    fn preview(parameters: &Parameters, _: &State) -> Vec<Change> {
        let (name, table) = (parameters.index().shown(), parameters.table().shown());
        let columns = parameters.columns.join(", ");
        let summary = format!(
            "make index {name} on {table} ({columns}); each write of the table then takes a little longer, and the \
             product's vendor does not know of it"
        );
        vec![change(summary, name, None, Some(format!("btree ({columns}) on {table}").into()))]
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { bytes: before.bytes_at_most, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        let name = parameters.index();
        let mut session = Session::open(target, Access::Patient).await?;
        match index::find(&mut session, &name).await? {
            Some(found) if !parameters.is_this(&found) => return Err(is_another(&name, &found)),
            Some(found) if found.index.is_valid => return Ok(Outputs::new()),
            // Left half-built by an earlier try.
            Some(_) => index::drop_concurrently(&mut session, &name).await?,
            None => {}
        }
        let (quoted, table) = (identifier(&parameters.index)?, parameters.table().quoted()?);
        let columns = parameters.columns()?;
        let made = session.run(&format!("CREATE INDEX CONCURRENTLY {quoted} ON {table} USING btree ({columns})")).await;
        session.close().await;
        match made {
            Ok(()) => Ok(Outputs::new()),
            Err(error) => Err(index::and_tidied(error, remove(parameters, target).await)),
        }
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let name = parameters.index();
        Ok(match index::find_once(target, &name).await? {
            None => Verified::NotDone(format!("there is no index {}", name.shown())),
            Some(found) if !parameters.is_this(&found) => return Err(is_another(&name, &found)),
            Some(found) if !found.index.is_valid => Verified::NotDone(format!("{} is invalid", name.shown())),
            Some(_) => Verified::Done,
        })
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<(), ActionError> {
        let name = parameters.index();
        let mut session = Session::open(target, Access::Patient).await?;
        match index::find(&mut session, &name).await? {
            None => {}
            Some(found) if !parameters.is_this(&found) => return Err(is_another(&name, &found)),
            Some(_) => index::drop_concurrently(&mut session, &name).await?,
        }
        session.close().await;
        Ok(())
    }
}

fn is_another(name: &IndexName, found: &Found) -> ActionError {
    let text = format!("{} is not the index that was asked for: {}", name.shown(), found.index.definition);
    ActionError::precondition(text)
}

/// Removes what a failed try has left, even though the phase has ended.
async fn remove(parameters: &Parameters, target: &ActionTarget) -> Result<(), ActionError> {
    let name = parameters.index();
    let mut session = Session::open_to_tidy(target).await?;
    if let Some(found) = index::find(&mut session, &name).await?
        && parameters.is_this(&found)
        && !found.index.is_valid
    {
        index::drop_concurrently(&mut session, &name).await?;
    }
    session.close().await;
    Ok(())
}
