//! One index as the catalogue has it, and what depends on it.

use crate::action::ActionError;
use crate::action::sql::{Access, Qualified, Session, literal};
use crate::action::{ActionTarget, sql::Bind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which index.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexName {
    /// Its schema.
    pub schema: String,
    /// Its name, without the schema.
    pub index: String,
}

impl IndexName {
    pub(super) fn quoted(&self) -> Result<Qualified, ActionError> {
        Qualified::new(&self.schema, &self.index)
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.index)
    }

    fn values(&self) -> [Bind; 2] {
        [self.schema.as_str().into(), self.index.as_str().into()]
    }
}

/// All that is needed to make it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub(super) table: String,
    /// As the server writes it: names quoted, schema and all.
    pub(super) definition: String,
    pub(super) is_unique: bool,
    pub(super) is_valid: bool,
    pub(super) tablespace: Option<String>,
    pub(super) comment: Option<String>,
}

/// It, and what depends on it.
#[derive(Debug, Clone, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the catalogue's own answers, one a column")]
pub(super) struct Found {
    pub oid: i64,
    #[serde(flatten)]
    pub index: Index,
    pub is_primary: bool,
    pub is_replica_identity: bool,
    pub is_clustered: bool,
    pub is_part: bool,
    pub has_statistics_target: bool,
    pub is_being_built: bool,
    pub may_maintain: bool,
    pub constraint: Option<String>,
    pub extension: Option<String>,
    pub scans: i64,
    pub bytes: i64,
    /// What the planner looks at, as one text: the same for indexes that serve the same.
    pub serves: String,
    pub method: String,
    pub columns: Vec<String>,
    pub is_plain: bool,
}

const FIND: &str = "
    SELECT CAST(i.oid AS bigint) AS oid, CAST(CAST(t.oid AS regclass) AS text) AS \"table\",
           pg_get_indexdef(i.oid) AS definition, x.indisunique AS is_unique, x.indisvalid AND x.indisready AS is_valid,
           CAST(s.spcname AS text) AS tablespace, obj_description(i.oid, 'pg_class') AS comment,
           x.indisprimary AS is_primary, x.indisreplident AS is_replica_identity, x.indisclustered AS is_clustered,
           i.relkind = 'I' OR i.relispartition AS is_part,
           EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.oid AND a.attstattarget > 0)
             AS has_statistics_target,
           EXISTS (SELECT 1 FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.oid)
               AS is_being_built,
           pg_has_role(t.relowner, 'USAGE') AS may_maintain,
           (SELECT CAST(k.conname AS text) FROM pg_catalog.pg_constraint k WHERE k.conindid = i.oid
            ORDER BY k.conname LIMIT 1) AS \"constraint\",
           (SELECT CAST(e.extname AS text) FROM pg_catalog.pg_depend d
            JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
            WHERE d.objid = i.oid AND d.deptype = 'e' LIMIT 1) AS extension,
           coalesce(pg_stat_get_numscans(i.oid), 0) AS scans,
           pg_relation_size(i.oid) AS bytes,
           concat_ws('|', CAST(t.oid AS text), CAST(i.relam AS text), CAST(x.indkey AS text), CAST(x.indclass AS text),
                     CAST(x.indcollation AS text), CAST(x.indoption AS text), CAST(x.indnkeyatts AS text),
                     pg_get_expr(x.indexprs, x.indrelid), '/', pg_get_expr(x.indpred, x.indrelid)) AS serves,
           CAST(m.amname AS text) AS method,
           ARRAY(SELECT coalesce(CAST(a.attname AS text), '')
                 FROM unnest(CAST(x.indkey AS smallint[])) WITH ORDINALITY k(attnum, place)
                 LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum AND k.attnum > 0
                 ORDER BY k.place) AS columns,
           NOT x.indisunique AND x.indexprs IS NULL AND x.indpred IS NULL AND x.indnkeyatts = x.indnatts AS is_plain
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace
    JOIN pg_catalog.pg_am m ON m.oid = i.relam
    LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = i.reltablespace
    WHERE n.nspname = $1 AND i.relname = $2";

/// The index, where there is one.
pub(super) async fn find(session: &mut Session, name: &IndexName) -> Result<Option<Found>, ActionError> {
    name.quoted()?;
    session.row(FIND, &name.values()).await
}

