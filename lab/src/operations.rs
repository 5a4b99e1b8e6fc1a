//! What an operator can do to the doubles: start and stop services, give event processors another status.
//!
//! An operation does not take a fault back: it cures its switches, which stay planted and are not in force any more, or
//! brings them into force again where it is itself taken back. Mending removes both.

use crate::control::{Control, ProcessorMode, Switch};
use crate::error::LabError;
use crate::layout::WORKGROUP_SERVERS;
use crate::live::processors::PROCESSORS;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The services of the lab: the workgroup servers, the web tier, and two that have no component of their own.
pub const SERVICES: [&str; 5] = [WORKGROUP_SERVERS[0], WORKGROUP_SERVERS[1], "web", "render", "mail"];

/// What an operation has made of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its state.
    pub state: ServiceState,
    /// Since when it is in this state; draining goes on from when it was running.
    pub since: DateTime<Utc>,
    /// How often it was started.
    pub starts: u64,
}

/// The states of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// It works, or seems to.
    Running,
    /// It takes no new work.
    Draining,
    /// It is down.
    Stopped,
}

/// What a service can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Status,
    Drain,
    Start,
    Stop,
    Restart,
}

impl Verb {
    /// Reads one.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "status" => Self::Status,
            "drain" => Self::Drain,
            "start" => Self::Start,
            "stop" => Self::Stop,
            "restart" => Self::Restart,
            _ => return None,
        })
    }
}

impl Switch {
    /// The service whose fresh start cures it.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::WebDelay { .. } | Self::WebStatus { .. } | Self::WebNoWgs | Self::CloseWeb => Some("web"),
            Self::LogSilent { log: wgs } | Self::CloseWgs { wgs } if WORKGROUP_SERVERS.contains(&wgs.as_str()) => {
                Some(wgs)
            }
            // The configuration still says that it is to run: a fresh start reads it again.
            Self::Processor { name, mode: ProcessorMode::Status { .. } } if name == "MailNotification" => Some("mail"),
            _ => None,
        }
    }
}

impl Control {
    /// What operations have ordered, as switches.
    pub(crate) fn ordered(&self) -> Vec<Switch> {
        let status = |name: &str, status: &str| Switch::Processor {
            name: name.to_owned(),
            mode: ProcessorMode::Status { status: status.to_owned(), hours: 0, queued: 0 },
        };
        let mut ordered: Vec<Switch> = self.processors.iter().map(|(name, is)| status(name, is)).collect();
        for (name, service) in &self.services {
            match (service.state, name.as_str()) {
                (ServiceState::Running, _) | (ServiceState::Stopped, "render") => {}
                (ServiceState::Draining, _) => ordered.push(Switch::Drain { service: name.clone() }),
                (ServiceState::Stopped, "web") => ordered.push(Switch::CloseWeb),
                (ServiceState::Stopped, "mail") => ordered.push(status("MailNotification", "Ignored")),
                (ServiceState::Stopped, wgs) => ordered.push(Switch::CloseWgs { wgs: wgs.to_owned() }),
            }
        }
        ordered
    }

    /// Has the switches that are meant not in force any more.
    fn cure(&mut self, meant: impl Fn(&Switch) -> bool) {
        for (fault, switches) in &self.switches {
            for switch in switches.iter().filter(|switch| meant(switch)) {
                let cured = self.cured.entry(fault.clone()).or_default();
                if !cured.contains(switch) {
                    cured.push(switch.clone());
                }
            }
        }
    }

    /// Brings cured switches into force again; false where there are none.
    fn uncure(&mut self, meant: impl Fn(&Switch) -> bool) -> bool {
        let mut any = false;
        for cured in self.cured.values_mut() {
            any |= cured.iter().any(&meant);
            cured.retain(|switch| !meant(switch));
        }
        any
    }

    /// Gives an event processor another status.
    pub fn set_status(&mut self, processor: &str, status: &str) -> Result<(), LabError> {
        let healthy = known(processor)?;
        let of = |switch: &Switch| match switch {
            Switch::Processor { name, mode: ProcessorMode::Status { .. } } => name == processor,
            _ => false,
        };
        let same = |switch: &Switch| {
            matches!(switch, Switch::Processor { name, mode: ProcessorMode::Status { status: is, .. } }
                if name == processor && is == status)
        };
        self.processors.remove(processor);
        if self.in_force().iter().any(same) || self.uncure(same) {
            return Ok(());
        }
        self.cure(of);
        if status != healthy {
            self.processors.insert(processor.to_owned(), status.to_owned());
        }
        Ok(())
    }

    /// The event that a processor fails on is not tried again.
    pub fn skip_event(&mut self, processor: &str) -> Result<(), LabError> {
        known(processor)?;
        self.cure(
            |switch| matches!(switch, Switch::Processor { name, mode: ProcessorMode::Poison } if name == processor),
        );
        Ok(())
    }

