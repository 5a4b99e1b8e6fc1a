//! The TOML file that describes a deployment: what `cmdiag deployment add` takes.

use anyhow::{Context, Result, anyhow, bail};
use domain::deployment::{Component, ComponentKind, DeploymentCommand, SecretRef};
use domain::{CheckCode, ComponentName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The file is bounded: a description is small.
const MAX_BYTES: usize = 1024 * 1024;

/// A deployment as described by its administrators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentFile {
    /// Its name.
    pub name: String,
    /// The version of Content Manager, such as `24.3`.
    pub product_version: String,
    /// True where it is a double (the lab): every result then says so.
    #[serde(default)]
    pub is_double: bool,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its parts.
    #[serde(default, rename = "component")]
    pub components: Vec<ComponentEntry>,
    /// Thresholds of its own.
    #[serde(default, rename = "override", skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OverrideEntry>,
}

/// `[[override]]`: another Nagios range for one threshold of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideEntry {
    /// The check's code.
    pub check: CheckCode,
    /// The threshold's name.
    pub threshold: String,
    /// Warn outside of this range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Critical outside of this range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<String>,
    /// Why.
    pub reason: String,
}

/// `[[component]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentEntry {
    /// Its name within the deployment.
    pub name: ComponentName,
    /// What it is.
    pub kind: ComponentKind,
    /// How to reach it.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Where its secrets are kept: `env:NAME` or `file:PATH`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl DeploymentFile {
    /// Reads the file, or standard input where it is `-`.
    pub fn read(file: &Path) -> Result<Self> {
        let shown = file.display();
        let text = if file == Path::new("-") {
            std::io::read_to_string(std::io::Read::take(std::io::stdin().lock(), MAX_BYTES as u64 + 1))
        } else {
            std::fs::read_to_string(file)
        };
        let text = text.with_context(|| format!("read the description {shown}"))?;
        if text.len() > MAX_BYTES {
            bail!("{shown}: larger than {MAX_BYTES} bytes");
        }
        Self::parse(&text).with_context(|| format!("the description {shown}"))
    }

    /// Parses the text; errors name line and key.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| anyhow!("{error}"))
    }

    /// The command that registers it.
    pub fn into_command(self) -> Result<DeploymentCommand> {
        let components = self.components.into_iter().map(ComponentEntry::into_component).collect::<Result<_>>()?;
        Ok(DeploymentCommand::Register {
            name: self.name,
            product_version: self.product_version,
            is_double: self.is_double,
            labels: self.labels,
            components,
        })
    }
}

impl ComponentEntry {
    fn into_component(self) -> Result<Component> {
        let secret = |(purpose, text): (String, String)| {
            let reference = match text.split_once(':') {
                Some(("env", name)) if !name.is_empty() => SecretRef::Env(name.to_owned()),
                Some(("file", path)) if !path.is_empty() => SecretRef::File(path.to_owned()),
                // The text is not shown: it may be the secret itself, written where its reference belongs.
                _ => bail!("component {}: secret {purpose} must be env:NAME or file:PATH", self.name),
            };
            Ok((purpose, reference))
        };
        let secrets = self.secrets.into_iter().map(secret).collect::<Result<_>>()?;
        Ok(Component { name: self.name, kind: self.kind, settings: self.settings, secrets, labels: self.labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
        name = "Records Office"
        product_version = "24.3"

        [[component]]
        name = "dataset"
        kind = "dataset-database"
        settings = { url = "postgres://monitor@db.example/cm" }
        secrets = { password = "env:CM_PASSWORD" }
    "#;

    #[test]
    fn a_description_becomes_a_command() {
        let command = DeploymentFile::parse(SAMPLE).unwrap().into_command().unwrap();
        let DeploymentCommand::Register { name, components, is_double, .. } = command else { panic!("{command:?}") };
        assert_eq!((name.as_str(), is_double), ("Records Office", false));
        assert_eq!(components[0].secrets["password"], SecretRef::Env("CM_PASSWORD".to_owned()));
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let unknown = DeploymentFile::parse(&SAMPLE.replace("kind", "sort")).unwrap_err();
        assert!(format!("{unknown:#}").contains("sort"), "{unknown:#}");
        let kind = DeploymentFile::parse(&SAMPLE.replace("dataset-database", "mainframe")).unwrap_err();
        assert!(format!("{kind:#}").contains("mainframe"), "{kind:#}");
        let secret = SAMPLE.replace("env:CM_PASSWORD", "hunter2");
        let secret = DeploymentFile::parse(&secret).unwrap().into_command().unwrap_err();
        assert!(!format!("{secret:#}").contains("hunter2"), "{secret:#}");
    }
}
