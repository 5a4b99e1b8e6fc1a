//! A run as a page to print.

use super::baseline::fingerprint;
use super::html::{Html, maybe, moment};
use super::{Results, RunFacts, RunReport};
use crate::error::ExportError;
use crate::output::Output;
use crate::{TOOL, TOOL_VERSION};
use domain::Outcome;
use domain::diagnostic_run::{Evidence, Observation};
use query_side::{CheckResultView, FindingView, RemediationView};

/// So many findings and remediations are listed; the page says so where there are more.
const LISTED_MAX: i64 = 200;
const PROBLEMS: [Outcome; 2] = [Outcome::Critical, Outcome::Warning];

pub(super) async fn write(report: &RunReport<'_>, facts: &RunFacts, output: &mut Output) -> Result<(), ExportError> {
    let mut html = Html::begin(&format!("Diagnosis of {}", facts.deployment_name()));
    head(report, facts, &mut html);
    html.heading("Problems");
    let mut any = false;
    for wanted in PROBLEMS {
        let outcomes = [wanted];
        let mut results = Results::with(report.queries, facts.run.id, &outcomes);
        while let Some(page) = results.next().await? {
            any |= !page.is_empty();
            for result in &page {
                problems(report, result, &mut html);
            }
            output.take(&mut html.take()).await?;
        }
    }
    if !any {
        html.paragraph("None of what was measured is a problem.");
    }
    not_measured(report, facts, &mut html, output).await?;
    actions(report, facts, &mut html).await?;
    output.take(&mut html.take()).await?;
    all_checks(report, facts, &mut html, output).await?;
    html.end();
    output.take(&mut html.take()).await
}

fn head(report: &RunReport<'_>, facts: &RunFacts, html: &mut Html) {
    let run = &facts.run;
    if facts.deployment.is_double {
        html.note("This deployment is a double, not a real deployment.");
    }
    if facts.without_result() > 0 || run.tally.unknown > 0 {
        let open = i64::from(facts.without_result()) + i64::from(run.tally.unknown);
        html.note(format!(
            "{open} of {} checks could not be measured: nothing is known of what they look at.",
            run.planned
        ));
    }
    html.facts([
        ("Verdict", facts.verdict().to_owned()),
        ("Deployment", format!("{} ({})", facts.deployment.name, facts.deployment.id)),
        ("Product version", facts.deployment.product_version.clone()),
        ("Run", run.id.to_string()),
        ("Profile", run.profile.clone()),
        ("Asked for by", run.requested_by.clone()),
        ("Asked for", moment(run.requested_at)),
        ("Ended", format!("{} ({})", maybe(run.ended_at), run.status.as_str())),
        ("Why it ended so", run.reason.clone().unwrap_or_else(|| "-".to_owned())),
        ("Positions in the log", format!("{} to {}", facts.first_position, run.last_position)),
        ("Sealed by", sealed(report.proof.as_ref(), run.last_position)),
        ("Printed", format!("{} by {TOOL} {TOOL_VERSION}", moment(report.now))),
    ]);
    html.heading("Totals").table(&["checks planned", "ok", "warning", "critical", "unknown", "without result"]);
    let tally = &run.tally;
    let without = facts.without_result();
    html.row(&[&run.planned, &tally.ok, &tally.warning, &tally.critical, &tally.unknown, &without]).end_table();
}

/// The checkpoint that covers a position, in words.
pub(super) fn sealed(proof: Option<&crate::log::proof::Proof>, position: i64) -> String {
    match proof {
        Some(proof) if proof.tree_size >= position => {
            format!("checkpoint of {} events, root {}, key {}", proof.tree_size, proof.root, proof.key_id)
        }
        Some(proof) => format!("nothing yet: the newest checkpoint ends at position {}", proof.tree_size),
        None => "nothing: the log is not sealed".to_owned(),
    }
}

fn problems(report: &RunReport<'_>, result: &CheckResultView, html: &mut Html) {
    for problem in &result.observations {
        html.raw(if problem.outcome == Outcome::Critical {
            "<article class=\"critical\">"
        } else {
            "<article class=\"warning\">"
        });
        problem_card(report, result, problem, html);
        html.raw("</article>\n");
    }
    if result.omitted > 0 {
        html.note(format!("{}: {} further problems are not listed in the result.", result.check_code, result.omitted));
    }
}

fn problem_card(report: &RunReport<'_>, result: &CheckResultView, problem: &Observation, html: &mut Html) {
    let title = report.title(&result.check_code);
    html.raw("<h3>").text(format!("{}: {title}", problem.outcome)).raw("</h3>\n");
    let finding = fingerprint(result.deployment_id, &result.check_code, &problem.resource);
    html.facts([
        ("Check", format!("{} version {}", result.check_code, result.version)),
        ("Component", result.component.clone()),
        ("Resource", problem.resource.to_string()),
        ("Symptom", problem.symptom.clone()),
        ("Cause", problem.cause.clone()),
        ("Impact", problem.impact.clone()),
        ("Advice", problem.advice.clone()),
        ("Measured", moment(result.measured_at)),
        ("Finding", finding.map_or("-".to_owned(), |finding| finding.to_string())),
    ]);
    evidence(&problem.evidence, html);
}

