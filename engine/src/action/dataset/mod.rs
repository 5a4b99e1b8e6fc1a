//! Actions on rows of a Content Manager dataset: each reads exactly the rows that it is going to change, changes only
//! columns of these, and puts them back by their keys. None of them deletes a record, or touches one's content.
//!
//! What they write into is the dataset's own tables. On the lab's double that is the whole truth; on a product's
//! dataset its vendor is to agree first, which is why a role of its own must have been given the right to do so.

pub mod disable_login;
pub mod fill_hash;
pub mod flag_missing;
pub mod index_words;
pub mod recalculate_retention;
pub mod recount_store;
pub mod requeue_index;
pub mod requeue_render;

mod files;

use super::sql::{Access, Bind, Session};
use super::{ActionError, ActionTarget};
use domain::remediation::Change;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The most rows that one step changes, where a runbook does not say; and the most that it may say.
const LIMIT: u32 = 1_000;
const LIMIT_MAX: u32 = 10_000;

const fn default_limit() -> u32 {
    LIMIT
}

/// The rows of a SELECT, whose last value is how many to read at most: more than `limit` is no business of one step.
async fn bounded<T: DeserializeOwned + Send>(
    target: &ActionTarget,
    select: &str,
    mut values: Vec<Bind>,
    limit: u32,
) -> Result<Vec<T>, ActionError> {
    if limit == 0 || limit > LIMIT_MAX {
        return Err(ActionError::configuration(format!("limit is {limit}, and must be 1 to {LIMIT_MAX}")));
    }
    values.push(i64::from(limit + 1).into());
    let mut session = Session::open(target, Access::Read).await?;
    let rows: Vec<T> = session.rows(select, &values).await?;
    session.close().await;
    if rows.len() > limit as usize {
        let text = format!("more than {limit} rows are concerned: raise the limit, if that many are meant");
        return Err(ActionError::precondition(text));
    }
    Ok(rows)
}

/// One changing statement: it changes all of its rows, or none.
async fn change_rows(target: &ActionTarget, statement: &str, values: &[Bind]) -> Result<u64, ActionError> {
    let mut session = Session::open(target, Access::Write).await?;
    let changed = session.execute(statement, values).await?;
    session.close().await;
    Ok(changed)
}

/// How many rows there are by a `SELECT count(*) AS count`.
async fn count(target: &ActionTarget, select: &str, values: &[Bind]) -> Result<i64, ActionError> {
    #[derive(serde::Deserialize)]
    struct Counted {
        count: i64,
    }
    let mut session = Session::open(target, Access::Read).await?;
    let counted: Option<Counted> = session.row(select, values).await?;
    session.close().await;
    counted.map(|counted| counted.count).ok_or_else(|| ActionError::target("a count gave no row"))
}

fn change(summary: String, subject: String, from: Option<Value>, to: Option<Value>) -> Change {
    Change { summary, subject, from, to }
}
