//! How `lab break` and `lab mend` steer the process that keeps the lab up.
//!
//! They write `control.json` with a new generation; that process watches the file, brings the switches into force and
//! answers in `control.ack.json`. Only then do they return.

use crate::error::LabError;
use crate::layout::{Folders, is_locked, lock_briefly, read_json, write_json};
use crate::operations::Service;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long bringing a switch into force may take.
const ACK_BOUND: Duration = Duration::from_secs(20);
/// How often either side looks at the other's file.
pub const POLL: Duration = Duration::from_millis(25);

/// What the event processors' counters can do wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum ProcessorMode {
    /// Works, but far too slowly for what comes in.
    Backlog,
    /// Fails on the same event again and again.
    Poison,
    /// Has another status since so many hours.
    Status {
        /// Ignored or Suspended.
        status: String,
        /// Since when.
        hours: i64,
        /// How many events wait.
        queued: i64,
    },
}

/// Which certificate the web double shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateKind {
    /// Ends in a few days.
    Expiring,
    /// Names another host.
    WrongName,
}

/// One deviation from healthy behaviour of the live parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Switch {
    /// Closes a workgroup server's port.
    CloseWgs {
        /// The server.
        wgs: String,
    },
    /// Makes an event processor misbehave.
    Processor {
        /// Its type.
        name: String,
        /// How.
        mode: ProcessorMode,
    },
    /// Delays every response.
    WebDelay {
        /// By so much.
        ms: u64,
    },
    /// Answers every page with this status.
    WebStatus {
        /// The HTTP status.
        status: u16,
    },
    /// The page works, the ServiceAPI's queries fail.
    WebNoWgs,
    /// The Date header is off.
    WebDateSkew {
        /// By so much.
        seconds: i64,
    },
    /// Another certificate.
    WebCertificate {
        /// Which.
        kind: CertificateKind,
    },
    /// Repeats one message in a log.
    LogFlood {
        /// The log's name, such as `wgs-1`, `web` or `ldap-wgs-1`.
        log: String,
        /// How often at once.
        burst: u32,
        /// The message.
        message: String,
    },
    /// Stops writing a log.
    LogSilent {
        /// Its name.
        log: String,
    },
    /// Stops writing the audit log.
    AuditSilent,
    /// One session holds a row's lock and another waits for it.
    BlockingLock,
    /// A session stays idle in its transaction.
    IdleTransaction,
    /// Closes the web tier's port.
    CloseWeb,
    /// A service takes no new work, and finishes what it has.
    Drain {
        /// The service.
        service: String,
    },
}

/// What `control.json` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Rises with each change.
    pub generation: u64,
    /// By fault.
    pub switches: BTreeMap<String, Vec<Switch>>,
    /// Those of them that an operation has cured: still planted, and not in force.
    #[serde(default)]
    pub cured: BTreeMap<String, Vec<Switch>>,
    /// The services that were started or stopped by an operation.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// The event processors that were given another status by an operation.
    #[serde(default)]
    pub processors: BTreeMap<String, String>,
}

impl Control {
    /// All switches in force, whatever fault they are of, and what operations have ordered.
    pub fn in_force(&self) -> Vec<Switch> {
        let planted = self.switches.iter().flat_map(|(fault, switches)| {
            let cured = self.cured.get(fault).map_or(&[][..], Vec::as_slice);
            switches.iter().filter(move |switch| !cured.contains(switch)).cloned()
        });
        planted.chain(self.ordered()).collect()
    }

    /// Takes the fault's switches back, with what operations have done about them.
    fn forget(&mut self, fault: &str) {
        self.cured.remove(fault);
        for switch in self.switches.remove(fault).into_iter().flatten() {
            if let Switch::Processor { name, .. } = &switch {
                self.processors.remove(name);
            }
            if let Some(service) = switch.service() {
                self.services.remove(service);
            }
        }
    }
}

/// What `control.ack.json` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlAck {
    /// The generation that is in force, as far as there is no failure.
    pub generation: u64,
    /// What could not be brought into force.
    pub failure: Option<String>,
}

/// Whether a process keeps the lab up: it holds this lock.
pub fn is_up(folders: &Folders) -> Result<bool, LabError> {
    is_locked(&folders.up_lock())
}

/// Sets the switches of one fault (none: takes them back) and waits until they are in force.
///
/// Taking switches back while the lab is down only writes them: it starts without them.
pub async fn set_switches(folders: &Folders, fault: &str, switches: Vec<Switch>) -> Result<(), LabError> {
    let off = switches.is_empty();
    let up = is_up(folders)?;
    if !up && !off {
        return Err(LabError::NotUp(folders.root().to_owned()));
    }
    let (generation, ()) = change(folders, |control| {
        control.forget(fault);
        if !off {
            control.switches.insert(fault.to_owned(), switches);
        }
        Ok(())
    })?;
    if up { wait_for_ack(folders, fault, generation).await } else { Ok(()) }
}

/// Changes what is in force; gives the new generation.
pub fn change<T>(
    folders: &Folders,
    edit: impl FnOnce(&mut Control) -> Result<T, LabError>,
) -> Result<(u64, T), LabError> {
    let _lock = lock_briefly(&folders.control_lock())?;
    let mut control: Control = read_json(&folders.control())?.unwrap_or_default();
    let done = edit(&mut control)?;
    control.generation += 1;
    write_json(&folders.control(), &control)?;
    Ok((control.generation, done))
}

/// Changes what is in force, and waits until it is.
pub async fn operate<T>(
    folders: &Folders,
    edit: impl FnOnce(&mut Control) -> Result<T, LabError>,
) -> Result<T, LabError> {
    let (generation, done) = change(folders, edit)?;
    wait_for_ack(folders, "(an operation)", generation).await?;
    Ok(done)
}

async fn wait_for_ack(folders: &Folders, fault: &str, generation: u64) -> Result<(), LabError> {
    let refused = |reason: String| LabError::NotInForce { fault: fault.to_owned(), reason };
    let deadline = Instant::now() + ACK_BOUND;
    loop {
        let ack: ControlAck = read_json(&folders.control_ack())?.unwrap_or_default();
        if ack.generation >= generation {
            return ack.failure.map_or(Ok(()), |reason| Err(refused(reason)));
        }
        if !is_up(folders)? {
            return Err(LabError::NotUp(folders.root().to_owned()));
        }
        if Instant::now() > deadline {
            return Err(refused("it did not answer in time".to_owned()));
        }
        tokio::time::sleep(POLL).await;
    }
}
