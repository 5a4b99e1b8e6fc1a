//! What the lists rest on.

use crate::cache::Topic;
use crate::queries::FirstFew;
use crate::views::findings::{FindingFilter, FindingView};
use crate::views::runs::RunFilter;

/// A list of runs.
pub(crate) fn of_runs(filter: &RunFilter) -> Topic {
    filter.deployment.map_or(Topic::Runs, |deployment| Topic::RunsOf(deployment.0))
}

/// A list of findings; nothing that can be told where it is the clock that decides who is in it.
pub(crate) fn of_findings(filter: &FindingFilter) -> Option<Topic> {
    if filter.muted.is_some() {
        return None;
    }
    Some(filter.deployment.map_or(Topic::Findings, |deployment| Topic::FindingsOf(deployment.0)))
}

/// The first findings that a run saw, beside which ones it saw: those that are listed; where there are more, any of
/// these may come to be listed.
pub(crate) fn of_seen(few: &FirstFew<FindingView>) -> Vec<Topic> {
    match few.items.first() {
        Some(one) if few.has_more => vec![Topic::FindingsOf(one.deployment_id.0)],
        _ => few.items.iter().map(|finding| Topic::Finding(finding.id.0)).collect(),
    }
}
