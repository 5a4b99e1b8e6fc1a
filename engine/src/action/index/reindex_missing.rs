//! `index.reindex-missing`: adds what an index lacks to a copy of it, and has the copy take its place.

use super::documents::{add_missing, count_missing, indexed};
use super::{Body, Index};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// What the names of copies have in them, before the key of the step.
const MARK: &str = "-cmdiag-";

/// Reindexes what is missing.
#[derive(Debug)]
pub struct ReindexMissing;

/// What there is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// A SELECT on the dataset that gives every document that is to be in the index: a column `id`, and the fields of
    /// the document by their names in the index. It is run in a read-only session.
    query: String,
    /// The field of the index that holds the same number; `uri` where absent.
    #[serde(default = "uri")]
    field: String,
}

fn uri() -> String {
    "uri".to_owned()
}

/// Which index stands behind the alias, and how many documents it lacks.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    alias: String,
    index: String,
    missing: u64,
}

impl Act for ReindexMissing {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "index.reindex-missing",
        version: 1,
        title: "Add to the content index what it lacks, in a copy that takes its place",
        components: &[ComponentKind::ContentIndex],
        outputs: &[
            OutputSpec { name: "index", kind: OutputKind::Text },
            OutputSpec { name: "added", kind: OutputKind::Integer },
        ],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(60),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let index = Index::of(target)?;
        let name = behind(&index).await?;
        let known = indexed(&index, &name, &parameters.field).await?;
        let missing = count_missing(target, &parameters.query, &known).await?;
        Ok(State { alias: index.name.to_owned(), index: name, missing })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        if before.missing == 0 {
            return Vec::new();
        }
        let State { alias, index, missing } = before;
        let summary = format!("copy {index}, add {missing} documents to the copy, and have {alias} mean the copy");
        vec![Change { summary, subject: alias.clone(), from: Some(index.clone().into()), to: None }]
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { deployments: 1, documents: before.missing, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let index = Index::of(target)?;
        let copy = copy_name(before, target);
        let outputs =
            |added: u64| Outputs::from([("index".to_owned(), copy.clone().into()), ("added".to_owned(), added.into())]);
        let now = behind(&index).await?;
        if now == copy {
            top_up(parameters, &index, before, &copy).await?;
            return Ok(outputs(0));
        }
        if now != before.index {
            return Err(ActionError::precondition(format!("{} means {now} by now", before.alias)));
        }
        make_copy(&index, before, &copy).await?;
        let known = indexed(&index, &copy, &parameters.field).await?;
        let added = add_missing(target, &parameters.query, &known, (&index, &copy)).await?;
        index.api.call(Method::POST, &[&copy, "_refresh"], Body::None).await?;
        must_be_whole(parameters, target, &index, (before, &copy)).await?;
        swap(&index, before, &before.index, &copy).await?;
        top_up(parameters, &index, before, &copy).await?;
        Ok(outputs(added))
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let index = Index::of(target)?;
        let (name, copy) = (behind(&index).await?, copy_name(before, target));
        if name != copy {
            return Ok(Verified::NotDone(format!("{} means {name}, and not {copy}", before.alias)));
        }
        let known = indexed(&index, &name, &parameters.field).await?;
        // Documents that came in meanwhile are the product's to index: fewer than before must be missing.
        let missing = count_missing(target, &parameters.query, &known).await?;
        if missing == 0 || missing < before.missing {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("{name} lacks {missing} documents")))
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let index = Index::of(target)?;
        let (name, copy) = (behind(&index).await?, copy_name(before, target));
        if name == copy {
            swap(&index, before, &copy, &before.index).await?;
        } else if name != before.index {
            return Err(ActionError::target(format!("{} means {name}: somebody else has changed it", before.alias)));
        }
        // Our own, by the key of the step in its name, and nobody's by now.
        match index.api.ask(Method::DELETE, (&[&copy], &[]), Body::None).await? {
            (200 | 404, _) => Ok(()),
            (status, answer) => Err(index.api.refused(status, &answer)),
        }
    }
}

/// The one index behind the alias. A name that is no alias can not be swapped.
async fn behind(index: &Index<'_>) -> Result<String, ActionError> {
    let (status, answer) = index.api.ask(Method::GET, (&["_alias", index.name], &[]), Body::None).await?;
    if status == 404 {
        let text = format!("{} is no alias: another index can not take its place", index.name);
        return Err(ActionError::precondition(text));
    }
    if status != 200 {
        return Err(index.api.refused(status, &answer));
    }
    let names: Vec<&String> = answer.as_object().map(|all| all.keys().collect()).unwrap_or_default();
    match names[..] {
        [one] => Ok(one.clone()),
        _ => Err(ActionError::precondition(format!("{} does not mean exactly one index", index.name))),
    }
}

/// The same for every attempt of the step: whoever takes over finds the copy that was begun.
fn copy_name(before: &State, target: &ActionTarget) -> String {
    let base = before.index.split(MARK).next().unwrap_or(&before.index);
    let key = hex::encode(Sha256::digest(target.idempotency_key.as_bytes()));
    format!("{base}{MARK}{}", &key[..12])
}

