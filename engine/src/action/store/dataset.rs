//! What the dataset says of files in a store, read as the component's `action_user`.

use crate::action::file::Relative;
use crate::action::sql::{Access, Bind, Session};
use crate::action::{ActionError, ActionTarget};
use serde::Deserialize;
use std::collections::{BTreeSet, HashSet};

/// What was recorded of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Recorded {
    pub record_uri: i64,
    pub resid: String,
    pub bytes: i64,
    pub hash: Option<String>,
}

const ROWS: &str = "SELECT uri AS record_uri, resid, rebytes AS bytes, rehash AS hash FROM tsrecelec
      WHERE restore = $1 AND {what} = ANY($2)
    UNION ALL SELECT rvrecuri, resid, rvbytes, rvhash FROM tserecvsn WHERE restore = $1 AND {what} = ANY($2)
    UNION ALL SELECT rdrecuri, resid, rdbytes, rdhash FROM tsrenditio WHERE restore = $1 AND {what} = ANY($2)";

fn store_number(target: &ActionTarget) -> Result<i64, ActionError> {
    let number = target.setting("store_number")?;
    number.parse().map_err(|_| ActionError::configuration(format!("store_number is {number:?}, and that is no number")))
}

/// What the dataset records of a file: by its path or its name, first as it is written, then whatever its case.
pub(super) async fn recorded(target: &ActionTarget, file: &Relative) -> Result<Recorded, ActionError> {
    let store = store_number(target)?;
    let mut names = vec![file.as_str().to_owned(), file.as_str().replace('/', "\\"), file.name().to_owned()];
    let mut session = Session::open(target, Access::Read).await?;
    let exact = [Bind::from(store), Bind::from(names.clone())];
    let mut found: Vec<Recorded> = session.rows(&ROWS.replace("{what}", "resid"), &exact).await?;
    if found.is_empty() {
        for name in &mut names {
            *name = name.to_lowercase();
        }
        let any_case = [Bind::from(store), Bind::from(names)];
        found = session.rows(&ROWS.replace("{what}", "lower(resid)"), &any_case).await?;
    }
    session.close().await;
    one_record(file, found)
}

/// Several rows may name one file; where they do not agree on what is in it, nobody can say what is right.
fn one_record(file: &Relative, found: Vec<Recorded>) -> Result<Recorded, ActionError> {
    let refuse = |why: String| Err(ActionError::precondition(format!("{file}: {why}")));
    let contents: BTreeSet<(i64, Option<String>)> =
        found.iter().map(|row| (row.bytes, row.hash.as_deref().map(str::to_ascii_lowercase))).collect();
    if contents.len() > 1 {
        return refuse("the dataset records it more than once, with different sizes or hashes".to_owned());
    }
    let Some(first) = found.into_iter().min() else {
        return refuse("the dataset does not know it in this store".to_owned());
    };
    let hash = first.hash.as_deref().unwrap_or_default().trim().to_ascii_lowercase();
    if hash.is_empty() {
        return refuse("the dataset records no hash of it: what is in a backup can not be proven".to_owned());
    }
    if hash.len() != 64 || hex::decode(&hash).is_err() {
        return refuse("its recorded hash is no SHA-256: what is in a backup can not be proven".to_owned());
    }
    if first.bytes < 0 {
        return refuse(format!("its recorded size is {}", first.bytes));
    }
    Ok(Recorded { hash: Some(hash), ..first })
}

/// Those of the files that the dataset knows now, by name or path, whatever their case.
pub(super) async fn known(target: &ActionTarget, files: &[Relative]) -> Result<HashSet<Relative>, ActionError> {
    let keys = |file: &Relative| [file.as_str().to_lowercase(), file.name().to_lowercase()];
    let names: BTreeSet<String> = files.iter().flat_map(keys).collect();
    let mut session = Session::open(target, Access::Read).await?;
    let values = [Bind::from(store_number(target)?), Bind::from(names.into_iter().collect::<Vec<_>>())];
    let what = r"lower(replace(resid, '\', '/'))";
    let found: Vec<Recorded> = session.rows(&ROWS.replace("{what}", what), &values).await?;
    session.close().await;
    let known: HashSet<String> = found.into_iter().map(|row| row.resid.replace('\\', "/").to_lowercase()).collect();
    Ok(files.iter().filter(|file| keys(file).iter().any(|key| known.contains(key))).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_disagree_or_prove_nothing_are_refused() {
        let file = Relative::parse("000/a.pdf").unwrap();
        let row = |bytes, hash: &str| Recorded {
            record_uri: 1,
            resid: "a.pdf".to_owned(),
            bytes,
            hash: Some(hash.to_owned()).filter(|hash| !hash.is_empty()),
        };
        let (one, other) = ("A".repeat(64), "b".repeat(64));
        let good = one_record(&file, vec![row(3, &one), row(3, &one.to_lowercase())]).unwrap();
        assert_eq!(good.hash, Some("a".repeat(64)));
        for (rows, why) in [
            (vec![], "does not know it"),
            (vec![row(3, &one), row(3, &other)], "more than once"),
            (vec![row(3, &one), row(4, &one)], "more than once"),
            (vec![row(3, "")], "no hash"),
            (vec![row(3, "abc")], "no SHA-256"),
            (vec![row(-1, &one)], "size is -1"),
        ] {
            let error = one_record(&file, rows).unwrap_err();
            assert!(error.message.contains(why), "{error}");
        }
    }
}