/// The index, read on a connection of its own.
pub(super) async fn find_once(target: &ActionTarget, name: &IndexName) -> Result<Option<Found>, ActionError> {
    let mut session = Session::open(target, Access::Read).await?;
    let found = find(&mut session, name).await?;
    session.close().await;
    Ok(found)
}

/// The index, which must be there, be ours to change, and not be in the making.
pub(super) async fn to_change(target: &ActionTarget, name: &IndexName) -> Result<Found, ActionError> {
    let missing = || ActionError::precondition(format!("there is no index {}", name.shown()));
    let found = find_once(target, name).await?.ok_or_else(missing)?;
    if !found.may_maintain {
        let text = format!("the role of action_user does not own the table of {}", name.shown());
        return Err(ActionError::configuration(text));
    }
    if found.is_being_built {
        return Err(ActionError::precondition(format!("{} is being built right now", name.shown())));
    }
    Ok(found)
}

/// What forbids that anybody but its owner by hand drops it; in words.
pub(super) fn holds_back(found: &Found) -> Option<String> {
    let named = |name: &Option<String>| name.clone().unwrap_or_default();
    let reasons = [
        (found.is_primary, "it is a primary key".to_owned()),
        (found.constraint.is_some(), format!("constraint {} depends on it", named(&found.constraint))),
        (found.extension.is_some(), format!("extension {} owns it", named(&found.extension))),
        (found.is_replica_identity, "it is the table's replica identity".to_owned()),
        (found.is_clustered, "the table is clustered by it".to_owned()),
        (found.is_part, "it is part of a partitioned index".to_owned()),
        (found.has_statistics_target, "it has statistics targets of its own".to_owned()),
    ];
    reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
}

/// Drops it beside normal traffic; nothing to do where it is gone.
pub(super) async fn drop_concurrently(session: &mut Session, name: &IndexName) -> Result<(), ActionError> {
    session.run(&format!("DROP INDEX CONCURRENTLY IF EXISTS {}", name.quoted()?)).await
}

/// Makes it again from what was known of it, beside normal traffic. Half of it, left by an earlier try, goes first.
pub(super) async fn recreate(target: &ActionTarget, name: &IndexName, index: &Index) -> Result<(), ActionError> {
    let mut session = Session::open(target, Access::Patient).await?;
    let there = find(&mut session, name).await?;
    match &there {
        Some(found) if found.index.is_valid && found.index.definition == index.definition => {}
        Some(found) if found.index.is_valid => {
            let text = format!("there is another index {} now: {}", name.shown(), found.index.definition);
            return Err(ActionError::precondition(text));
        }
        _ => {
            drop_concurrently(&mut session, name).await?;
            if let Some(tablespace) = &index.tablespace {
                let set = "SELECT set_config('default_tablespace', $1, false)";
                session.execute(set, &[tablespace.into()]).await?;
            }
            session.run(&concurrently(&index.definition)?).await?;
        }
    }
    if let Some(comment) = &index.comment {
        session.run(&format!("COMMENT ON INDEX {} IS {}", name.quoted()?, literal(comment)?)).await?;
    }
    session.close().await;
    Ok(())
}

/// Why a build ended, and whether what it had begun could be removed: every write would keep that up.
pub(super) fn and_tidied(error: ActionError, tidied: Result<(), ActionError>) -> ActionError {
    let Err(trouble) = tidied else { return error };
    let message = format!("{error}; what it left half-built could not be removed either: {trouble}");
    ActionError { kind: error.kind, message }
}

/// The server's definition, to be built beside normal traffic.
fn concurrently(definition: &str) -> Result<String, ActionError> {
    for start in ["CREATE UNIQUE INDEX ", "CREATE INDEX "] {
        if let Some(rest) = definition.strip_prefix(start) {
            return Ok(format!("{start}CONCURRENTLY {rest}"));
        }
    }
    Err(ActionError::internal(format!("no definition of an index: {definition}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_built_concurrently() {
        let made = concurrently("CREATE UNIQUE INDEX a ON public.t USING btree (x)").unwrap();
        assert_eq!(made, "CREATE UNIQUE INDEX CONCURRENTLY a ON public.t USING btree (x)");
        assert!(concurrently("DROP TABLE x").is_err());
    }
}
