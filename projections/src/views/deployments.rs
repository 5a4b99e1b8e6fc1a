//! `view_deployments`: what is under care, and how it is.

use super::{ROWS_REMEMBERED, begun};
use crate::decoded::Decoded;
use crate::json::rows_of;
use crate::projection::{ApplyError, Pending, Projection, TableRows};
use crate::rows::Rows;
use crate::table::Table as _;
use domain::any_event::{AnyEvent, DEPLOYMENT, DIAGNOSTIC_RUN, FINDING};
use domain::diagnostic_run::RunEvent;
use domain::finding::FindingEvent;
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

mod deployment_row;
mod finding_row;

use deployment_row::{DeploymentRow, DeploymentTable};
use finding_row::{FindingRow, FindingTable};

const VERSION: i32 = 1;

/// The projection.
pub struct Deployments {
    deployments: Rows<DeploymentTable>,
    findings: Rows<FindingTable>,
}

impl Default for Deployments {
    fn default() -> Self {
        Self { deployments: Rows::new(ROWS_REMEMBERED / 20), findings: Rows::new(ROWS_REMEMBERED) }
    }
}

impl Projection for Deployments {
    fn name(&self) -> &'static str {
        "deployments"
    }

    fn version(&self) -> i32 {
        VERSION
    }

    fn tables(&self) -> &'static [&'static str] {
        &["view_deployments", "view_deployment_findings"]
    }

    fn wants(&self) -> fn(&RecordedEvent) -> bool {
        wants
    }

    fn passes_over(&self) -> &'static [&'static str] {
        &PASSED_OVER
    }

    fn fold<'a>(
        &'a mut self,
        events: &'a [Arc<Decoded>],
        db: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            let findings = events.iter().filter(|event| matches!(event.event, Some(AnyEvent::Finding(_))));
            let begun = begun(events);
            self.findings.fetch(db, findings.map(|event| event.id), &begun).await?;
            let touched: HashSet<Uuid> = events.iter().filter_map(|event| self.deployment_of(event)).collect();
            self.deployments.fetch(db, touched.into_iter(), &begun).await?;
            self.fold_known(events)
        })
    }

    fn fold_known(&mut self, events: &[Arc<Decoded>]) -> Result<(), ApplyError> {
        events.iter().try_for_each(|event| self.fold_one(event))
    }

    fn rows(&self) -> Vec<TableRows> {
        let deployments = rows_of(DeploymentTable::NAME, self.deployments.known());
        vec![deployments, rows_of(FindingTable::NAME, self.findings.known())]
    }

    fn pending(&self) -> Pending {
        self.deployments.pending() + self.findings.pending()
    }

    fn write<'a>(&'a mut self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            self.findings.write(db).await?;
            self.deployments.write(db).await
        })
    }

    fn forget(&mut self) {
        self.deployments.forget();
        self.findings.forget();
    }
}

/// Of findings, what changes no deployment's health: most of what happens to them. Of runs, what comes before their
/// end.
const PASSED_OVER: [&str; 10] = [
    "FindingSeenAgain",
    "FindingRecovering",
    "FindingAcknowledged",
    "FindingFlappingStarted",
    "FindingFlappingStopped",
    "RunRequested",
    "RunPlanned",
    "RunStarted",
    "ChecksCompleted",
    "RunCancelled",
];

/// Of runs and findings only what a deployment's health depends on.
fn wants(event: &RecordedEvent) -> bool {
    match &*event.stream.aggregate_type {
        DEPLOYMENT => true,
        DIAGNOSTIC_RUN => matches!(&*event.event_type, "RunCompleted" | "RunTimedOut" | "RunFailed"),
        FINDING => !PASSED_OVER.contains(&&*event.event_type),
        _ => false,
    }
}

impl Deployments {
    fn deployment_of(&self, event: &Decoded) -> Option<Uuid> {
        match event.event.as_ref()? {
            AnyEvent::Deployment(_) => Some(event.id),
            AnyEvent::Run(
                RunEvent::RunCompleted { deployment, .. }
                | RunEvent::RunTimedOut { deployment, .. }
                | RunEvent::RunFailed { deployment, .. },
            ) => Some(deployment.0),
            AnyEvent::Finding(
                FindingEvent::FindingSuspected { fingerprint, .. } | FindingEvent::FindingOpened { fingerprint, .. },
            ) => Some(fingerprint.deployment.0),
            AnyEvent::Finding(_) => self.findings.get(event.id).map(|finding| finding.deployment_id),
            // What puts a finding right shows in its own views; the deployment's health follows the findings.
            AnyEvent::Run(_)
            | AnyEvent::Remediation(_)
            | AnyEvent::Policy(_)
            | AnyEvent::EmergencyStop(_)
            | AnyEvent::AuditKeys(_)
            | AnyEvent::ProjectionControl(_)
            | AnyEvent::Subject(_) => None,
        }
    }

    fn fold_one(&mut self, event: &Decoded) -> Result<(), ApplyError> {
        match event.whole()? {
            AnyEvent::Deployment(deployment) => {
                deployment_row::fold(self.deployments.change(event.id), deployment, event)
            }
            AnyEvent::Run(run) => {
                self.of_deployment(event, |row| row.run_ended(event.id, run));
                Ok(())
            }
            AnyEvent::Finding(finding) => self.fold_finding(finding, event),
            AnyEvent::Remediation(_)
            | AnyEvent::Policy(_)
            | AnyEvent::EmergencyStop(_)
            | AnyEvent::AuditKeys(_)
            | AnyEvent::ProjectionControl(_)
            | AnyEvent::Subject(_) => Ok(()),
        }
    }

    fn fold_finding(&mut self, finding: &FindingEvent, event: &Decoded) -> Result<(), ApplyError> {
        let before = self.findings.get(event.id).and_then(FindingRow::counts_as);
        let row = self.findings.change(event.id);
        finding_row::fold(row, finding, event)?;
        let after = row.as_ref().and_then(FindingRow::counts_as);
        if before != after {
            self.of_deployment(event, |row| row.recount(before, after));
        }
        Ok(())
    }

    /// Changes the row of the event's deployment. There may be none: a run can be asked for of a deployment that was
    /// never registered, and fails.
    fn of_deployment(&mut self, event: &Decoded, change: impl FnOnce(&mut DeploymentRow)) {
        let Some(id) = self.deployment_of(event).filter(|id| self.deployments.get(*id).is_some()) else { return };
        if let Some(row) = self.deployments.change(id) {
            change(row);
            row.touch(event);
        }
    }
}

#[cfg(test)]
mod tests;