fn evidence(evidence: &Evidence, html: &mut Html) {
    if let Some(row) = &evidence.inline {
        let text = serde_json::to_string_pretty(row).unwrap_or_else(|_| row.to_string());
        html.raw("<pre>").text(text).raw("</pre>\n");
    }
    if let Some(hash) = &evidence.hash {
        html.paragraph(format!("The whole measurement is kept under SHA-256 {hash}."));
    }
}

async fn not_measured(
    report: &RunReport<'_>,
    facts: &RunFacts,
    html: &mut Html,
    output: &mut Output,
) -> Result<(), ExportError> {
    html.heading("Not measured").table(&["check", "component", "why"]);
    let mut unknown = Results::with(report.queries, facts.run.id, &[Outcome::Unknown]);
    while let Some(page) = unknown.next().await? {
        for result in &page {
            let cause = result.unknown_cause.as_deref().unwrap_or("no cause is recorded");
            html.row(&[&result.check_code, &result.component, &cause]);
        }
        output.take(&mut html.take()).await?;
    }
    if facts.without_result() > 0 {
        let mut missing = facts.to_cross_out();
        let mut results = Results::of(report.queries, facts.run.id);
        while let Some(page) = results.next().await? {
            for result in &page {
                missing.has_result(result);
            }
        }
        for (check, component) in missing.left() {
            let why = format!("planned, and without a result: the run ended as {}", facts.run.status.as_str());
            html.row(&[&check, &component, &why]);
        }
    }
    html.end_table();
    if facts.is_whole() {
        html.paragraph("All planned checks were measured.");
    } else if facts.run.planned == 0 {
        html.paragraph("No check was planned: nothing was measured.");
    }
    Ok(())
}

async fn all_checks(
    report: &RunReport<'_>,
    facts: &RunFacts,
    html: &mut Html,
    output: &mut Output,
) -> Result<(), ExportError> {
    html.heading("All checks");
    html.table(&["check", "title", "component", "outcome", "in one line", "version", "seconds"]);
    let mut results = Results::of(report.queries, facts.run.id);
    while let Some(page) = results.next().await? {
        for result in &page {
            let seconds = format!("{:.3}", f64::from(result.duration_ms) / 1000.0);
            let title = report.title(&result.check_code);
            let line = result.unknown_cause.as_ref().unwrap_or(&result.summary);
            html.row(&[
                &result.check_code,
                &title,
                &result.component,
                &result.outcome,
                line,
                &result.version,
                &seconds,
            ]);
        }
        output.take(&mut html.take()).await?;
    }
    html.end_table();
    Ok(())
}

const REMEDIATIONS: &str = "SELECT r.* FROM view_remediations r WHERE r.finding_id IN (SELECT DISTINCT h.finding_id \
    FROM view_finding_history h WHERE h.run_id = $1) ORDER BY r.requested_at, r.id LIMIT $2";

/// What became of the run's findings, as of now: said so, since the rest of the page is as of the run.
async fn actions(report: &RunReport<'_>, facts: &RunFacts, html: &mut Html) -> Result<(), ExportError> {
    let run = facts.run.id;
    let mut seen = report.queries.findings_of_runs(&[run], LISTED_MAX).await?;
    html.heading("Its findings, as they are now");
    html.table(&["finding", "check", "resource", "severity", "status", "taken on by", "first seen", "resolved"]);
    let found = seen.remove(&run);
    for finding in found.iter().flat_map(|found| &found.items) {
        finding_row(finding, html);
    }
    html.end_table();
    if found.is_some_and(|found| found.has_more) {
        html.note(format!("There are more than {LISTED_MAX} findings: the others are not listed here."));
    }
    let rows = sqlx::query_as::<_, RemediationView>(REMEDIATIONS);
    let mut rows = rows.bind(run.0).bind(LISTED_MAX + 1).fetch_all(report.queries.pool()).await?;
    let more = rows.len() as i64 > LISTED_MAX;
    rows.truncate(LISTED_MAX as usize);
    html.heading("What was done about them");
    if rows.is_empty() {
        html.paragraph("No remediation was asked for.");
        return Ok(());
    }
    html.table(&[
        "remediation",
        "runbook",
        "about",
        "asked for by",
        "approved by",
        "executed by",
        "status",
        "steps",
        "why",
    ]);
    for row in &rows {
        remediation_row(row, html);
    }
    html.end_table();
    if more {
        html.note(format!("There are more than {LISTED_MAX} remediations: the others are not listed here."));
    }
    Ok(())
}

fn finding_row(finding: &FindingView, html: &mut Html) {
    let by = finding.acknowledged_by.as_deref().unwrap_or("-");
    html.row(&[
        &finding.id,
        &finding.check_code,
        &finding.resource,
        &finding.severity,
        &finding.status.as_str(),
        &by,
        &moment(finding.first_seen_at),
        &maybe(finding.resolved_at),
    ]);
}

fn remediation_row(row: &RemediationView, html: &mut Html) {
    let approved: Vec<String> = row.state.approvals.iter().map(|approval| approval.by.to_string()).collect();
    let approved = if approved.is_empty() { "-".to_owned() } else { approved.join(", ") };
    let executor = row.state.executor.as_ref().map_or("-".to_owned(), ToString::to_string);
    html.row(&[
        &row.id,
        &row.runbook.as_deref().unwrap_or("-"),
        &row.resource,
        &format!("{} ({})", row.requested_by, moment(row.requested_at)),
        &approved,
        &executor,
        &row.phase(),
        &format!("{}/{}", row.steps_done, row.steps),
        &row.reason.as_deref().unwrap_or("-"),
    ]);
}
