//! Reports: one run as SARIF ([`sarif`]), JUnit ([`junit`]) or a page to print ([`run_page`]); a period as a page to
//! print ([`period_page`]).
//!
//! What was not measured is never shown as good: an unknown, and a check that was planned and has no result, is `open`
//! in SARIF, an error in JUnit, and has a section of its own on the pages.

pub mod baseline;
pub(crate) mod html;
pub mod junit;
pub mod period;
pub mod period_page;
pub mod run_page;
pub mod sarif;
pub(crate) mod xml;

use crate::error::ExportError;
use crate::output::{Output, Surroundings};
use chrono::{DateTime, Utc};
use domain::any_event::{AnyEvent, DIAGNOSTIC_RUN, DecodeError};
use domain::diagnostic_run::{CheckKey, RunEvent};
use domain::{Outcome, RunId, StreamVersion, TenantId};
use event_store::{LogError, RecordedEvent, StreamId};
use query_side::{CheckResultView, Cursor, DeploymentView, PageRequest, Queries, RunStatus, RunView};
use std::collections::BTreeSet;
use std::sync::Arc;

/// So many results are held at once; each may have a hundred problems.
const RESULTS_AT_ONCE: i64 = 50;
/// A run's plan is among its first events.
const FIRST_EVENTS: usize = 4;

/// What the packs say of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its code.
    pub code: String,
    /// Its title.
    pub title: String,
    /// The version of its definition in force.
    pub version: String,
    /// Its pack.
    pub pack: String,
    /// The kind of component that it looks at.
    pub component: String,
    /// Its page, in Markdown; the title where it has none.
    pub page: String,
}

/// The form of a run's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunForm {
    /// SARIF 2.1.0.
    Sarif,
    /// JUnit XML.
    Junit,
    /// A page to print.
    Html,
}

/// What a report of a run is made with.
pub struct RunReport<'a> {
    /// Where the facts are.
    pub queries: &'a Queries,
    /// For whom.
    pub tenant: &'a TenantId,
    /// The checks of the packs in force, by code.
    pub rules: &'a [Rule],
    /// When the report is made.
    pub now: DateTime<Utc>,
    /// What seals the log, where it is sealed.
    pub proof: Option<crate::log::proof::Proof>,
}

impl RunReport<'_> {
    /// Writes a run's report. `base`: the run that SARIF's `baselineState` compares with.
    pub async fn write(
        &self,
        form: RunForm,
        run: RunId,
        base: Option<RunId>,
        output: &mut Output,
    ) -> Result<(), ExportError> {
        let facts = self.facts(run).await?;
        output.surround(if form == RunForm::Sarif { Surroundings::Json } else { Surroundings::Markup });
        match form {
            RunForm::Sarif => {
                let base = match base {
                    Some(base) => Some(self.facts(base).await?),
                    None => None,
                };
                sarif::write(self, &facts, base.as_ref(), output).await
            }
            RunForm::Junit => junit::write(self, &facts, output).await,
            RunForm::Html => run_page::write(self, &facts, output).await,
        }
    }

    async fn facts(&self, id: RunId) -> Result<RunFacts, ExportError> {
        let run = self.queries.run(id).await?;
        let run = run.filter(|run| run.tenant == self.tenant.as_str()).ok_or(ExportError::NoSuchRun(id))?;
        if !run.status.has_ended() {
            return Err(ExportError::NotEnded(id));
        }
        let deployment = self.queries.deployment(run.deployment_id).await?.ok_or(ExportError::NoSuchRun(id))?;
        let stream = StreamId::new(DIAGNOSTIC_RUN, &id.to_string());
        let events = self.queries.stream_history(stream, StreamVersion(0), FIRST_EVENTS).await?;
        let first_position = events.first().map_or(run.last_position, |event| event.position.0);
        let mut planned = Vec::new();
        for event in events.iter().flat_map(RecordedEvent::parts) {
            let (position, damaged) = (event.position, |error: DecodeError| error.to_string());
            let decoded = event.decode().map_err(|error| LogError::Damaged { position, reason: damaged(error) })?;
            if let AnyEvent::Run(RunEvent::RunPlanned { checks, .. }) = decoded {
                planned = checks.into_iter().map(|check| check.key).collect();
            }
        }
        Ok(RunFacts { run, deployment, planned, first_position })
    }

    fn rule(&self, code: &str) -> Option<(usize, &Rule)> {
        let found = self.rules.binary_search_by(|rule| rule.code.as_str().cmp(code)).ok()?;
        Some((found, &self.rules[found]))
    }

    fn title<'s>(&'s self, code: &'s str) -> &'s str {
        self.rule(code).map_or(code, |(_, rule)| rule.title.as_str())
    }
}

/// What is known of a run beside its results.
#[derive(Debug, Clone)]
pub(crate) struct RunFacts {
    pub(crate) run: Arc<RunView>,
    pub(crate) deployment: Arc<DeploymentView>,
    pub(crate) planned: Vec<CheckKey>,
    pub(crate) first_position: i64,
}

impl RunFacts {
    /// The deployment's name, which says so where it is a double.
    pub(crate) fn deployment_name(&self) -> String {
        let double = if self.deployment.is_double { " (a double, no real deployment)" } else { "" };
        format!("{}{double}", self.deployment.name)
    }

    /// How many checks were planned and have no result.
    pub(crate) fn without_result(&self) -> i32 {
        (self.run.planned - self.run.done).max(0)
    }

    /// Whether every planned check was measured, and there was one: a run of nothing passes nothing.
    pub(crate) fn is_whole(&self) -> bool {
        let run = &self.run;
        run.status == RunStatus::Completed && run.planned > 0 && run.tally.unknown == 0 && self.without_result() == 0
    }

    /// The verdict, or how the run ended where it has none.
    pub(crate) fn verdict(&self) -> &'static str {
        self.run.outcome.map_or(self.run.status.as_str(), Outcome::as_str)
    }

    /// The planned checks, from which those are crossed out that have a result.
    pub(crate) fn to_cross_out(&self) -> CrossOut {
        CrossOut(self.planned.iter().map(|key| (key.check.to_string(), key.component.to_string())).collect())
    }
}

/// Checks that have no result yet.
pub(crate) struct CrossOut(BTreeSet<(String, String)>);

impl CrossOut {
    pub(crate) fn has_result(&mut self, result: &CheckResultView) {
        self.0.remove(&(result.check_code.clone(), result.component.clone()));
    }

    /// Check and component of each that was planned and has no result.
    pub(crate) fn left(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter()
    }
}

/// The results of a run, some at a time.
pub(crate) struct Results<'a> {
    queries: &'a Queries,
    run: RunId,
    outcomes: &'a [Outcome],
    after: Option<Cursor>,
    ended: bool,
}

impl<'a> Results<'a> {
    pub(crate) fn of(queries: &'a Queries, run: RunId) -> Self {
        Self::with(queries, run, &[])
    }

    pub(crate) fn with(queries: &'a Queries, run: RunId, outcomes: &'a [Outcome]) -> Self {
        Self { queries, run, outcomes, after: None, ended: false }
    }

    /// The next ones; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<CheckResultView>>, ExportError> {
        if self.ended {
            return Ok(None);
        }
        let request = PageRequest { first: RESULTS_AT_ONCE, after: self.after.take() };
        let page = self.queries.check_results(self.run, self.outcomes, &request).await?;
        self.ended = !page.has_next;
        self.after = page.end_cursor;
        Ok(Some(page.items))
    }
}
