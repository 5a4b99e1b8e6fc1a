//! `config.deploy-admin`: brings the configuration that administrators have saved to every workgroup server.
//!
//! All servers of the deployment get it, or none keeps it: a family with two configurations is a fault of its own.

use super::tcfg::{Place, Stamp, admin, must_be_family, servers};
use crate::action::file::{Replaced, blocking, put_back, replace};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// See the module.
pub struct DeployAdmin;

/// What it is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The version that is to be deployed: where another one is saved by then, nothing is done.
    #[serde(default)]
    version: Option<i64>,
}

/// What it reads before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    saved: Stamp,
    /// The servers that have another file, by name.
    servers: BTreeMap<String, Stamp>,
}

impl Act for DeployAdmin {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "config.deploy-admin",
        version: 1,
        title: "Deploy the saved enterprise configuration to all workgroup servers",
        components: &[ComponentKind::WorkgroupServer, ComponentKind::EventProcessor],
        outputs: &[
            OutputSpec { name: "version", kind: OutputKind::Integer },
            OutputSpec { name: "servers", kind: OutputKind::Texts },
        ],
        undo: UndoSpec::FromBeforeImage,
        // Somebody may still be at work on what is saved: only people can know.
        always_approve: true,
        isolation: Isolation::Process,
        deadline: Duration::from_mins(1),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let (saved, all, wanted) = (admin(target)?, servers(target)?, parameters.version);
        blocking(target, move |stop| {
            let saved = saved.read(stop)?;
            let version = saved.stamp.version;
            if wanted.is_some_and(|wanted| wanted != version) {
                return Err(ActionError::precondition(format!(
                    "version {version} is saved, not the one that was meant"
                )));
            }
            let mut behind = BTreeMap::new();
            for (name, place) in all {
                let found = place.read(stop)?;
                if found.stamp.content == saved.stamp.content {
                    continue;
                }
                if found.stamp.version >= version {
                    return Err(ActionError::precondition(format!(
                        "{name} has version {}, the saved one is {version}: a deployed version must be higher",
                        found.stamp.version
                    )));
                }
                if found.stamp.guid.is_some() && found.stamp.guid == saved.stamp.guid {
                    return Err(ActionError::precondition("the saved file has the GUID of an older version"));
                }
                must_be_family(&found.config, &saved.config, &name)?;
                behind.insert(name, found.stamp);
            }
            if behind.is_empty() {
                return Err(ActionError::precondition(format!("every server has version {version} already")));
            }
            Ok(State { saved: saved.stamp, servers: behind })
        })
        .await
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let version = before.saved.version;
        let change = |(name, stamp): (&String, &Stamp)| Change {
            summary: format!("deploy configuration version {version} to {name}, which has {}", stamp.version),
            subject: name.clone(),
            from: Some(json!(stamp.version)),
            to: Some(json!(version)),
        };
        before.servers.iter().map(change).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        let bytes = before.saved.content.bytes * before.servers.len() as u64;
        BlastRadius { deployments: 1, bytes, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let (saved, all) = (admin(target)?, touched(target, before)?);
        let (key, before) = (target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop| {
            let saved = saved.read(stop)?;
            if saved.stamp != before.saved {
                return Err(ActionError::precondition("somebody has saved another configuration meanwhile"));
            }
            for (place, old) in all.values() {
                let (root, file) = place.open(stop)?;
                let (old, new) = (&old.content, &before.saved.content);
                replace(Replaced { root: &root, file: &file, key: &key, old, new }, &saved.bytes)?;
            }
            Ok(Outputs::from([
                ("version".to_owned(), json!(before.saved.version)),
                ("servers".to_owned(), json!(before.servers.keys().collect::<Vec<_>>())),
            ]))
        })
        .await
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let (all, before) = (touched(target, before)?, before.clone());
        blocking(target, move |stop| {
            for (name, (place, _)) in &all {
                let found = place.read(stop)?.stamp;
                if found.content != before.saved.content {
                    return Ok(Verified::NotDone(format!("{name} has version {}", found.version)));
                }
            }
            Ok(Verified::Done)
        })
        .await
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let (all, key) = (touched(target, before)?, target.idempotency_key.clone());
        let before = before.clone();
        blocking(target, move |stop| {
            for (place, old) in all.values() {
                let (root, file) = place.open(stop)?;
                let (old, new) = (&old.content, &before.saved.content);
                put_back(Replaced { root: &root, file: &file, key: &key, old, new })?;
            }
            Ok(())
        })
        .await
    }
}

/// The places of the servers that are touched, with their old stamps.
fn touched(target: &ActionTarget, before: &State) -> Result<BTreeMap<String, (Place, Stamp)>, ActionError> {
    let mut places: BTreeMap<String, Place> = servers(target)?.into_iter().collect();
    let place_of = |(name, stamp): (&String, &Stamp)| {
        let place = places.remove(name);
        let place = place.ok_or_else(|| ActionError::precondition(format!("the server {name} is gone")))?;
        Ok((name.clone(), (place, stamp.clone())))
    };
    before.servers.iter().map(place_of).collect()
}

#[cfg(test)]
mod tests;
