//! Configuration files as actions see them: their stamps, their content, and where they lie.

use super::value_path::{ValuePath, escaped};
use crate::action::file::{Content, Relative, Root, Stop, read_small};
use crate::action::{ActionError, ActionTarget};
use crate::probe::config::{self, Config};
use domain::deployment::{Component, ComponentKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What tells one version of the configuration from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub version: i64,
    pub guid: Option<String>,
    pub content: Content,
}

/// One configuration file.
pub(super) struct Tcfg {
    pub root: Root,
    pub file: Relative,
    pub bytes: Vec<u8>,
    pub stamp: Stamp,
    pub config: Config,
}

/// Where a configuration file lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    what: String,
    path: PathBuf,
}

impl Place {
    /// The file that a setting of a component names.
    pub(super) fn of(component: &Component, setting: &str) -> Result<Self, ActionError> {
        let path = crate::action::setting_of(component, setting)?;
        Ok(Self { what: format!("setting {setting} of {}", component.name), path: PathBuf::from(path) })
    }

    /// The folder and the name of the file.
    pub(super) fn open(&self, stop: &Stop) -> Result<(Root, Relative), ActionError> {
        let wrong = || ActionError::configuration(format!("{} must be a file's absolute path", self.what));
        let (folder, name) = (self.path.parent().ok_or_else(wrong)?, self.path.file_name().ok_or_else(wrong)?);
        let file = name.to_str().and_then(|name| Relative::parse(name).ok()).ok_or_else(wrong)?;
        Ok((Root::open(&self.what, folder, stop)?, file))
    }

    pub(super) fn read(&self, stop: &Stop) -> Result<Tcfg, ActionError> {
        let (root, file) = self.open(stop)?;
        let (bytes, _) = read_small(&root, &file, config::MAX_BYTES)?;
        let config = config::parse(&bytes)
            .map_err(|error| ActionError::precondition(format!("{}: {error}", self.path.display())))?;
        let stamp = Stamp { version: config.version, guid: config.guid.clone(), content: Content::of(&bytes) };
        Ok(Tcfg { root, file, bytes, stamp, config })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// All workgroup servers of the deployment that have a configuration file, by name.
pub(super) fn servers(target: &ActionTarget) -> Result<Vec<(String, Place)>, ActionError> {
    let servers = target.components.values().filter(|component| component.kind == ComponentKind::WorkgroupServer);
    servers.map(|server| Ok((server.name.to_string(), Place::of(server, "config")?))).collect()
}

/// The file that administrators edit: that of the component, or the one that all workgroup servers name.
pub(super) fn admin(target: &ActionTarget) -> Result<Place, ActionError> {
    if target.optional("admin_config").is_some() {
        return Place::of(&target.component, "admin_config");
    }
    let servers = target.components.values().filter(|component| component.kind == ComponentKind::WorkgroupServer);
    let mut places = servers.map(|server| Place::of(server, "admin_config")).collect::<Result<Vec<_>, _>>()?;
    let different: BTreeSet<&Path> = places.iter().map(Place::path).collect();
    match different.len() {
        1 => Ok(places.remove(0)),
        _ => Err(ActionError::configuration("the workgroup servers do not name one admin_config")),
    }
}

/// Whether one configuration may take the place of another: it is about the same datasets, and knows the server.
pub(super) fn must_be_family(old: &Config, new: &Config, server: &str) -> Result<(), ActionError> {
    let datasets = |config: &Config| config.datasets.iter().cloned().collect::<BTreeSet<_>>();
    if datasets(old) != datasets(new) {
        return Err(ActionError::precondition(format!(
            "the newer configuration is about other datasets than that of {server}: it is of another family"
        )));
    }
    if !new.servers.is_empty() && !new.servers.contains_key(server) {
        return Err(ActionError::precondition(format!("the newer configuration does not know the server {server}")));
    }
    Ok(())
}

/// One value changed, under a new version and a new GUID; everything else stays byte by byte.
pub(super) fn edited(bytes: &[u8], path: &ValuePath, value: &str, version: i64) -> Result<Vec<u8>, String> {
    let mut text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?.to_owned();
    let seed = format!("{} {path} {value} {version}", Content::of(bytes).sha256);
    let guid = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes()).to_string();
    set(&mut text, path, value)?;
    set(&mut text, &ValuePath::of_root("version"), &version.to_string())?;
    for (stamp, value) in [("guid", guid), ("adminVersion", version.to_string())] {
        let stamp = ValuePath::of_root(stamp);
        // A file that has no such stamp does not get one.
        if stamp.find(&text).is_ok() {
            set(&mut text, &stamp, &value)?;
        }
    }
    let bytes = text.into_bytes();
    let read = config::parse(&bytes)?;
    if read.version != version {
        return Err("the new version did not take".to_owned());
    }
    Ok(bytes)
}

fn set(text: &mut String, path: &ValuePath, value: &str) -> Result<(), String> {
    let found = path.find(text)?;
    text.replace_range(found.range.clone(), &escaped(value, found.quote));
    match path.find(text) {
        Ok(now) if now.value == value => Ok(()),
        // The path asks for the value that has just been changed.
        Err(_) => Ok(()),
        Ok(_) => Err(format!("{path} did not take the new value")),
    }
}
