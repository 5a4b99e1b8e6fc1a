//! A run as JUnit XML: one test case a check and component.
//!
//! A warning or critical is a failure; what could not be measured, or was planned and has no result, is an error: never
//! passed, never skipped.

use super::xml::escaped;
use super::{Results, RunFacts, RunReport};
use crate::error::ExportError;
use crate::output::Output;
use domain::Outcome;
use query_side::CheckResultView;
use std::fmt::Write;

pub(super) async fn write(report: &RunReport<'_>, facts: &RunFacts, output: &mut Output) -> Result<(), ExportError> {
    let mut gathered = head(facts).into_bytes();
    let mut missing = facts.to_cross_out();
    let mut results = Results::of(report.queries, facts.run.id);
    while let Some(page) = results.next().await? {
        for result in &page {
            missing.has_result(result);
            gathered.extend_from_slice(case(report, result).as_bytes());
        }
        output.take(&mut gathered).await?;
    }
    for (check, component) in missing.left() {
        let text = format!(
            "    <testcase classname=\"{}\" name=\"{}\" time=\"0\">\n      <error type=\"not run\" \
             message=\"planned, and without a result: the run ended as {}\"/>\n    </testcase>\n",
            escaped(&component),
            escaped(&name(report, &check)),
            facts.run.status.as_str(),
        );
        gathered.extend_from_slice(text.as_bytes());
    }
    if facts.run.planned == 0 {
        // No test at all passes on every build server.
        let run = &facts.run;
        let text = format!(
            "    <testcase classname=\"run\" name=\"run\" time=\"0\">\n      <error type=\"not run\" message=\"nothing was \
             planned: the run ended as {}{}\"/>\n    </testcase>\n",
            run.status.as_str(),
            escaped(&run.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"))),
        );
        gathered.extend_from_slice(text.as_bytes());
    }
    gathered.extend_from_slice(b"  </testsuite>\n</testsuites>\n");
    output.take(&mut gathered).await
}

fn head(facts: &RunFacts) -> String {
    let run = &facts.run;
    let missing = facts.without_result() + i32::from(run.planned == 0);
    let tests = run.done + missing;
    let failures = run.tally.warning + run.tally.critical;
    let errors = i64::from(run.tally.unknown) + i64::from(missing);
    let seconds = run.ended_at.map_or(0.0, |ended| (ended - run.requested_at).as_seconds_f64().max(0.0));
    let counts =
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{seconds:.3}\"");
    let suite = escaped(&format!("{} {}", facts.deployment_name(), run.profile));
    let mut head = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cmdiag\" {counts}>\n  \
         <testsuite name=\"{suite}\" id=\"{}\" timestamp=\"{}\" {counts}>\n    <properties>\n",
        run.id,
        run.requested_at.format("%Y-%m-%dT%H:%M:%S"),
    );
    let properties = [
        ("run", run.id.to_string()),
        ("deployment", facts.deployment.id.to_string()),
        ("status", run.status.as_str().to_owned()),
        ("verdict", facts.verdict().to_owned()),
        ("requestedBy", run.requested_by.clone()),
        ("positions", format!("{}-{}", facts.first_position, run.last_position)),
    ];
    for (name, value) in properties {
        let _ = writeln!(head, "      <property name=\"{name}\" value=\"{}\"/>", escaped(&value));
    }
    head.push_str("    </properties>\n");
    head
}

fn name(report: &RunReport<'_>, check: &str) -> String {
    format!("{check}: {}", report.title(check))
}

fn case(report: &RunReport<'_>, result: &CheckResultView) -> String {
    let seconds = f64::from(result.duration_ms) / 1000.0;
    let mut case = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{seconds:.3}\"",
        escaped(&result.component),
        escaped(&name(report, &result.check_code)),
    );
    match result.outcome {
        Outcome::Ok => case.push_str("/>\n"),
        Outcome::Unknown => {
            let cause = result.unknown_cause.as_deref().unwrap_or("no cause is recorded");
            let _ =
                write!(case, ">\n      <error type=\"unknown\" message=\"{}\"/>\n    </testcase>\n", escaped(cause));
        }
        Outcome::Warning | Outcome::Critical => {
            let _ = write!(
                case,
                ">\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>\n",
                result.outcome,
                escaped(&result.summary),
                escaped(&problems(result)),
            );
        }
    }
    case
}

fn problems(result: &CheckResultView) -> String {
    let mut text = String::new();
    for problem in &result.observations {
        let _ = write!(
            text,
            "{} {}\n{}\nCause: {}\nImpact: {}\nAdvice: {}\n\n",
            problem.outcome, problem.resource, problem.symptom, problem.cause, problem.impact, problem.advice
        );
    }
    if result.omitted > 0 {
        let _ = writeln!(text, "{} further problems are not listed", result.omitted);
    }
    text
}
