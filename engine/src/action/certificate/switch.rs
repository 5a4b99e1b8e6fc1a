//! `certificate.switch`: puts a renewed certificate and its key in the place of those that a server reads.
//!
//! The places may be files, whose content is replaced, or links, which are made to point to the renewed files. A server
//! that does not look by itself has to be told: that is another step. Keys are never read into a before-image: their
//! hashes are.

use super::pair::Pair;
use crate::action::file::{Content, Facts, Relative, Replaced, Root, Stop, blocking, put_back, read_small, replace};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use crate::probe;
use chrono::{DateTime, Utc};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest file of certificates or keys.
const BYTES_MAX: u64 = 1 << 20;
const DAYS_MIN: u32 = 30;

/// See the module.
pub struct Switch;

/// What it is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// For how many days the renewed certificate must be good at least.
    #[serde(default = "days_min")]
    #[schemars(range(min = 1, max = 3650))]
    days: u32,
}

fn days_min() -> u32 {
    DAYS_MIN
}

/// What it reads before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    certificate: Place,
    key: Place,
    /// Of the renewed one.
    subject: String,
    not_after: DateTime<Utc>,
}

/// What a place holds, and what it is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    File { old: Content, new: Content },
    Link { old: String, new: String },
}

/// What is switched, in this order: a server that reads in between finds a pair that does not fit and
/// keeps what it has.
const PARTS: [(&str, &str); 2] =
    [("certificate_key_file", "renewed_certificate_key_file"), ("certificate_file", "renewed_certificate_file")];

impl Act for Switch {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "certificate.switch",
        version: 1,
        title: "Switch a server to its renewed certificate",
        components: &[ComponentKind::WebTier, ComponentKind::WorkgroupServer],
        outputs: &[OutputSpec { name: "not_after", kind: OutputKind::Text }],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_secs(30),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let name = target.optional("server_name").or(target.optional("host"));
        let name = name.ok_or_else(|| ActionError::configuration("there is no setting server_name"))?.to_owned();
        let roots = probe::trusted_roots(target.optional("ca"));
        let roots = roots.map_err(|error| ActionError::configuration(error.to_string()))?;
        let (files, now, days) = (Files::all(target)?, target.now, i64::from(parameters.days));
        blocking(target, move |stop| {
            let [key, certificate] = files;
            let renewed = (certificate.renewed(stop)?, key.renewed(stop)?);
            let pair = Pair::read(&renewed.0, &renewed.1)
                .map_err(|error| ActionError::precondition(format!("the renewed files: {error}")))?;
            pair.check(&name, &roots, now, days)?;
            let state = State {
                certificate: certificate.place(stop, &renewed.0)?,
                key: key.place(stop, &renewed.1)?,
                subject: pair.subject,
                not_after: pair.not_after,
            };
            if state.certificate.is_new() && state.key.is_new() {
                return Err(ActionError::precondition("the renewed certificate is in place already"));
            }
            Ok(state)
        })
        .await
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let State { certificate, subject, not_after, .. } = before;
        let (from, to) = match certificate {
            Place::File { old, new } => (json!(old.sha256), json!(new.sha256)),
            Place::Link { old, new } => (json!(old), json!(new)),
        };
        vec![Change {
            summary: format!("switch to the renewed certificate of {subject}, valid until {not_after}"),
            subject: "certificate".to_owned(),
            from: Some(from),
            to: Some(to),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let (files, key, before) = (Files::all(target)?, target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop| {
            for (files, place) in files.iter().zip([&before.key, &before.certificate]) {
                files.switch(stop, place, &key)?;
            }
            Ok(Outputs::from([("not_after".to_owned(), json!(before.not_after))]))
        })
        .await
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let (files, before) = (Files::all(target)?, before.clone());
        blocking(target, move |stop| {
            for (files, place) in files.iter().zip([&before.key, &before.certificate]) {
                if !files.is_switched(stop, place)? {
                    return Ok(Verified::NotDone(format!("{} is not the renewed one", files.place.display())));
                }
            }
            Ok(Verified::Done)
        })
        .await
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let (files, key, before) = (Files::all(target)?, target.idempotency_key.clone(), before.clone());
        blocking(target, move |stop| {
            for (files, place) in files.iter().zip([&before.key, &before.certificate]) {
                files.switch_back(stop, place, &key)?;
            }
            Ok(())
        })
        .await
    }
}

impl Place {
    fn is_new(&self) -> bool {
        match self {
            Self::File { old, new } => old == new,
            Self::Link { old, new } => old == new,
        }
    }
}

/// A place that the server reads, and the renewed file.
#[derive(Debug)]
struct Files {
    setting: &'static str,
    place: PathBuf,
    renewed: PathBuf,
}

impl Files {
    fn all(target: &ActionTarget) -> Result<[Self; 2], ActionError> {
        let files = |(place, renewed): (&'static str, &'static str)| -> Result<Self, ActionError> {
            let path = |setting| target.setting(setting).map(PathBuf::from);
            Ok(Self { setting: place, place: path(place)?, renewed: path(renewed)? })
        };
        Ok([files(PARTS[0])?, files(PARTS[1])?])
    }

