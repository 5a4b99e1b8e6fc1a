//! Which documents there are: in the dataset, by a statement of the runbook, and in an index.

use super::{Body, Index};
use crate::action::sql::{Access, Bind, Session};
use crate::action::{ActionError, ActionTarget};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// How many documents are read at once.
const PAGE: usize = 5_000;
/// How many documents are added at once.
const BULK: usize = 500;
/// More than these do not fit into memory comfortably, and are no matter of minutes.
const DOCUMENTS_MAX: usize = 5_000_000;

/// The numbers of all documents in an index, by its field.
pub(super) async fn indexed(index: &Index<'_>, name: &str, field: &str) -> Result<BTreeSet<i64>, ActionError> {
    let mut found = BTreeSet::new();
    let mut after: Option<i64> = None;
    loop {
        let mut ask = json!({ "size": PAGE, "_source": false, "track_total_hits": false,
            "query": { "exists": { "field": field } }, "sort": [{ field: "asc" }] });
        if let Some(after) = after {
            ask["search_after"] = json!([after]);
        }
        let answer = index.api.call(Method::POST, &[name, "_search"], Body::Json(&ask)).await?;
        let hits = answer.pointer("/hits/hits").and_then(Value::as_array);
        let hits = hits.ok_or_else(|| index.api.odd("a search without hits"))?;
        for hit in hits {
            let number = hit["sort"][0].as_i64().ok_or_else(|| index.api.odd("a document without its number"))?;
            found.insert(number);
            after = Some(number);
        }
        if hits.len() < PAGE {
            return Ok(found);
        }
        if found.len() > DOCUMENTS_MAX {
            return Err(ActionError::precondition(format!("{name} has more than {DOCUMENTS_MAX} documents")));
        }
    }
}

/// The dataset's documents, page by page: rows with a column `id`, in its order.
struct Pages {
    session: Session,
    statement: String,
    after: Option<i64>,
}

impl Pages {
    async fn open(target: &ActionTarget, query: &str) -> Result<Self, ActionError> {
        let session = Session::open(target, Access::Read).await?;
        let statement = format!("SELECT * FROM ({query}) documents WHERE id > $1 ORDER BY id LIMIT {PAGE}");
        Ok(Self { session, statement, after: Some(i64::MIN) })
    }

    /// The next page; none where there is no more.
    async fn next(&mut self) -> Result<Option<Vec<(i64, Map<String, Value>)>>, ActionError> {
        let Some(after) = self.after else { return Ok(None) };
        let values = [Bind::from(after)];
        let rows: Vec<Map<String, Value>> = self.session.rows(&self.statement, &values).await?;
        let full = rows.len() == PAGE;
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            page.push((id_of(&row)?, row));
        }
        self.after = page.last().map(|(id, _)| *id).filter(|_| full);
        Ok(Some(page))
    }
}

fn id_of(row: &Map<String, Value>) -> Result<i64, ActionError> {
    let id = row.get("id").and_then(Value::as_i64);
    id.ok_or_else(|| ActionError::configuration("the query must give a column id that is a whole number"))
}

/// How many documents of the dataset are not in a set.
pub(super) async fn count_missing(
    target: &ActionTarget,
    query: &str,
    indexed: &BTreeSet<i64>,
) -> Result<u64, ActionError> {
    let mut pages = Pages::open(target, query).await?;
    let mut missing = 0;
    while let Some(page) = pages.next().await? {
        missing += page.iter().filter(|(id, _)| !indexed.contains(id)).count() as u64;
    }
    pages.session.close().await;
    Ok(missing)
}

/// Adds the documents of the dataset that are not in a set; gives how many.
pub(super) async fn add_missing(
    target: &ActionTarget,
    query: &str,
    indexed: &BTreeSet<i64>,
    (index, name): (&Index<'_>, &str),
) -> Result<u64, ActionError> {
    let mut pages = Pages::open(target, query).await?;
    let mut added = 0;
    while let Some(mut page) = pages.next().await? {
        page.retain(|(id, _)| !indexed.contains(id));
        for part in page.chunks(BULK) {
            add(index, name, part).await?;
            added += part.len() as u64;
        }
    }
    pages.session.close().await;
    Ok(added)
}

async fn add(index: &Index<'_>, name: &str, documents: &[(i64, Map<String, Value>)]) -> Result<(), ActionError> {
    let mut lines = String::new();
    for (id, row) in documents {
        let mut source = row.clone();
        source.remove("id");
        let action = json!({ "index": { "_id": id.to_string() } });
        // Writing to a text can not fail.
        let _ = writeln!(lines, "{action}\n{}", Value::Object(source));
    }
    let answer = index.api.call(Method::POST, &[name, "_bulk"], Body::Lines(&lines)).await?;
    if answer["errors"] == json!(false) {
        return Ok(());
    }
    let mut items = answer["items"].as_array().into_iter().flatten();
    let reason = items.find_map(|item| item.pointer("/index/error/reason")?.as_str()).unwrap_or("no reason");
    let shown: String = reason.chars().take(300).collect();
    Err(ActionError::target(format!("documents could not be added to {name}: {shown}")))
}
