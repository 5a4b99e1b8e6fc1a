//! The workgroup servers' copies of `TRIMConfig.tcfg`, and the one that administrators edit.
//!
//! The files are always rendered whole from the healthy configuration and the edits in force. So edits of several
//! faults can be mended in any order, and what remains is exact.

use crate::error::LabError;
use crate::layout::{DBID, Folders, WORKGROUP_SERVERS, lock_briefly, read_json, write_atomically, write_json};
use crate::live::processors::{PROCESSORS, Processor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The healthy version.
const VERSION: u32 = 42;
const MAX_THREADS: u32 = 250;

/// A deviation from the healthy configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub enum ConfigEdit {
    /// One server has kept the previous version.
    Behind {
        /// The server.
        wgs: String,
    },
    /// Administrators have saved a newer version without deploying it.
    NotDeployed,
    /// A processor is told to run on these servers.
    RunOn {
        /// The processor's type.
        processor: String,
        /// The servers.
        servers: Vec<String>,
    },
}

type Edits = BTreeMap<String, Vec<ConfigEdit>>;

fn edits_file(folders: &Folders) -> PathBuf {
    folders.root().join("config/edits.json")
}

/// Renders all files from the edits in force; files that are right already are not touched.
pub fn render_all(folders: &Folders, seed: u64) -> Result<(), LabError> {
    let edits: Edits = read_json(&edits_file(folders))?.unwrap_or_default();
    let edits: Vec<&ConfigEdit> = edits.values().flatten().collect();
    for wgs in WORKGROUP_SERVERS {
        write_changed(&folders.config(wgs), &render(seed, &edits, Some(wgs)))?;
    }
    write_changed(&folders.admin_config(), &render(seed, &edits, None))
}

/// What operations have ordered stands beside the faults, and before them: it is what counts.
const ORDERS: &str = "!orders";

/// Puts the edits of one fault into force, or (with none) takes them back, with what was ordered about them.
pub fn set_edits(folders: &Folders, seed: u64, fault: &str, edits: Vec<ConfigEdit>) -> Result<(), LabError> {
    change(folders, seed, |all| {
        let before = if edits.is_empty() { all.remove(fault) } else { all.insert(fault.to_owned(), edits) };
        for edit in before.into_iter().flatten() {
            if let ConfigEdit::RunOn { processor, .. } = edit {
                forget(all, &processor);
            }
        }
    })
}

/// Has a processor run on these servers, whatever faults say.
pub fn order_servers(folders: &Folders, seed: u64, processor: &str, servers: &[String]) -> Result<(), LabError> {
    change(folders, seed, |all| {
        forget(all, processor);
        let order = ConfigEdit::RunOn { processor: processor.to_owned(), servers: servers.to_vec() };
        all.entry(ORDERS.to_owned()).or_default().push(order);
    })
}

/// Forgets what was ordered about a processor.
pub fn forget_order(folders: &Folders, seed: u64, processor: &str) -> Result<(), LabError> {
    change(folders, seed, |all| forget(all, processor))
}

/// The servers that a processor is told to run on.
pub fn servers_of(folders: &Folders, processor: &str) -> Result<Vec<String>, LabError> {
    let edits: Edits = read_json(&edits_file(folders))?.unwrap_or_default();
    let edits: Vec<&ConfigEdit> = edits.values().flatten().collect();
    Ok(PROCESSORS.iter().find(|one| one.name == processor).map_or_else(Vec::new, |one| servers(one, &edits)))
}

fn forget(all: &mut Edits, of: &str) {
    if let Some(orders) = all.get_mut(ORDERS) {
        orders.retain(|edit| !matches!(edit, ConfigEdit::RunOn { processor, .. } if processor == of));
    }
}

fn change(folders: &Folders, seed: u64, edit: impl FnOnce(&mut Edits)) -> Result<(), LabError> {
    let _lock = lock_briefly(&edits_file(folders).with_extension("lock"))?;
    let mut all: Edits = read_json(&edits_file(folders))?.unwrap_or_default();
    edit(&mut all);
    write_json(&edits_file(folders), &all)?;
    render_all(folders, seed)
}

fn write_changed(path: &Path, text: &str) -> Result<(), LabError> {
    if std::fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    write_atomically(path, text.as_bytes(), 0o644)
}

