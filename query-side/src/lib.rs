//! Reading: typed queries over the views, their caches, and waiting for a view to have come as far as a position.
//!
//! Nothing here writes a view (projections do) and nothing reads more than a bound: every list is a page, every wait
//! has a limit, every statement a timeout. Lists are read by keyset, so a page costs the same wherever it starts.
//!
//! Read in this order: [`queries`], [`views`] (one file per view: its row, its filter, its SQL), [`page`], [`wait`],
//! [`cache`], [`loaders`].

mod basis;
pub mod cache;
pub mod comparison;
pub mod error;
pub mod loaders;
pub mod page;
pub mod past;
pub mod queries;
pub mod views;
pub mod wait;
pub mod why;

#[cfg(test)]
mod plans;

pub use cache::answers::{AnswerFigures, Answers, AnswersOptions, Entered, Question};
pub use cache::reads::{Basis, Reads};
pub use cache::{Cache, CacheFigures, CacheOptions, Topic};
pub use comparison::{BaselineState, Between, Change, ChangedCheck, ComparedProblem, Comparison};
pub use error::QueryError;
pub use loaders::{
    DeploymentLoader, FindingLoader, FindingsByDeploymentLoader, FindingsByRunLoader, FirstOf, ResultsByRunLoader,
    RunLoader,
};
pub use page::{Count, Cursor, Keyset, Page, PageRequest};
pub use past::{AsOf, Moment};
pub use queries::{FirstFew, ProjectionPosition, Queries, query_pool};
pub use views::check_results::{CheckResultFilter, CheckResultView};
pub use views::daily_figures::{DailyFigure, DailyFigureFilter};
pub use views::deployments::{DeploymentFilter, DeploymentView, ThresholdOverride};
pub use views::finding_history::FindingHistoryEntry;
pub use views::findings::{FindingFilter, FindingStatus, FindingView};
pub use views::policies::{EmergencyStopView, PolicyView, StatisticView};
pub use views::remediations::{RemediationFilter, RemediationView};
pub use views::runs::{RunFilter, RunStatus, RunView};
pub use wait::{Behind, Watches};
pub use why::{EvidenceReader, FindingOrigin, Why, WhyBounds, WhyEdge, WhyEdgeKind, WhyNode, WhyNodeKind, WhySubject};
