//! One sequence as the catalogue has it, with the column that it feeds.

use crate::action::ActionError;
use crate::action::sql::{Qualified, Session};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which sequence.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequenceName {
    /// Its schema.
    pub schema: String,
    /// Its name, without the schema.
    pub sequence: String,
}

impl SequenceName {
    pub(super) fn quoted(&self) -> Result<Qualified, ActionError> {
        Qualified::new(&self.schema, &self.sequence)
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.sequence)
    }
}

/// What is known of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Sequence {
    /// `smallint`, `integer` or `bigint`.
    pub data_type: String,
    pub max_value: i64,
    pub increment: i64,
    pub cycles: bool,
    pub may_change: bool,
    /// The column that owns it.
    pub column: Option<Column>,
}

/// A column that a sequence feeds.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Column {
    pub schema: String,
    pub table: String,
    pub name: String,
    /// The largest value that it holds.
    pub max: i64,
}

impl Column {
    /// For people.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}.{}", self.schema, self.table, self.name)
    }
}

const FIND: &str = "
    SELECT format_type(s.seqtypid, NULL) AS data_type, s.seqmax AS max_value, s.seqincrement AS increment,
           s.seqcycle AS cycles, pg_has_role(c.relowner, 'USAGE') AS may_change,
           (SELECT jsonb_build_object('schema', tn.nspname, 'table', t.relname, 'name', a.attname, 'max',
                     CASE a.atttypid WHEN CAST('int2' AS regtype) THEN 32767
                                     WHEN CAST('int4' AS regtype) THEN 2147483647 ELSE 9223372036854775807 END)
            FROM pg_catalog.pg_depend d
            JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            JOIN pg_catalog.pg_class t ON t.oid = a.attrelid
            JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
            WHERE d.objid = c.oid AND d.classid = CAST('pg_class' AS regclass) AND d.deptype IN ('a', 'i')
              AND d.refobjsubid > 0
            LIMIT 1) AS \"column\"
    FROM pg_catalog.pg_sequence s
    JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2";

/// The sequence, which must be there, count upwards without starting over, and be ours to change.
pub(super) async fn to_change(session: &mut Session, name: &SequenceName) -> Result<Sequence, ActionError> {
    name.quoted()?;
    let found = session.row(FIND, &[name.schema.as_str().into(), name.sequence.as_str().into()]).await?;
    let missing = || ActionError::precondition(format!("there is no sequence {}", name.shown()));
    let found: Sequence = found.ok_or_else(missing)?;
    if !found.may_change {
        let text = format!("the role of action_user does not own {}", name.shown());
        return Err(ActionError::configuration(text));
    }
    if found.cycles || found.increment <= 0 {
        let text = format!("{} starts over at its end, or counts down: it is left alone", name.shown());
        return Err(ActionError::precondition(text));
    }
    Ok(found)
}

/// The last value, and whether it has been given out: if not, it comes next.
pub(super) async fn place(session: &mut Session, name: &SequenceName) -> Result<(i64, bool), ActionError> {
    #[derive(Deserialize)]
    struct Place {
        last_value: i64,
        is_called: bool,
    }
    let read = format!("SELECT last_value, is_called FROM {}", name.quoted()?);
    let unreadable = || ActionError::target(format!("{} says nothing of its place", name.shown()));
    let place: Place = session.row(&read, &[]).await?.ok_or_else(unreadable)?;
    Ok((place.last_value, place.is_called))
}
