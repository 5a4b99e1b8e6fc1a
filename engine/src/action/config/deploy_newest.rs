//! `config.deploy-newest`: gives a workgroup server that is behind the newest configuration of its family.
//!
//! What the newest one is must be beyond doubt: where servers of the highest version differ, more than half of them
//! must have the same file.

use super::tcfg::{Place, Stamp, must_be_family, servers};
use crate::action::file::{Replaced, blocking, put_back, replace};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct DeployNewest;

/// What it is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

/// What it reads before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The server's file.
    old: Stamp,
    /// The newest of the family.
    newest: Stamp,
    /// Whose it is.
    from: String,
}

impl Act for DeployNewest {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "config.deploy-newest",
        version: 1,
        title: "Give a workgroup server the newest configuration of its family",
        components: &[ComponentKind::WorkgroupServer],
        outputs: &[OutputSpec { name: "version", kind: OutputKind::Integer }],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(1),
    };

    async fn capture(_: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let (own, all) = (Place::of(&target.component, "config")?, servers(target)?);
        let name = target.component.name.to_string();
        blocking(target, move |stop| {
            let own = own.read(stop)?;
            // A server that can not be read may have the newest one: then nobody can say.
            let others = all.into_iter().map(|(name, place)| Ok((name, place.read(stop)?)));
            let others = others.collect::<Result<Vec<_>, ActionError>>()?;
            let stamps: Vec<(&str, &Stamp)> = others.iter().map(|(name, one)| (name.as_str(), &one.stamp)).collect();
            let (from, newest) = newest(&stamps)?;
            if *newest == own.stamp {
                return Err(ActionError::precondition(format!("{name} has the newest configuration already")));
            }
            if newest.version > own.stamp.version && newest.guid.is_some() && newest.guid == own.stamp.guid {
                return Err(ActionError::precondition("two versions have the same GUID: one was edited by hand"));
            }
            let config = others.iter().find(|(name, _)| name == from).map(|(_, one)| &one.config);
            must_be_family(&own.config, config.unwrap_or(&own.config), &name)?;
            Ok(State { old: own.stamp, newest: newest.clone(), from: from.to_owned() })
        })
        .await
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let (old, new, from) = (before.old.version, before.newest.version, &before.from);
        vec![Change {
            summary: format!("replace configuration version {old} by version {new}, as {from} has it"),
            subject: "configuration file".to_owned(),
            from: Some(json!(before.old)),
            to: Some(json!(before.newest)),
        }]
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { deployments: 1, bytes: before.newest.content.bytes, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let source = servers(target)?.into_iter().find(|(name, _)| *name == before.from);
        let (_, source) = source.ok_or_else(|| ActionError::precondition(format!("{} is gone", before.from)))?;
        let (own, key) = (Place::of(&target.component, "config")?, target.idempotency_key.clone());
        let before = before.clone();
        blocking(target, move |stop| {
            let source = source.read(stop)?;
            if source.stamp != before.newest {
                return Err(ActionError::precondition(format!("{} has another file by now", before.from)));
            }
            let (root, file) = own.open(stop)?;
            let (old, new) = (&before.old.content, &before.newest.content);
            replace(Replaced { root: &root, file: &file, key: &key, old, new }, &source.bytes)?;
            Ok(Outputs::from([("version".to_owned(), json!(before.newest.version))]))
        })
        .await
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let (own, before) = (Place::of(&target.component, "config")?, before.clone());
        blocking(target, move |stop| {
            let found = own.read(stop)?.stamp;
            Ok(if found == before.newest {
                Verified::Done
            } else {
                Verified::NotDone(format!("its configuration is version {}", found.version))
            })
        })
        .await
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let (own, key) = (Place::of(&target.component, "config")?, target.idempotency_key.clone());
        let before = before.clone();
        blocking(target, move |stop| {
            let (root, file) = own.open(stop)?;
            let (old, new) = (&before.old.content, &before.newest.content);
            put_back(Replaced { root: &root, file: &file, key: &key, old, new })
        })
        .await
    }
}

/// The newest configuration and whose it is.
fn newest<'a>(all: &[(&'a str, &'a Stamp)]) -> Result<(&'a str, &'a Stamp), ActionError> {
    let highest = all.iter().map(|(_, stamp)| stamp.version).max();
    let newest: Vec<_> = all.iter().filter(|(_, stamp)| Some(stamp.version) == highest).collect();
    let votes = |stamp: &Stamp| newest.iter().filter(|(_, other)| *other == stamp).count();
    let most = newest.iter().max_by_key(|(_, stamp)| votes(stamp));
    match most {
        Some((name, stamp)) if votes(stamp) * 2 > newest.len() => Ok((name, stamp)),
        Some((_, stamp)) => Err(ActionError::precondition(format!(
            "the servers with version {} have different files: which one is right, a person has to say",
            stamp.version
        ))),
        None => Err(ActionError::configuration("the deployment has no workgroup server")),
    }
}

#[cfg(test)]
mod tests;
