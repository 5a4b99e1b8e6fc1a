//! The lab: an honest double of a Content Manager deployment on real parts, and the faults that can be planted in it.
//!
//! No licensed Content Manager is at hand. What a diagnosis can see of one is therefore played by real parts: a
//! PostgreSQL database with the real table names, folders of real files with true sizes and hashes, logs in the real
//! grammar that go on being written, TCP and TLS servers. Everything says that it is a double.
//!
//! [`Lab::up`] makes the data the first time and keeps the lab up. [`break_fault`] and [`mend_fault`] work from any
//! process, through [`LabHandle::open`]. [`score()`] compares a diagnosis with what was planted.
//!
//! What lies where, below the lab's folder:
//!
//! | path | what |
//! |---|---|
//! | `stores/<component>/D1/<store number>/<000…>/<resid>` | documents; `resid` is the file's name |
//! | `config/<wgs>/TRIMConfig.tcfg` | `TRIMConfig` with `version`, `guid`, `adminVersion`; its `Processor`s |
//! | `logs/<wgs>/TRIMWorkgroup_YYYY_MM_DD.log`, `LDAP_YYYY_MM_DD.log` | of each workgroup server, local time |
//! | `logs/events/TRIMEvent_D1_YYYY_MM_DD.log`, `LDAP_…` | of the event processors |
//! | `logs/web/log-file.txt` | of the web tier (log4net) |
//! | `audit/D1/AuditLogs/<YYYY>/Date_<YYYY-MM-DD>.log` | audit log, GMT, a file a day for 14 days and more |
//! | `content-index/state.json` | what the double of the content index holds |
//! | `services/service.sh` | the double of a service manager, by the platform's command contract |
//! | `secrets/`, `tls/` | passwords, and the authority that the web double's certificate comes from |
//! | `lab.json`, `control.json`, `faults.json` | state: what it was made with, what is switched, what is planted |

mod config;
mod context;
mod control;
mod database;
mod describe;
mod description;
mod error;
mod fault;
mod faults;
mod handle;
mod index;
mod journal;
mod layout;
mod live;
mod manifest;
mod operations;
mod options;
mod redis;
mod score;
mod service_manager;
mod spaces;
mod store;
mod undo;
mod up;
mod web;

pub use description::{LabComponent, LabDescription, SecretPlace, ThresholdOverride};
pub use error::LabError;
pub use fault::{Broken, Expected, Fault, Mended, Step, break_fault, fault, mend_all, mend_fault, planted};
pub use faults::faults;
pub use handle::LabHandle;
pub use layout::Folders;
pub use options::{Clock, LabOptions, Volume};
pub use score::{Score, SeenFinding, score};
pub use up::Lab;

/// An error with all its causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
