//! What explains: stored evidence for `why`, and what-if questions over the log, the views and the evidence.

use api::what_if::{WhatIfAnswers, WhatIfProblem, WhatIfQuestion, WhatIfSteps};
use command_side::findings_known_up_to;
use domain::{CheckCode, DeploymentId, EvidenceHash, FindingId, Position, TenantId};
use engine::evidence::EvidenceStore;
use engine::what_if::{Changes, Progress, Question, RunAsked, WhatIf, WhatIfError, WhatIfSource};
use futures::future::{BoxFuture, FutureExt};
use query_side::{EvidenceReader, FindingFilter, PageRequest, Queries, RunFilter};
use std::sync::Arc;
use tokio::sync::watch;

/// The most findings of a deployment that a question begins with.
const FINDINGS_MAX: usize = 50_000;

/// Reads the engine's evidence for the queries.
pub struct StoredEvidence(pub EvidenceStore);

impl EvidenceReader for StoredEvidence {
    fn read<'a>(&'a self, hash: &'a EvidenceHash) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>> {
        async move {
            let found = self.0.get(hash).await.map_err(|error| error.to_string())?;
            Ok(found.map(|stored| stored.bytes))
        }
        .boxed()
    }
}

/// Which runs and findings a tenant has, from the views.
pub struct FromViews {
    queries: Queries,
    tenant: TenantId,
}

impl WhatIfSource for FromViews {
    fn runs<'a>(
        &'a self,
        question: &'a Question,
        after: Option<RunAsked>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RunAsked>, String>> {
        async move {
            let filter = RunFilter {
                tenant: Some(self.tenant.to_string()),
                deployment: Some(question.deployment),
                since: question.since,
                until: question.until,
                ..RunFilter::default()
            };
            let after = after.map(|asked| (asked.at, asked.run));
            let found = self.queries.runs_oldest_first(&filter, after, limit.max(1) as i64).await;
            let found = found.map_err(|error| error.to_string())?;
            Ok(found.into_iter().map(|run| RunAsked { run: run.id, at: run.requested_at }).collect())
        }
        .boxed()
    }

    fn findings<'a>(
        &'a self,
        deployment: DeploymentId,
        check: Option<&'a CheckCode>,
    ) -> BoxFuture<'a, Result<Vec<FindingId>, String>> {
        async move {
            let filter = FindingFilter {
                tenant: Some(self.tenant.to_string()),
                deployment: Some(deployment),
                check: check.map(ToString::to_string),
                ..FindingFilter::default()
            };
            let mut all = Vec::new();
            let mut request = PageRequest::first(PageRequest::MAX);
            loop {
                let page = self.queries.findings(&filter, &request).await.map_err(|error| error.to_string())?;
                all.extend(page.items.iter().map(|finding| finding.id));
                match page.end_cursor.filter(|_| page.has_next) {
                    None => return Ok(all),
                    Some(_) if all.len() > FINDINGS_MAX => {
                        return Err(format!("the deployment has more than {FINDINGS_MAX} such findings"));
                    }
                    Some(cursor) => request = PageRequest::after(PageRequest::MAX, cursor),
                }
            }
        }
        .boxed()
    }

    fn answered_up_to(&self) -> BoxFuture<'_, Result<Position, String>> {
        async move { findings_known_up_to(self.queries.pool()).await.map_err(|error| error.to_string()) }.boxed()
    }
}

/// What-if questions of a tenant's.
#[derive(Clone)]
pub struct WhatIfs(WhatIf);

impl WhatIfs {
    /// Over the parts of a platform.
    pub fn new(platform: &super::Platform, queries: Queries) -> Self {
        let source = FromViews { queries, tenant: platform.tenant.clone() };
        let evidence = EvidenceStore::new(platform.pool.clone());
        Self(WhatIf::new(Arc::clone(&platform.log), evidence, Arc::new(source)))
    }

    /// The engine's own answers.
    pub fn engine(&self) -> &WhatIf {
        &self.0
    }
}

impl WhatIfAnswers for WhatIfs {
    fn ask(
        &self,
        question: WhatIfQuestion,
        steps: watch::Sender<WhatIfSteps>,
    ) -> BoxFuture<'_, Result<serde_json::Value, WhatIfProblem>> {
        async move {
            let wrong = |error: &dyn std::fmt::Display| WhatIfProblem::Wrong(error.to_string());
            let mut changes = Changes::default();
            for (number, text) in question.check_files.iter().enumerate() {
                let name = format!("checkFiles[{number}]");
                changes.add_check_file("what-if", &name, text).map_err(|error| wrong(&error))?;
            }
            for text in &question.thresholds {
                let change = text.parse().map_err(|error| wrong(&error))?;
                changes.add_threshold(change).map_err(|error| wrong(&error))?;
            }
            let asked = Question {
                deployment: question.deployment,
                since: question.since,
                until: question.until,
                changes,
                runs_max: question.runs_max,
            };
            let mut told = |now: Progress| {
                steps.send_replace(WhatIfSteps { runs: now.runs, results: now.results, at: Some(now.at) });
            };
            match self.0.ask(&asked, &mut told).await {
                Ok(report) => {
                    serde_json::to_value(report).map_err(|error| WhatIfProblem::Unavailable(error.to_string()))
                }
                Err(WhatIfError::Findings(why)) => Err(WhatIfProblem::Wrong(why)),
                Err(other) => Err(WhatIfProblem::Unavailable(other.to_string())),
            }
        }
        .boxed()
    }
}