    /// A processor with a backlog catches up on several servers, and falls behind again on one.
    pub fn spread(&mut self, processor: &str, servers: usize) -> Result<(), LabError> {
        known(processor)?;
        let backlog = |switch: &Switch| match switch {
            Switch::Processor { name, mode: ProcessorMode::Backlog } => name == processor,
            _ => false,
        };
        if servers > 1 {
            self.cure(backlog);
        } else {
            self.uncure(backlog);
        }
        Ok(())
    }

    /// Tells a service something; gives its state afterwards.
    pub fn tell_service(
        &mut self,
        name: &str,
        verb: Verb,
        born: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Service, LabError> {
        if !SERVICES.contains(&name) {
            return Err(LabError::Options(format!("there is no service {name:?}; known are {}", SERVICES.join(", "))));
        }
        let was = self.service(name, born);
        let closed = |switch: &Switch| matches!(switch, Switch::CloseWgs { wgs } if wgs == name);
        match (verb, was.state) {
            (Verb::Status, _) | (Verb::Start, ServiceState::Running) | (Verb::Stop, ServiceState::Stopped) => {}
            (Verb::Start | Verb::Restart, _) => {
                self.cure(|switch| switch.service() == Some(name));
                let starts = was.starts + 1;
                let fresh = Service { state: ServiceState::Running, since: now, starts };
                self.services.insert(name.to_owned(), fresh);
            }
            (Verb::Stop, _) => {
                if self.uncure(closed) {
                    self.services.remove(name);
                } else {
                    let stopped = Service { state: ServiceState::Stopped, since: now, ..was };
                    self.services.insert(name.to_owned(), stopped);
                }
            }
            (Verb::Drain, ServiceState::Running) => {
                self.services.insert(name.to_owned(), Service { state: ServiceState::Draining, ..was });
            }
            (Verb::Drain, _) => {}
        }
        Ok(self.service(name, born))
    }

    fn service(&self, name: &str, born: DateTime<Utc>) -> Service {
        let known = self.services.get(name).cloned();
        let service = known.unwrap_or(Service { state: ServiceState::Running, since: born, starts: 0 });
        let closed = |switch: &Switch| matches!(switch, Switch::CloseWgs { wgs } if wgs == name);
        if self.in_force().iter().any(closed) {
            return Service { state: ServiceState::Stopped, ..service };
        }
        service
    }
}

/// The status that a processor has when all is well.
fn known(processor: &str) -> Result<&'static str, LabError> {
    let found = PROCESSORS.iter().find(|one| one.name == processor);
    found.map(|one| one.status).ok_or_else(|| LabError::Options(format!("there is no processor {processor:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(switches: Vec<Switch>) -> Control {
        Control { switches: [("fault".to_owned(), switches)].into(), ..Control::default() }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
    }

    #[test]
    fn a_restart_cures_what_hangs_and_nothing_else() {
        let skew = Switch::WebDateSkew { seconds: 900 };
        let mut control = planted(vec![Switch::WebDelay { ms: 3000 }, skew.clone()]);
        let service = control.tell_service("web", Verb::Restart, at(0), at(60)).expect("a service");
        assert_eq!((service.state, service.since, service.starts), (ServiceState::Running, at(60), 1));
        assert_eq!(control.in_force(), [skew]);
        assert!(control.tell_service("other", Verb::Status, at(0), at(0)).is_err());
    }

    #[test]
    fn a_start_that_is_taken_back_leaves_the_fault_as_it_was() {
        let down = Switch::CloseWgs { wgs: "wgs-2".to_owned() };
        let before = planted(vec![down.clone()]);
        let mut control = before.clone();
        let tell = |control: &mut Control, verb| control.tell_service("wgs-2", verb, at(0), at(9)).expect("it").state;
        assert_eq!(tell(&mut control, Verb::Status), ServiceState::Stopped);
        assert_eq!(tell(&mut control, Verb::Start), ServiceState::Running);
        assert_eq!(control.in_force(), []);
        assert_eq!(tell(&mut control, Verb::Stop), ServiceState::Stopped);
        assert_eq!((control.in_force(), control.services.len()), (vec![down], 0));
        assert_eq!(tell(&mut control, Verb::Drain), ServiceState::Stopped);
    }

    #[test]
    fn a_processor_goes_back_to_the_very_status_that_the_fault_gave_it() {
        let mode = ProcessorMode::Status { status: "Suspended".to_owned(), hours: 50, queued: 350 };
        let fault = Switch::Processor { name: "WordIndexing".to_owned(), mode };
        let mut control = planted(vec![fault.clone()]);
        for (status, in_force) in [("Processing", vec![]), ("Suspended", vec![fault.clone()])] {
            for _ in 0..2 {
                control.set_status("WordIndexing", status).expect("a processor");
                assert_eq!(control.in_force(), in_force, "{status}");
            }
        }
        control.set_status("ContentIndex", "Suspended").expect("a processor");
        assert_eq!(control.in_force().len(), 2);
        control.set_status("ContentIndex", "Processing").expect("a processor");
        assert_eq!(control.in_force(), [fault]);
    }
}
