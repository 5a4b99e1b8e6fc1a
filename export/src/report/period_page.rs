//! A period as a page to print: for auditors.

use super::html::{Html, moment};
use super::period::{Lines, Period, PeriodFacts};
use super::run_page::sealed;
use crate::error::ExportError;
use crate::log::proof::Proof;
use crate::output::{Output, Surroundings};
use crate::{TOOL, TOOL_VERSION};
use chrono::{DateTime, Utc};
use domain::TenantId;
use query_side::{PageRequest, Queries, RunFilter, RunView};
use std::collections::BTreeMap;

/// So many runs are read at once.
const RUNS_AT_ONCE: i64 = 200;

/// What the page is made with.
pub struct PeriodReport<'a> {
    /// Where runs are.
    pub queries: &'a Queries,
    /// Whose.
    pub tenant: &'a TenantId,
    /// Which period.
    pub period: Period,
    /// What happened in it.
    pub facts: &'a PeriodFacts,
    /// What seals the log, where it is sealed.
    pub proof: Option<&'a Proof>,
    /// When the page is made.
    pub now: DateTime<Utc>,
}

impl PeriodReport<'_> {
    /// Writes the page.
    pub async fn write(&self, output: &mut Output) -> Result<(), ExportError> {
        let Period { since, until } = self.period;
        output.surround(Surroundings::Markup);
        let mut html = Html::begin(&format!("Audit of {} to {}", moment(since), moment(until)));
        self.head(&mut html);
        self.totals(&mut html);
        output.take(&mut html.take()).await?;
        self.runs(&mut html, output).await?;
        let facts = self.facts;
        let sections = [
            ("Actions: asked for, approved, done, taken back", &facts.actions, "No remediation was touched."),
            ("Emergency stops", &facts.stops, "The emergency stop was neither engaged nor released."),
            ("Refused commands", &facts.refused, "No command was refused."),
            ("Findings", &facts.findings, "No finding opened, changed or was resolved."),
            ("Changes of deployments, thresholds and policies", &facts.changes, "None."),
        ];
        for (title, lines, none) in sections {
            html.heading(title);
            list(lines, none, &mut html);
            output.take(&mut html.take()).await?;
        }
        html.end();
        output.take(&mut html.take()).await
    }

    fn head(&self, html: &mut Html) {
        let facts = self.facts;
        let positions = match (facts.first_position, facts.last_position) {
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => "none: nothing was recorded in this period".to_owned(),
        };
        html.facts([
            ("Tenant", self.tenant.to_string()),
            ("From", moment(self.period.since)),
            ("Until before", moment(self.period.until)),
            ("Positions in the log", positions),
            ("Sealed by", sealed(self.proof, facts.last_position.unwrap_or(0))),
            ("Printed", format!("{} by {TOOL} {TOOL_VERSION}", moment(self.now))),
        ]);
        html.paragraph(
            "All of it is read from the event log, in which nothing can be changed or deleted. Times are those at which \
             the log recorded. Refused commands are kept in the command log beside it.",
        );
    }

    fn totals(&self, html: &mut Html) {
        html.heading("Events by type").table(&["aggregate", "event", "how many"]);
        for ((aggregate, event), count) in &self.facts.events {
            html.row(&[aggregate, event, count]);
        }
        let all: u64 = self.facts.events.values().sum();
        html.row(&[&"all", &"", &all]).end_table();
    }

    async fn runs(&self, html: &mut Html, output: &mut Output) -> Result<(), ExportError> {
        html.heading("Runs");
        html.table(&[
            "run",
            "deployment",
            "profile",
            "asked for by",
            "asked for",
            "status",
            "verdict",
            "ok / warning / \
            critical / unknown",
        ]);
        let filter = RunFilter {
            tenant: Some(self.tenant.to_string()),
            since: Some(self.period.since),
            until: Some(self.period.until),
            ..RunFilter::default()
        };
        let (mut request, mut totals, mut count) = (PageRequest::first(RUNS_AT_ONCE), BTreeMap::new(), 0_u64);
        loop {
            let page = self.queries.runs(&filter, &request).await?;
            let ids: Vec<_> = page.items.iter().map(|run| run.deployment_id).collect();
            let deployments = self.queries.deployments_by_ids(&ids).await?;
            for run in &page.items {
                let deployment = deployments.get(&run.deployment_id);
                run_row(run, deployment.map_or("unknown", |found| found.name.as_str()), html);
                *totals.entry(run.outcome.map_or(run.status.as_str(), |outcome| outcome.as_str())).or_insert(0_u64) +=
                    1;
                count += 1;
            }
            output.take(&mut html.take()).await?;
            match page.end_cursor.filter(|_| page.has_next) {
                Some(cursor) => request = PageRequest::after(RUNS_AT_ONCE, cursor),
                None => break,
            }
        }
        html.end_table();
        let by_verdict: Vec<String> = totals.iter().map(|(verdict, runs)| format!("{verdict}: {runs}")).collect();
        html.paragraph(format!("{count} runs were asked for in this period. {}", by_verdict.join(", ")));
        Ok(())
    }
}

fn run_row(run: &RunView, deployment: &str, html: &mut Html) {
    let tally = &run.tally;
    html.row(&[
        &run.id,
        &deployment,
        &run.profile,
        &run.requested_by,
        &moment(run.requested_at),
        &run.status.as_str(),
        &run.outcome.map_or("none", |outcome| outcome.as_str()),
        &format!("{} / {} / {} / {}", tally.ok, tally.warning, tally.critical, tally.unknown),
    ]);
}

fn list(lines: &Lines, none: &'static str, html: &mut Html) {
    if lines.lines.is_empty() {
        html.paragraph(none);
        return;
    }
    html.table(&["position", "when", "what", "to what", "by whom", "in words"]);
    for line in &lines.lines {
        let position = line.position.map_or("-".to_owned(), |position| position.to_string());
        html.row(&[&position, &moment(line.at), &line.what, &line.to, &line.by, &line.detail]);
    }
    html.end_table();
    if lines.more > 0 {
        html.note(format!("{} further lines are not listed: take a shorter period for them.", lines.more));
    }
}
