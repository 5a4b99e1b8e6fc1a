//! Packs: checks by product, loaded all at once or not at all.
//!
//! The packs of this repository are in the binary; `CMDIAG_PACKS_DIR` names a folder that is used in their place. A
//! pack is a folder with a `pack.toml`, one file a check and one file a runbook (in `runbooks/`); a mistake anywhere
//! is reported with all others, and none of them is loaded: half a set of checks would be silent about what the other
//! half was to find.

mod cases;
mod load;

pub use cases::{CaseFailure, run_cases};

use crate::check::{Check, CheckError, ProductVersion};
use crate::runbook::{Runbook, run_runbook_cases};
use domain::deployment::ComponentKind;
use domain::{CheckCode, RunbookName};
use include_dir::{Dir, include_dir};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../packs");

/// Names the folder of packs that is used in place of the embedded ones.
pub const PACKS_DIR_VARIABLE: &str = "CMDIAG_PACKS_DIR";
/// The product whose version a deployment states.
pub const CONTENT_MANAGER: &str = "content-manager";

/// A pack's own description.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Its name: the folder's.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its version.
    pub version: String,
    /// The product that its checks are about.
    pub product: String,
}

/// All packs and their checks.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "the packs hold packs, beside what is in them")]
pub struct Packs {
    packs: BTreeMap<String, Pack>,
    checks: BTreeMap<CheckCode, Arc<Check>>,
    runbooks: BTreeMap<RunbookName, Arc<Runbook>>,
}

/// Everything that is wrong with the packs.
#[derive(Debug)]
pub struct PackErrors(pub Vec<CheckError>);

impl fmt::Display for PackErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mistakes in the packs", self.0.len())?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for PackErrors {}

impl Packs {
    /// Loads a folder of packs.
    pub fn load(dir: &Path) -> Result<Self, PackErrors> {
        load::from_folder(dir)
    }

    /// The packs of this repository, as they were when the binary was built.
    pub fn embedded() -> Result<Self, PackErrors> {
        load::from_embedded(&EMBEDDED)
    }

    /// The folder that [`PACKS_DIR_VARIABLE`] names, or the embedded packs.
    pub fn find() -> Result<Self, PackErrors> {
        match std::env::var_os(PACKS_DIR_VARIABLE) {
            Some(dir) if !dir.is_empty() => Self::load(Path::new(&dir)),
            _ => Self::embedded(),
        }
    }

    /// Packs given as texts: (pack, file, text). For tests and tools.
    pub fn from_texts<'a>(files: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Result<Self, PackErrors> {
        let mut loader = load::Loader::default();
        for (pack, file, text) in files {
            loader.file(pack, file, text);
        }
        loader.finish()
    }

    /// The packs, by name.
    pub fn packs(&self) -> impl Iterator<Item = &Pack> {
        self.packs.values()
    }

    /// The pack of a name.
    pub fn pack(&self, name: &str) -> Option<&Pack> {
        self.packs.get(name)
    }

    /// The checks, by code.
    pub fn checks(&self) -> impl Iterator<Item = &Arc<Check>> {
        self.checks.values()
    }

    /// The check of a code.
    pub fn check(&self, code: &CheckCode) -> Option<&Arc<Check>> {
        self.checks.get(code)
    }

    /// The closest code to one that does not exist.
    pub fn suggest(&self, code: &str) -> String {
        let known: Vec<&str> = self.checks.keys().map(CheckCode::as_str).collect();
        crate::check::suggestion(code, &known)
    }

    /// The runbooks, by name.
    pub fn runbooks(&self) -> impl Iterator<Item = &Arc<Runbook>> {
        self.runbooks.values()
    }

    /// The runbook of a name.
    pub fn runbook(&self, name: &RunbookName) -> Option<&Arc<Runbook>> {
        self.runbooks.get(name)
    }

    /// The runbooks that remedy a check, the preferred one first.
    pub fn runbooks_for(&self, check: &CheckCode) -> Vec<&Arc<Runbook>> {
        let mut found: Vec<_> = self.runbooks.values().filter(|runbook| runbook.checks.contains(check)).collect();
        found.sort_by_key(|runbook| runbook.preference);
        found
    }

    /// Runs every check's and every runbook's own cases.
    pub fn run_cases(&self) -> Vec<CaseFailure> {
        let of_checks = self.checks.values().flat_map(|check| run_cases(check));
        let of_runbooks = self.runbooks.values().flat_map(|runbook| run_runbook_cases(runbook, self));
        of_checks.chain(of_runbooks).collect()
    }

    /// Whether a check is for this kind of component in a product of this version. A version that can not be read
    /// excludes nothing: the probe then says what it does not find.
    pub fn applies(&self, check: &Check, kind: ComponentKind, product_version: &str) -> bool {
        let of_product = self.packs.get(&check.pack).is_some_and(|pack| pack.product == CONTENT_MANAGER);
        let version = product_version.parse::<ProductVersion>().ok().filter(|_| of_product);
        let fits = match (&check.versions, version) {
            (Some(requirement), Some(version)) => requirement.matches(&version),
            _ => true,
        };
        check.component == kind && fits
    }
}
