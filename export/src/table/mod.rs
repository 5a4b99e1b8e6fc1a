//! Findings, results and runs as CSV.

pub mod csv;

use crate::error::ExportError;
use crate::output::{Output, Surroundings};
use chrono::{DateTime, SecondsFormat, Utc};
use csv::{Cell, header, row};
use domain::{DeploymentId, RunId, TenantId};
use query_side::{CheckResultView, FindingFilter, FindingView, PageRequest, Queries, RunFilter, RunView};

/// So many rows are read at once.
const ROWS_AT_ONCE: i64 = 100;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Findings as they are now.
    Findings,
    /// What each check of each run gave.
    Results,
    /// Runs.
    Runs,
}

/// Which rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFilter {
    /// Of this deployment.
    pub deployment: Option<DeploymentId>,
    /// Results of this run only.
    pub run: Option<RunId>,
    /// Runs asked for, findings last seen, at or after.
    pub since: Option<DateTime<Utc>>,
    /// Runs asked for before.
    pub until: Option<DateTime<Utc>>,
}

/// Writes a table of a tenant. Returns how many rows it has beside the header.
pub async fn write(
    table: Table,
    queries: &Queries,
    tenant: &TenantId,
    filter: &TableFilter,
    output: &mut Output,
) -> Result<u64, ExportError> {
    output.surround(Surroundings::Csv);
    match table {
        Table::Findings => findings(queries, tenant, filter, output).await,
        Table::Results => results(queries, tenant, filter, output).await,
        Table::Runs => runs(queries, tenant, filter, output).await,
    }
}

async fn findings(
    queries: &Queries,
    tenant: &TenantId,
    filter: &TableFilter,
    output: &mut Output,
) -> Result<u64, ExportError> {
    let filter = FindingFilter {
        tenant: Some(tenant.to_string()),
        deployment: filter.deployment,
        since: filter.since,
        ..FindingFilter::default()
    };
    let mut gathered = header(FINDING);
    let (mut request, mut count) = (PageRequest::first(ROWS_AT_ONCE), 0);
    loop {
        let page = queries.findings(&filter, &request).await?;
        count += page.items.len() as u64;
        for finding in &page.items {
            row(&finding_cells(finding), &mut gathered);
        }
        output.take(&mut gathered).await?;
        match page.end_cursor.filter(|_| page.has_next) {
            Some(cursor) => request = PageRequest::after(ROWS_AT_ONCE, cursor),
            None => return Ok(count),
        }
    }
}

async fn runs(
    queries: &Queries,
    tenant: &TenantId,
    filter: &TableFilter,
    output: &mut Output,
) -> Result<u64, ExportError> {
    let mut gathered = header(RUN);
    let mut pages = Runs::of(tenant, filter);
    let mut count = 0;
    while let Some(page) = pages.next(queries).await? {
        count += page.len() as u64;
        for run in &page {
            row(&run_cells(run), &mut gathered);
        }
        output.take(&mut gathered).await?;
    }
    Ok(count)
}

async fn results(
    queries: &Queries,
    tenant: &TenantId,
    filter: &TableFilter,
    output: &mut Output,
) -> Result<u64, ExportError> {
    let mut gathered = header(RESULT);
    output.take(&mut gathered).await?;
    if let Some(id) = filter.run {
        let run = queries.run(id).await?.filter(|run| run.tenant == tenant.as_str());
        let run = run.ok_or(ExportError::NoSuchRun(id))?;
        return results_of(queries, run.id, output).await;
    }
    let mut count = 0;
    let mut pages = Runs::of(tenant, filter);
    while let Some(page) = pages.next(queries).await? {
        for run in page {
            count += results_of(queries, run.id, output).await?;
        }
    }
    Ok(count)
}

async fn results_of(queries: &Queries, run: RunId, output: &mut Output) -> Result<u64, ExportError> {
    let (mut gathered, mut count) = (Vec::new(), 0);
    let mut results = crate::report::Results::of(queries, run);
    while let Some(page) = results.next().await? {
        count += page.len() as u64;
        for result in &page {
            row(&result_cells(result), &mut gathered);
        }
        output.take(&mut gathered).await?;
    }
    Ok(count)
}

/// Runs, newest first, some at a time.
struct Runs {
    filter: RunFilter,
    request: Option<PageRequest>,
}

