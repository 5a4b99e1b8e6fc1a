//! One table as the catalogue has it.

use crate::action::sql::Session;
use crate::action::{ActionError, sql::Qualified};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableName {
    /// Its schema.
    pub schema: String,
    /// Its name, without the schema.
    pub table: String,
}

impl TableName {
    pub(super) fn quoted(&self) -> Result<Qualified, ActionError> {
        Qualified::new(&self.schema, &self.table)
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }
}

/// What is known of it.
#[derive(Debug, Deserialize)]
pub(super) struct Table {
    pub oid: i64,
    pub kind: String,
    pub bytes: i64,
    pub may_maintain: bool,
    pub analysed_at: Option<String>,
    pub vacuumed_at: Option<String>,
}

/// Whoever owns a table may maintain it; from version 17 on, also whoever has that right.
const FIND: &str = "
    SELECT CAST(c.oid AS bigint) AS oid, CAST(c.relkind AS text) AS kind, pg_table_size(c.oid) AS bytes,
           pg_has_role(c.relowner, 'USAGE')
             OR CASE WHEN CAST(current_setting('server_version_num') AS int) >= 170000
                     THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END AS may_maintain,
           greatest(s.last_analyze, s.last_autoanalyze) AS analysed_at,
           greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'm', 'p')";

/// The table, where there is one.
pub(super) async fn find(session: &mut Session, name: &TableName) -> Result<Option<Table>, ActionError> {
    name.quoted()?;
    session.row(FIND, &[name.schema.as_str().into(), name.table.as_str().into()]).await
}

/// The table, which must be there and be ours to maintain: the server would skip it with a mere warning.
pub(super) async fn to_maintain(session: &mut Session, name: &TableName) -> Result<Table, ActionError> {
    let missing = || ActionError::precondition(format!("there is no table {}", name.shown()));
    let table = find(session, name).await?.ok_or_else(missing)?;
    if !table.may_maintain {
        let text = format!("the role of action_user neither owns {} nor may maintain it", name.shown());
        return Err(ActionError::configuration(text));
    }
    Ok(table)
}
