//! The configuration files of all workgroup servers of a deployment, side by side: one row a server.

use super::rows::{Measured, row};
use super::{ProbeError, Row, Run};
use domain::deployment::ComponentKind;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

/// The largest configuration file read.
pub(crate) const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The most elements read, and the most processors and datasets kept of one file.
const MAX_ELEMENTS: usize = 200_000;
const MAX_KEPT: usize = 1_000;

pub(super) async fn measure(run: &Run<'_>) -> Result<Measured, ProbeError> {
    let servers: Vec<(String, Option<String>)> = run
        .target
        .components
        .values()
        .filter(|component| component.kind == ComponentKind::WorkgroupServer)
        .map(|component| (component.name.to_string(), component.settings.get("config").cloned()))
        .collect();
    if servers.is_empty() {
        return Err(ProbeError::configuration(
            "the deployment has no workgroup server whose configuration could be read",
        ));
    }
    let own = run.target.component.name.to_string();
    run.blocking(move |_| Ok(compare(&servers, &own))).await
}

fn compare(servers: &[(String, Option<String>)], own: &str) -> Measured {
    let read: Vec<(&str, Result<Config, String>)> = servers
        .iter()
        .map(|(name, path)| {
            let config = path.as_deref().ok_or_else(|| "it has no setting \"config\"".to_owned());
            (name.as_str(), config.and_then(|path| read(Path::new(path))))
        })
        .collect();
    let newest = read.iter().filter_map(|(_, config)| config.as_ref().ok()).max_by_key(|config| config.version);
    let newest_version = newest.map(|config| config.version);
    let newest_hash = newest_content(&read, newest_version);
    let rows = read.iter().map(|(name, config)| match config {
        Ok(config) => {
            let is_newest = Some(config.version) == newest_version && Some(&config.sha256) == newest_hash.as_ref();
            config.to_row(name, is_newest, newest_version)
        }
        Err(error) => unreadable(name, error, newest_version),
    });
    Measured { rows: rows.collect(), facts: row! { servers: servers.len(), component: own }, truncated: false }
}

/// What most of the newest servers hold; the first of them where they differ evenly.
fn newest_content(read: &[(&str, Result<Config, String>)], newest: Option<i64>) -> Option<String> {
    let hashes: Vec<&String> = read
        .iter()
        .filter_map(|(_, config)| config.as_ref().ok())
        .filter(|config| Some(config.version) == newest)
        .map(|config| &config.sha256)
        .collect();
    let votes = |hash: &String| hashes.iter().filter(|other| **other == hash).count();
    let most = hashes.iter().map(|hash| votes(hash)).max()?;
    hashes.iter().copied().find(|hash| votes(hash) == most).cloned()
}

fn unreadable(name: &str, error: &str, newest_version: Option<i64>) -> Row {
    let none = None::<&str>;
    row! {
        component: name, readable: false, error: error, version: none, guid: none, sha256: none, is_newest: none,
        newest_version: newest_version, processors: none, max_threads: none, dataset_ids: none,
        certificate_thumbprint: none, admin_version: none,
    }
}

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) version: i64,
    pub(crate) guid: Option<String>,
    sha256: String,
    pub(crate) admin_version: Option<i64>,
    pub(crate) datasets: Vec<String>,
    /// By the server's name: threads and thumbprint.
    pub(crate) servers: Map<String, Value>,
    /// By the processor's type.
    processors: Map<String, Value>,
}

impl Config {
    fn to_row(&self, name: &str, is_newest: bool, newest_version: Option<i64>) -> Row {
        let own = self.servers.get(name);
        let of_own = |key: &str| own.and_then(|server| server.get(key)).cloned().unwrap_or(Value::Null);
        row! {
            component: name, readable: true, error: None::<&str>, version: self.version, guid: self.guid,
            sha256: self.sha256, is_newest: is_newest, newest_version: newest_version, processors: self.processors,
            max_threads: of_own("max_threads"), dataset_ids: self.datasets,
            certificate_thumbprint: of_own("certificate_thumbprint"), admin_version: self.admin_version,
        }
    }
}

fn read(path: &Path) -> Result<Config, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{} is larger than {} MiB", path.display(), MAX_BYTES >> 20));
    }
    let mut config = parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    config.sha256 = hex::encode(Sha256::digest(&bytes));
    Ok(config)
}

/// Reads a configuration file's text.
pub(crate) fn parse(bytes: &[u8]) -> Result<Config, String> {
    let mut reader = Reader::from_reader(bytes);
    let mut config = Config::default();
    let mut has_root = false;
    let mut buffer = Vec::new();
    for _ in 0..MAX_ELEMENTS {
        match reader.read_event_into(&mut buffer).map_err(|error| format!("is no XML: {error}"))? {
            Event::Start(element) | Event::Empty(element) => {
                has_root |= element.local_name().as_ref() == "TRIMConfig";
                take(&mut config, &element)?;
            }
            Event::Eof if has_root => return Ok(config),
            Event::Eof => return Err("holds no TRIMConfig".to_owned()),
            _ => {}
        }
        buffer.clear();
    }
    Err(format!("holds more than {MAX_ELEMENTS} elements"))
}