    fn open(&self, path: &Path, stop: &Stop) -> Result<(Root, Relative), ActionError> {
        let wrong = || ActionError::configuration(format!("setting {} must be a file's absolute path", self.setting));
        let (folder, name) = (path.parent().ok_or_else(wrong)?, path.file_name().ok_or_else(wrong)?);
        let file = name.to_str().and_then(|name| Relative::parse(name).ok()).ok_or_else(wrong)?;
        Ok((Root::open(&format!("setting {}", self.setting), folder, stop)?, file))
    }

    fn renewed(&self, stop: &Stop) -> Result<Vec<u8>, ActionError> {
        let (root, file) = self.open(&self.renewed, stop)?;
        Ok(read_small(&root, &file, BYTES_MAX)?.0)
    }

    fn place(&self, stop: &Stop, renewed: &[u8]) -> Result<Place, ActionError> {
        let (root, file) = self.open(&self.place, stop)?;
        let gone = || ActionError::precondition(format!("{} is not there", self.place.display()));
        match root.look(&file)?.ok_or_else(gone)? {
            Facts { is_file: true, .. } => {
                let old = Content::of(&read_small(&root, &file, BYTES_MAX)?.0);
                Ok(Place::File { old, new: Content::of(renewed) })
            }
            _ => Ok(Place::Link { old: root.read_link(&file)?, new: self.link_target()? }),
        }
    }

    fn link_target(&self) -> Result<String, ActionError> {
        let text = self.renewed.to_str().map(str::to_owned);
        text.ok_or_else(|| ActionError::configuration(format!("{} is no plain path", self.renewed.display())))
    }

    fn switch(&self, stop: &Stop, place: &Place, key: &str) -> Result<(), ActionError> {
        let (root, file) = self.open(&self.place, stop)?;
        match place {
            Place::File { old, new } => {
                let renewed = self.renewed(stop)?;
                if Content::of(&renewed) != *new {
                    return Err(ActionError::precondition("the renewed files have changed since they were looked at"));
                }
                replace(Replaced { root: &root, file: &file, key, old, new }, &renewed)
            }
            Place::Link { old, new } => root.relink(&file, key, old, new),
        }
    }

    fn is_switched(&self, stop: &Stop, place: &Place) -> Result<bool, ActionError> {
        let (root, file) = self.open(&self.place, stop)?;
        match place {
            Place::File { old, new } => Replaced { root: &root, file: &file, key: "", old, new }.is_done(),
            Place::Link { new, .. } => Ok(root.read_link(&file)? == *new),
        }
    }

    fn switch_back(&self, stop: &Stop, place: &Place, key: &str) -> Result<(), ActionError> {
        let (root, file) = self.open(&self.place, stop)?;
        match place {
            Place::File { old, new } if old == new => Ok(()),
            Place::File { old, new } => put_back(Replaced { root: &root, file: &file, key, old, new }),
            Place::Link { old, new } => root.relink(&file, key, new, old),
        }
    }
}

#[cfg(test)]
mod tests;
