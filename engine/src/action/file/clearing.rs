//! Making room in a folder by taking its old files to another one: what `log.compress` and `temp.move-files` share.
//! What becomes of one file is the action's own.

use super::{Facts, OldFile, Relative, Root, Stop, Wanted, aside, blocking, days_back, old_files, sacred};
use crate::action::{ActionError, ActionTarget, OutputKind, OutputSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Outputs};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;

/// The most whole days that files may be asked to be old.
const DAYS_MAX: u32 = 3_650;

/// The kinds of components that have such folders.
pub(crate) const COMPONENTS: &[ComponentKind] =
    &[ComponentKind::WorkgroupServer, ComponentKind::EventProcessor, ComponentKind::WebTier, ComponentKind::Host];

/// What later steps are told: how many files, and the folder that holds them now.
pub(crate) const OUTPUTS: &[OutputSpec] =
    &[OutputSpec { name: "files", kind: OutputKind::Integer }, OutputSpec { name: "archive", kind: OutputKind::Text }];

/// What is cleared, and how.
pub(crate) struct Clearing {
    /// The setting that names the folder.
    pub from: &'static str,
    /// The setting that names the folder that its files are taken to.
    pub to: &'static str,
    /// What the files are, in words: `log file`.
    pub files: &'static str,
    /// The most files of one step.
    pub files_max: u32,
    /// What is done to them, in words: `moved`.
    pub done: &'static str,
    /// Which of the old files.
    pub is_wanted: fn(&Root, &Relative) -> Result<bool, ActionError>,
    /// Takes one away; it may be taken away already, or half.
    pub take: fn(&Place, &OldFile) -> Result<(), ActionError>,
    /// Whether one is taken away.
    pub is_taken: fn(&Place, &OldFile) -> Result<bool, ActionError>,
    /// Puts one back; it may never have been taken away, or only half.
    pub put_back: fn(&Place, &OldFile) -> Result<(), ActionError>,
}

/// Which files are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub older_than_days: u32,
    pub max_files: u32,
    pub other_volume: bool,
}

/// The files, as they were found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    pub(crate) files: Vec<OldFile>,
}

impl State {
    /// How much they are.
    pub(crate) fn blast(&self) -> BlastRadius {
        let bytes = self.files.iter().map(|file| file.content.bytes).sum();
        BlastRadius { deployments: 1, bytes, ..BlastRadius::default() }
    }
}

/// Both folders, open, in one step's hands.
pub(crate) struct Place {
    /// Where the files are.
    pub from: Root,
    /// Where they are taken to.
    pub to: Root,
    /// The step's own key.
    pub key: String,
}

impl Place {
    /// Where a file is taken to.
    pub(crate) fn of(&self, file: &Relative) -> Relative {
        file.below(&aside::name_of(&self.key))
    }

    /// The folder of all of them.
    fn own(&self) -> Result<Relative, ActionError> {
        Relative::parse(&aside::name_of(&self.key)).map_err(ActionError::internal)
    }
}

impl Clearing {
    pub(crate) async fn capture(&'static self, asked: Asked, target: &ActionTarget) -> Result<State, ActionError> {
        let Asked { older_than_days, max_files, other_volume } = asked;
        if !(1..=DAYS_MAX).contains(&older_than_days) || !(1..=self.files_max).contains(&max_files) {
            let most = self.files_max;
            return Err(ActionError::configuration(format!(
                "older_than_days is 1 to {DAYS_MAX}, max_files 1 to {most}"
            )));
        }
        let (open, sacred) = (self.opener(target)?, sacred(target));
        let before = days_back(target.now, older_than_days)?;
        blocking(target, move |stop| {
            let Place { from, to, .. } = open(stop)?;
            if to.path().starts_with(from.path()) {
                return Err(ActionError::configuration(format!("{} lies in the folder of {}", self.to, self.from)));
            }
            if other_volume && to.device() == from.device() {
                let text = format!("{} lies on the same volume: no room would be gained", self.to);
                return Err(ActionError::precondition(text));
            }
            let which = |root: &Root, file: &Relative, _: &Facts| (self.is_wanted)(root, file);
            let wanted = Wanted { before, files_max: max_files as usize, which: &which, sacred: &sacred };
            let files = old_files(&from, &wanted)?;
            if files.is_empty() {
                let what = self.files;
                return Err(ActionError::precondition(format!(
                    "there is no {what} that was last written to before {before}: nothing is to be gained here"
                )));
            }
            Ok(State { files })
        })
        .await
    }

    pub(crate) async fn apply(&'static self, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let (open, files) = (self.opener(target)?, before.files.clone());
        blocking(target, move |stop| {
            let place = open(stop)?;
            files.iter().try_for_each(|file| (self.take)(&place, file))?;
            aside::tidy(&place.from, &place.key)?;
            let archive = place.to.full(&place.own()?);
            Ok(Outputs::from([("files".to_owned(), json!(files.len())), ("archive".to_owned(), json!(archive))]))
        })
        .await
    }

    pub(crate) async fn verify(&'static self, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let (open, files) = (self.opener(target)?, before.files.clone());
        blocking(target, move |stop| {
            let place = open(stop)?;
            for file in &files {
                if !(self.is_taken)(&place, file)? {
                    return Ok(Verified::NotDone(format!("{} is not {}", file.file, self.done)));
                }
            }
            Ok(Verified::Done)
        })
        .await
    }

    pub(crate) async fn undo(&'static self, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let (open, files) = (self.opener(target)?, before.files.clone());
        blocking(target, move |stop| {
            let place = open(stop)?;
            files.iter().try_for_each(|file| (self.put_back)(&place, file))?;
            aside::tidy(&place.to, &place.key)?;
            aside::remove_empty_folders(&place.to, &place.own()?)?;
            aside::tidy(&place.from, &place.key)
        })
        .await
    }

    /// Opens the folders, where they may be waited for.
    fn opener(
        &'static self,
        target: &ActionTarget,
    ) -> Result<impl FnOnce(&Stop) -> Result<Place, ActionError> + Send + use<>, ActionError> {
        let text = |key| target.setting(key).map(str::to_owned);
        let (from, to, key) = (text(self.from)?, text(self.to)?, target.idempotency_key.clone());
        Ok(move |stop: &Stop| {
            let from = Root::open(&format!("setting {}", self.from), Path::new(&from), stop)?;
            Ok(Place { from, to: Root::open(&format!("setting {}", self.to), Path::new(&to), stop)?, key })
        })
    }
}
