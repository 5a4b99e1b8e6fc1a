//! Why: who asked for what, what was decided, what happened, and what followed, as a graph.
//!
//! A request sends a command; a command decides events (or is refused, with the reason); an event is answered by
//! further commands. [`walk`] goes from what is asked about to its causes, up to whoever asked, and to its
//! consequences, down to a depth and a number that the caller bounds; [`graph`] makes nodes and edges of it. [`origin`]
//! answers in one call where a finding comes from: the run, who asked for it, the check and its pack in their versions,
//! the thresholds in force, and the measurement itself.
//!
//! Whatever belongs to another tenant is not there.

mod commands;
mod graph;
mod origin;
#[cfg(test)]
mod plans;
mod walk;

pub use commands::CommandView;
pub use graph::{Why, WhyEdge, WhyEdgeKind, WhyNode, WhyNodeKind};
pub use origin::{FindingOrigin, FollowedRemediation};

use crate::error::QueryError;
use crate::page::bounded;
use crate::queries::Queries;
use domain::any_event::{DIAGNOSTIC_RUN, FINDING, REMEDIATION};
use domain::{CommandId, EvidenceHash, FindingId, RemediationId, RunId, TenantId};
use futures::future::BoxFuture;
use uuid::Uuid;
use walk::Walk;

/// The most nodes of one answer.
pub const NODES_MAX: i64 = 1_000;
/// The furthest from what is asked about: events that answer each other count one each.
pub const DEPTH_MAX: i64 = 32;

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhySubject {
    /// A finding: where it comes from and what followed.
    Finding(FindingId),
    /// A run.
    Run(RunId),
    /// A remediation.
    Remediation(RemediationId),
    /// An event, by its id.
    Event(Uuid),
    /// A command, also one that was refused.
    Command(CommandId),
    /// Whatever has this id: a finding, a run, a remediation, a command or an event.
    Any(Uuid),
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WhyBounds {
    /// How far, 1 to [`DEPTH_MAX`].
    pub depth: i64,
    /// How many nodes, 1 to [`NODES_MAX`].
    pub nodes: i64,
}

impl Default for WhyBounds {
    fn default() -> Self {
        Self { depth: 8, nodes: 200 }
    }
}

/// Reads pieces of evidence by their hash. The engine has them.
pub trait EvidenceReader: Send + Sync + 'static {
    /// The bytes, checked against their hash; `None` where they are not there. The error is in words.
    fn read<'a>(&'a self, hash: &'a EvidenceHash) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>>;
}

impl Queries {
    /// Why something is there, and what followed from it; `None` where the tenant has no such thing.
    pub async fn why(
        &self,
        tenant: &TenantId,
        subject: WhySubject,
        bounds: WhyBounds,
    ) -> Result<Option<Why>, QueryError> {
        bounded("depth", bounds.depth, DEPTH_MAX)?;
        bounded("nodes", bounds.nodes, NODES_MAX)?;
        self.note(None);
        let mut walk = Walk::new(self, tenant, bounds)?;
        let stream = |kind: &'static str, id: Uuid| (kind, id);
        let found = match subject {
            WhySubject::Finding(id) => walk.begin_at_streams(&[stream(FINDING, id.0)]).await?,
            WhySubject::Run(id) => walk.begin_at_streams(&[stream(DIAGNOSTIC_RUN, id.0)]).await?,
            WhySubject::Remediation(id) => walk.begin_at_streams(&[stream(REMEDIATION, id.0)]).await?,
            WhySubject::Event(id) => walk.begin_at_event(id).await?,
            WhySubject::Command(id) => walk.begin_at_command(id.0).await?,
            WhySubject::Any(id) => {
                let streams = [FINDING, DIAGNOSTIC_RUN, REMEDIATION].map(|kind| stream(kind, id));
                walk.begin_at_streams(&streams).await?
                    || walk.begin_at_command(id).await?
                    || walk.begin_at_event(id).await?
            }
        };
        if !found {
            return Ok(None);
        }
        walk.walk_to_the_causes().await?;
        walk.walk_to_the_consequences().await?;
        let origin = match walk.finding() {
            Some(finding) => self.finding_origin(tenant, finding).await?,
            None => None,
        };
        walk.into_graph(origin).await.map(Some)
    }
}
