//! Loaders for `async_graphql`'s `DataLoader`: one statement for all ids that one request asks for at a time.

use crate::error::QueryError;
use crate::queries::{FirstFew, Queries};
use crate::views::check_results::CheckResultView;
use crate::views::deployments::DeploymentView;
use crate::views::findings::FindingView;
use crate::views::runs::RunView;
use async_graphql::dataloader::Loader;
use domain::{DeploymentId, FindingId, RunId};
use std::collections::HashMap;
use std::sync::Arc;

/// Deployments by id.
pub struct DeploymentLoader(pub Queries);

impl Loader<DeploymentId> for DeploymentLoader {
    type Value = Arc<DeploymentView>;
    type Error = QueryError;

    async fn load(&self, ids: &[DeploymentId]) -> Result<HashMap<DeploymentId, Self::Value>, Self::Error> {
        self.0.deployments_by_ids(ids).await
    }
}

/// Runs by id.
pub struct RunLoader(pub Queries);

impl Loader<RunId> for RunLoader {
    type Value = Arc<RunView>;
    type Error = QueryError;

    async fn load(&self, ids: &[RunId]) -> Result<HashMap<RunId, Self::Value>, Self::Error> {
        self.0.runs_by_ids(ids).await
    }
}

/// Findings by id.
pub struct FindingLoader(pub Queries);

impl Loader<FindingId> for FindingLoader {
    type Value = Arc<FindingView>;
    type Error = QueryError;

    async fn load(&self, ids: &[FindingId]) -> Result<HashMap<FindingId, Self::Value>, Self::Error> {
        self.0.findings_by_ids(ids).await
    }
}

/// Whose rows, and how many of them: the key of the loaders below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FirstOf<Id> {
    /// Whose.
    pub id: Id,
    /// How many, 1 to [`crate::queries::EACH_MAX`].
    pub first: i64,
}

/// Groups keys by how many rows they ask for: in one request nearly always the same, so one statement.
macro_rules! first_of_loader {
    ($(#[$doc:meta])* $name:ident, $id:ty, $row:ty, $query:ident) => {
        $(#[$doc])*
        pub struct $name(pub Queries);

        impl Loader<FirstOf<$id>> for $name {
            type Value = Arc<FirstFew<$row>>;
            type Error = QueryError;

            async fn load(&self, keys: &[FirstOf<$id>]) -> Result<HashMap<FirstOf<$id>, Self::Value>, Self::Error> {
                let mut groups: HashMap<i64, Vec<$id>> = HashMap::new();
                for key in keys {
                    groups.entry(key.first).or_default().push(key.id);
                }
                let mut found = HashMap::with_capacity(keys.len());
                for (first, ids) in groups {
                    let lists = self.0.$query(&ids, first).await?;
                    found.extend(lists.into_iter().map(|(id, list)| (FirstOf { id, first }, Arc::new(list))));
                }
                Ok(found)
            }
        }
    };
}

first_of_loader!(
    /// The first results of runs, by check and component.
    ResultsByRunLoader, RunId, CheckResultView, results_of_runs
);
first_of_loader!(
    /// The first findings that runs saw, critical ones first.
    FindingsByRunLoader, RunId, FindingView, findings_of_runs
);
first_of_loader!(
    /// The first present findings of deployments, critical ones first.
    FindingsByDeploymentLoader, DeploymentId, FindingView, findings_of_deployments
);
