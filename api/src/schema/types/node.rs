//! Relay's `Node`: whatever has a global id.

use super::{Deployment, Finding, Remediation, Run};
use async_graphql::{ID, Interface};

/// Whatever has a global id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Its global id."))]
pub enum Node {
    /// A deployment.
    Deployment(Deployment),
    /// A run.
    Run(Run),
    /// A finding.
    Finding(Finding),
    /// A remediation.
    Remediation(Remediation),
}