impl Runs {
    fn of(tenant: &TenantId, filter: &TableFilter) -> Self {
        let filter = RunFilter {
            tenant: Some(tenant.to_string()),
            deployment: filter.deployment,
            since: filter.since,
            until: filter.until,
            ..RunFilter::default()
        };
        Self { filter, request: Some(PageRequest::first(ROWS_AT_ONCE)) }
    }

    async fn next(&mut self, queries: &Queries) -> Result<Option<Vec<RunView>>, ExportError> {
        let Some(request) = self.request.take() else { return Ok(None) };
        let page = queries.runs(&self.filter, &request).await?;
        let next = page.end_cursor.filter(|_| page.has_next);
        self.request = next.map(|cursor| PageRequest::after(ROWS_AT_ONCE, cursor));
        Ok(Some(page.items))
    }
}

fn time(at: DateTime<Utc>) -> Cell<'static> {
    Cell::Plain(at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn maybe_time(at: Option<DateTime<Utc>>) -> Cell<'static> {
    at.map_or(Cell::Empty, time)
}

fn number(number: &impl ToString) -> Cell<'static> {
    Cell::Plain(number.to_string())
}

fn maybe(text: Option<&str>) -> Cell<'_> {
    text.map_or(Cell::Empty, Cell::Text)
}

const FINDING: &[&str] = &[
    "finding",
    "deployment",
    "check",
    "component",
    "resource",
    "status",
    "severity",
    "symptom",
    "cause",
    "impact",
    "advice",
    "first_seen_at",
    "last_seen_at",
    "opened_at",
    "resolved_at",
    "occurrences",
    "regressions",
    "flapping",
    "muted_until",
    "acknowledged_by",
    "last_run",
    "last_position",
];

fn finding_cells(finding: &FindingView) -> Vec<Cell<'_>> {
    vec![
        number(&finding.id),
        number(&finding.deployment_id),
        Cell::Text(&finding.check_code),
        Cell::Text(&finding.component),
        Cell::Text(&finding.resource),
        Cell::Text(finding.status.as_str()),
        Cell::Text(finding.severity.as_str()),
        Cell::Text(&finding.symptom),
        Cell::Text(&finding.cause),
        Cell::Text(&finding.impact),
        Cell::Text(&finding.advice),
        time(finding.first_seen_at),
        time(finding.last_seen_at),
        maybe_time(finding.opened_at),
        maybe_time(finding.resolved_at),
        number(&finding.occurrences),
        number(&finding.regressions),
        number(&finding.flapping),
        maybe_time(finding.muted_until),
        maybe(finding.acknowledged_by.as_deref()),
        number(&finding.last_run_id),
        number(&finding.last_position),
    ]
}

const RUN: &[&str] = &[
    "run",
    "deployment",
    "profile",
    "status",
    "outcome",
    "planned",
    "done",
    "ok",
    "warning",
    "critical",
    "unknown",
    "requested_by",
    "requested_at",
    "started_at",
    "ended_at",
    "reason",
    "last_position",
];

fn run_cells(run: &RunView) -> Vec<Cell<'_>> {
    vec![
        number(&run.id),
        number(&run.deployment_id),
        Cell::Text(&run.profile),
        Cell::Text(run.status.as_str()),
        maybe(run.outcome.map(domain::Outcome::as_str)),
        number(&run.planned),
        number(&run.done),
        number(&run.tally.ok),
        number(&run.tally.warning),
        number(&run.tally.critical),
        number(&run.tally.unknown),
        Cell::Text(&run.requested_by),
        time(run.requested_at),
        maybe_time(run.started_at),
        maybe_time(run.ended_at),
        maybe(run.reason.as_deref()),
        number(&run.last_position),
    ]
}

const RESULT: &[&str] = &[
    "run",
    "deployment",
    "check",
    "component",
    "check_version",
    "outcome",
    "summary",
    "unknown_cause",
    "problems",
    "problems_left_out",
    "measured_at",
    "duration_ms",
    "last_position",
];

fn result_cells(result: &CheckResultView) -> Vec<Cell<'_>> {
    vec![
        number(&result.run_id),
        number(&result.deployment_id),
        Cell::Text(&result.check_code),
        Cell::Text(&result.component),
        Cell::Text(&result.version),
        Cell::Text(result.outcome.as_str()),
        Cell::Text(&result.summary),
        maybe(result.unknown_cause.as_deref()),
        number(&result.observations.len()),
        number(&result.omitted),
        time(result.measured_at),
        number(&result.duration_ms),
        number(&result.last_position),
    ]
}
