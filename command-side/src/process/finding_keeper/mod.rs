//! Turns results into findings: each problem observed, and each unresolved finding that a measurement no longer shows.
//!
//! It remembers which findings may be unresolved, by what a check must measure to see them gone. A finding enters with
//! the observation, before the command is sent, and leaves only when the aggregate says that it is gone: so the memory
//! may hold too much (a command that changes nothing), never too little. It is saved with the checkpoint; what is
//! answered again after a crash is answered from the same memory with the same command ids.

mod observe;
mod open_findings;

use super::catalog::CheckCatalog;
use super::runner::{Process, ProcessError};
use super::{Cause, system_actor};
use crate::bus::CommandBus;
use crate::error::CommandError;
use domain::any_event::{DIAGNOSTIC_RUN, FINDING};
use domain::diagnostic_run::RunEvent;
use domain::finding::{Finding, FindingState};
use domain::{Actor, AnyEvent, FindingId};
use event_store::RecordedEvent;
use observe::{Batch, Observe};
use open_findings::OpenFindings;
use sqlx::PgConnection;
use std::sync::Arc;
use uuid::Uuid;

/// Keeps findings.
pub(crate) struct FindingKeeper {
    hands: Arc<Hands>,
    open: OpenFindings,
}

pub(crate) struct Hands {
    bus: CommandBus,
    catalog: Arc<dyn CheckCatalog>,
    actor: Actor,
}

/// What the finding is after an observation; `None` where that is not known.
pub(crate) struct Observed {
    finding: FindingId,
    state: Option<Arc<FindingState>>,
}

impl FindingKeeper {
    pub fn new(bus: CommandBus, catalog: Arc<dyn CheckCatalog>) -> Self {
        let hands = Arc::new(Hands { bus, catalog, actor: system_actor("system:finding-keeper") });
        Self { hands, open: OpenFindings::default() }
    }
}

impl Process for FindingKeeper {
    const NAME: &'static str = "finding-keeper";
    type Work = Observe;
    type Done = Observed;
    type Hands = Hands;

    fn hands(&self) -> Arc<Hands> {
        Arc::clone(&self.hands)
    }

    fn react(&mut self, event: &RecordedEvent) -> Result<Vec<Observe>, ProcessError> {
        match (&*event.stream.aggregate_type, event.event_type.as_str()) {
            (DIAGNOSTIC_RUN, "ChecksCompleted") => {
                let decoded =
                    event.decode().map_err(|source| ProcessError::Unreadable { position: event.position, source })?;
                let (AnyEvent::Run(RunEvent::ChecksCompleted { deployment, results, .. }), Ok(run)) =
                    (decoded, event.stream.aggregate_id.parse())
                else {
                    return Ok(Vec::new());
                };
                let batch = Batch { event, run, deployment };
                Ok(batch.observe(&results, &mut self.open, self.hands.catalog.as_ref()))
            }
            (FINDING, "FindingMarkedFalsePositive" | "FindingFalsePositiveWithdrawn") => {
                if let Ok(finding) = event.stream.aggregate_id.parse() {
                    self.open.pause(finding, event.event_type == "FindingMarkedFalsePositive");
                }
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn lane(work: &Observe) -> Uuid {
        work.finding.0
    }

    fn cause(work: &Observe) -> &Cause {
        &work.cause
    }

    async fn perform(hands: &Hands, work: &Observe) -> Result<Observed, CommandError> {
        let metadata = work.cause.metadata(&hands.actor, &work.purpose);
        let state = match hands.bus.settle::<Finding>(work.finding.0, work.command(), metadata).await {
            Ok(settled) => (!settled.executed.repeated).then_some(settled.state),
            // The first answer came from other packs, before a restart: it counts.
            Err(CommandError::CommandReused) => None,
            // Results are checked when they are recorded: this is a defect, it is on record, and the others go on.
            Err(CommandError::Refused { code, message }) => {
                tracing::error!(finding = %work.finding, code, message, "an observation was refused");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Observed { finding: work.finding, state })
    }

    fn settle(&mut self, done: Observed) {
        match done.state {
            Some(state) if !state.is_unresolved() => self.open.remove(done.finding),
            Some(state) => self.open.pause(done.finding, state.false_positive),
            None => {}
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.open = OpenFindings::load(connection).await?;
        Ok(())
    }

    async fn save(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.open.save(connection).await
    }
}