/// Makes the copy, or goes on with one that was begun: documents are copied by their ids, so that twice is once.
async fn make_copy(index: &Index<'_>, before: &State, copy: &str) -> Result<(), ActionError> {
    let (status, answer) = index.api.ask(Method::GET, (&[copy], &[]), Body::None).await?;
    match status {
        200 => {}
        404 => {
            let query = [("flat_settings", "true")];
            let all = index.api.call_with(Method::GET, &[&before.index], &query, Body::None).await?;
            let of = all.get(&before.index).ok_or_else(|| index.api.odd("an index without its description"))?;
            let settings = carried_over(&of["settings"]);
            let body = json!({ "settings": settings, "mappings": of["mappings"] });
            index.api.call(Method::PUT, &[copy], Body::Json(&body)).await?;
        }
        _ => return Err(index.api.refused(status, &answer)),
    }
    let body = json!({ "source": { "index": before.index }, "dest": { "index": copy } });
    let query = [("wait_for_completion", "true"), ("refresh", "true")];
    let done = index.api.call_with(Method::POST, &["_reindex"], &query, Body::Json(&body)).await?;
    match done["failures"].as_array().map(Vec::len) {
        Some(0) => Ok(()),
        _ => Err(ActionError::target(format!("copying {} to {copy} failed in part", before.index))),
    }
}

/// What a new index takes over: its shape and its analysis, not what the cluster has given it, nor a block.
fn carried_over(settings: &Value) -> Map<String, Value> {
    let wanted = |key: &str| {
        ["index.number_of_shards", "index.number_of_replicas"].contains(&key)
            || ["index.analysis.", "index.mapping.", "index.similarity."].iter().any(|start| key.starts_with(start))
    };
    let all = settings.as_object().into_iter().flatten();
    all.filter(|(key, _)| wanted(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Before anybody searches it: nothing that the dataset or the old index has is missing.
async fn must_be_whole(
    parameters: &Parameters,
    target: &ActionTarget,
    index: &Index<'_>,
    (before, copy): (&State, &str),
) -> Result<(), ActionError> {
    let known = indexed(index, copy, &parameters.field).await?;
    let missing = count_missing(target, &parameters.query, &known).await?;
    let old = indexed(index, &before.index, &parameters.field).await?;
    let lost = old.difference(&known).count();
    if missing == 0 && lost == 0 {
        return Ok(());
    }
    Err(ActionError::target(format!(
        "the copy {copy} lacks {missing} documents of the dataset and {lost} of {}: it does not take its place",
        before.index
    )))
}

/// Documents that went into the old index while the copy was made, up to the swap.
async fn top_up(parameters: &Parameters, index: &Index<'_>, before: &State, copy: &str) -> Result<(), ActionError> {
    let old = indexed(index, &before.index, &parameters.field).await?;
    let new = indexed(index, copy, &parameters.field).await?;
    let late: Vec<String> = old.difference(&new).map(ToString::to_string).collect();
    if late.is_empty() {
        return Ok(());
    }
    let source = json!({ "index": before.index, "query": { "ids": { "values": late } } });
    let body = json!({ "source": source, "dest": { "index": copy, "op_type": "create" }, "conflicts": "proceed" });
    let query = [("wait_for_completion", "true"), ("refresh", "true")];
    index.api.call_with(Method::POST, &["_reindex"], &query, Body::Json(&body)).await.map(drop)
}

/// Both in one request: nobody ever finds the alias without an index.
async fn swap(index: &Index<'_>, before: &State, from: &str, to: &str) -> Result<(), ActionError> {
    let alias = &before.alias;
    let body = json!({ "actions": [
        { "remove": { "index": from, "alias": alias } },
        { "add": { "index": to, "alias": alias } },
    ] });
    index.api.call(Method::POST, &["_aliases"], Body::Json(&body)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::index::testing::{Site, trial};

    const QUERY: &str = "SELECT uri AS id, uri, refilename AS name FROM tsrecelec WHERE reindexstatus = 'OK'";

    #[tokio::test]
    async fn what_is_missing_comes_by_a_copy_that_takes_the_place_and_gives_it_back() {
        let site = Site::start().await;
        site.breaks("index-lag").await;
        let reindex = trial(&site, "index.reindex-missing", json!({ "query": QUERY }));
        let before = reindex.undoes().await;
        assert_eq!((&before["alias"], &before["index"]), (&json!("cm-d1"), &json!("cm-d1-000001")));
        assert!(before["missing"].as_u64().unwrap() >= 15, "{before}");
        let outputs = reindex.apply(&before).await.unwrap();
        assert_eq!(outputs["added"], before["missing"]);
        assert_eq!(reindex.capture().await.unwrap()["missing"], 0);
    }

    #[tokio::test]
    async fn a_query_that_changes_something_or_gives_no_numbers_is_refused() {
        let site = Site::start().await;
        for query in [
            "DELETE FROM tsrecelec RETURNING uri AS id",
            "SELECT refilename AS id FROM tsrecelec",
            "SELECT 1) x; DROP TABLE tsrecelec; --",
        ] {
            assert!(
                trial(&site, "index.reindex-missing", json!({ "query": query })).capture().await.is_err(),
                "{query}"
            );
        }
        let healthy = trial(&site, "index.reindex-missing", json!({ "query": QUERY }));
        let before = healthy.capture().await.unwrap();
        assert_eq!(before["missing"], 0);
        assert!(healthy.preview(&before).is_empty());
    }

    #[test]
    fn a_copy_carries_its_shape_over_and_a_copy_of_a_copy_has_no_longer_name() {
        let settings = json!({ "index.number_of_shards": "3", "index.uuid": "x", "index.blocks.write": "true",
            "index.analysis.analyzer.a.type": "custom" });
        let kept: Vec<String> = carried_over(&settings).into_iter().map(|(key, _)| key).collect();
        assert_eq!(kept, ["index.analysis.analyzer.a.type", "index.number_of_shards"]);
    }
}