/// One file: of a server, or (without one) of the administrators.
fn render(seed: u64, edits: &[&ConfigEdit], wgs: Option<&str>) -> String {
    let behind = edits.iter().any(|edit| matches!(edit, ConfigEdit::Behind { wgs: one } if Some(one.as_str()) == wgs));
    let saved = VERSION + u32::from(edits.contains(&&ConfigEdit::NotDeployed));
    let version = match wgs {
        None => saved,
        Some(_) => VERSION - u32::from(behind),
    };
    let max_threads = if version == VERSION { MAX_THREADS } else { MAX_THREADS - 50 };
    let guid = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("lab configuration {seed} {version}").as_bytes());
    let server = |name: &str| {
        format!("    <WorkgroupServer name=\"{name}\" port=\"1137\" minThreads=\"5\" maxThreads=\"{max_threads}\" />\n")
    };
    let servers: String = WORKGROUP_SERVERS.iter().map(|&name| server(name)).collect();
    let processors: String = PROCESSORS.iter().map(|one| processor_elements(one, edits)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <!-- DOUBLE of a Content Manager configuration: made by a lab, deployed by nobody. -->\n\
         <TRIMConfig version=\"{version}\" guid=\"{guid}\" adminVersion=\"{saved}\" double=\"true\">\n  \
           <WorkgroupServers>\n{servers}  </WorkgroupServers>\n  \
           <DataSources>\n    \
             <Dataset id=\"{DBID}\" name=\"Double dataset\" databaseType=\"PostgreSQL\">\n      \
               <EventProcessors>\n{processors}      </EventProcessors>\n    \
             </Dataset>\n  \
           </DataSources>\n\
         </TRIMConfig>\n"
    )
}

/// One element a server, as each server keeps its own settings.
fn processor_elements(processor: &Processor, edits: &[&ConfigEdit]) -> String {
    let servers = servers(processor, edits);
    let (name, status) = (processor.name, processor.status);
    let element =
        |server: &str| format!("        <Processor type=\"{name}\" status=\"{status}\" runOn=\"{server}\" />\n");
    servers.iter().map(|server| element(server)).collect()
}

fn servers(processor: &Processor, edits: &[&ConfigEdit]) -> Vec<String> {
    let told = edits.iter().find_map(|edit| match edit {
        ConfigEdit::RunOn { processor: one, servers } if one == processor.name => Some(servers.clone()),
        _ => None,
    });
    told.unwrap_or_else(|| vec![processor.wgs.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_show_only_where_they_belong() {
        let behind = ConfigEdit::Behind { wgs: "wgs-2".to_owned() };
        let healthy = render(1, &[], Some("wgs-1"));
        assert!(healthy.contains("version=\"42\"") && healthy.contains("DOUBLE"));
        assert_eq!(render(1, &[&behind], Some("wgs-1")), healthy);
        assert_eq!(render(1, &[], None), healthy);
        assert!(render(1, &[&behind], Some("wgs-2")).contains(" version=\"41\""));
        let ahead = [&ConfigEdit::NotDeployed];
        assert!(render(1, &ahead, None).contains(" version=\"43\""));
        let told = render(1, &ahead, Some("wgs-1"));
        assert!(told.contains(" version=\"42\"") && told.contains("adminVersion=\"43\""));
    }

    #[test]
    fn a_processor_has_an_element_for_each_server_it_runs_on() {
        let servers = vec!["wgs-1".to_owned(), "wgs-2".to_owned()];
        let edit = ConfigEdit::RunOn { processor: "AuditLog".to_owned(), servers };
        let text = render(1, &[&edit], Some("wgs-2"));
        for server in ["wgs-1", "wgs-2"] {
            let element = format!("<Processor type=\"AuditLog\" status=\"Processing\" runOn=\"{server}\" />");
            assert!(text.contains(&element), "{text}");
        }
    }

    #[test]
    fn it_is_well_formed_xml() {
        let text = render(1, &[], None);
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut elements = 0;
        loop {
            match reader.read_event().expect("well-formed") {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Empty(_) | quick_xml::events::Event::Start(_) => elements += 1,
                _ => {}
            }
        }
        assert!(elements > PROCESSORS.len());
    }
}