fn take(config: &mut Config, element: &BytesStart<'_>) -> Result<(), String> {
    let attribute = |name: &str| -> Result<Option<String>, String> {
        let found = element.try_get_attribute(name).map_err(|error| format!("is no XML: {error}"))?;
        let value = found.map(|found| found.normalized_value(XmlVersion::Implicit1_0).map(Cow::into_owned));
        value.transpose().map_err(|error| format!("is no XML: {error}"))
    };
    let number = |name: &str| -> Result<Option<i64>, String> {
        attribute(name)?
            .map(|text| text.trim().parse().map_err(|_| format!("{name} is {text:?}, and that is no whole number")))
            .transpose()
    };
    match element.local_name().as_ref() {
        "TRIMConfig" => {
            config.version = number("version")?.ok_or("states no version")?;
            config.guid = attribute("guid")?;
            config.admin_version = number("adminVersion")?;
        }
        "Dataset" if config.datasets.len() < MAX_KEPT => config.datasets.extend(attribute("id")?),
        "WorkgroupServer" if config.servers.len() < MAX_KEPT => {
            if let Some(name) = attribute("name")? {
                let thumbprint = attribute("certificateThumbprint")?;
                let server = json!({"max_threads": number("maxThreads")?, "certificate_thumbprint": thumbprint});
                config.servers.insert(name, server);
            }
        }
        "Processor" if config.processors.len() < MAX_KEPT => {
            if let Some(kind) = attribute("type")? {
                add_processor(&mut config.processors, kind, attribute("status")?, attribute("runOn")?);
            }
        }
        _ => {}
    }
    Ok(())
}

/// A processor's state, and on which servers it is enabled: one that is ignored runs nowhere.
fn add_processor(processors: &mut Map<String, Value>, kind: String, status: Option<String>, run_on: Option<String>) {
    let status = status.unwrap_or_default();
    let enabled = status != "Ignored";
    let known = processors.entry(kind).or_insert_with(|| json!({"status": status, "run_on": []}));
    if enabled {
        known["status"] = json!(status);
        if let (Some(servers), Some(name)) = (known["run_on"].as_array_mut(), run_on)
            && !servers.contains(&json!(name))
        {
            servers.push(json!(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn file(dir: &Path, name: &str, version: u32, extra: &str) -> PathBuf {
        let path = dir.join(name);
        let text = format!(
            r#"<?xml version="1.0"?><TRIMConfig version="{version}" guid="g-1" adminVersion="12"><DataSources>
            <Dataset id="D1" name="A &amp; B"/></DataSources><WorkgroupServers>
            <WorkgroupServer name="wgs-1" maxThreads="250" certificateThumbprint="AB12"/></WorkgroupServers>
            <EventProcessors><Processor type="AuditLog" status="Processing" runOn="wgs-1"/>
            <Processor type="MailNotification" status="Ignored" runOn="wgs-2"/>{extra}</EventProcessors></TRIMConfig>"#
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    fn servers(paths: &[(&str, &Path)]) -> Vec<(String, Option<String>)> {
        paths.iter().map(|(name, path)| ((*name).to_owned(), Some(path.display().to_string()))).collect()
    }

    #[test]
    fn reads_what_the_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let twice = r#"<Processor type="AuditLog" status="Processing" runOn="wgs-2"></Processor>"#;
        let path = file(dir.path(), "a", 12, twice);
        let row = compare(&servers(&[("wgs-1", &path)]), "wgs-1").rows.remove(0);
        assert_eq!(row["version"], 12);
        assert_eq!(row["admin_version"], 12);
        assert_eq!(row["max_threads"], 250);
        assert_eq!(row["certificate_thumbprint"], "AB12");
        assert_eq!(row["dataset_ids"], json!(["D1"]));
        assert_eq!(row["processors"]["AuditLog"], json!({"status": "Processing", "run_on": ["wgs-1", "wgs-2"]}));
        assert_eq!(row["processors"]["MailNotification"], json!({"status": "Ignored", "run_on": []}));
    }

    #[test]
    fn tells_who_is_behind_and_who_was_edited_by_hand() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (file(dir.path(), "new", 12, ""), file(dir.path(), "old", 11, ""));
        let edited = file(dir.path(), "edited", 12, "<!-- by hand -->");
        let all = servers(&[("a", &new), ("b", &old), ("c", &new), ("d", &edited)]);
        let newest: Vec<Value> = compare(&all, "a").rows.iter().map(|row| row["is_newest"].clone()).collect();
        assert_eq!(newest, [json!(true), json!(false), json!(true), json!(false)]);
    }

    #[test]
    fn what_can_not_be_read_says_so() {
        let dir = tempfile::tempdir().unwrap();
        for (text, expected) in
            [("<a/>", "holds no TRIMConfig"), ("<TRIMConfig", "no XML"), ("<TRIMConfig/>", "no version")]
        {
            let path = dir.path().join("x");
            std::fs::write(&path, text).unwrap();
            let row = compare(&servers(&[("a", &path)]), "a").rows.remove(0);
            assert_eq!(row["readable"], false);
            assert!(row["error"].as_str().unwrap().contains(expected), "{row:?}");
        }
        let row = compare(&[("a".to_owned(), None)], "a").rows.remove(0);
        assert!(row["error"].as_str().unwrap().contains("no setting"));
    }
}
