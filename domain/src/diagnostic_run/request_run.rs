//! Asks for a run.

use super::{RunEvent, RunRefusal, RunRequest, RunState};
use crate::decider::Context;
use crate::text::required;
use chrono::TimeDelta;
use std::collections::HashSet;

/// The farthest deadline, in hours.
pub const DEADLINE_HOURS_MAX: i64 = 24;
const CHECKS_NAMED_MAX: usize = 1_000;
const PROFILE_CHARS_MAX: usize = 64;

/// `request.at` is the moment of the decision.
pub(super) fn decide(state: &RunState, request: RunRequest, context: &Context) -> Result<Vec<RunEvent>, RunRefusal> {
    if state.request.is_some() {
        return Err(RunRefusal::AlreadyRequested);
    }
    let RunRequest { run, deployment, profile, checks, priority, deadline, at } = request;
    if run.0 != context.id {
        return Err(RunRefusal::Misaddressed);
    }
    required("the profile", &profile, PROFILE_CHARS_MAX)?;
    if deadline <= at {
        return Err(RunRefusal::DeadlinePassed);
    }
    if deadline - at > TimeDelta::hours(DEADLINE_HOURS_MAX) {
        return Err(RunRefusal::DeadlineTooFar { hours: DEADLINE_HOURS_MAX });
    }
    if checks.len() > CHECKS_NAMED_MAX {
        return Err(RunRefusal::TooManyChecksNamed { max: CHECKS_NAMED_MAX });
    }
    let mut named = HashSet::with_capacity(checks.len());
    if let Some(twice) = checks.iter().find(|check| !named.insert(*check)) {
        return Err(RunRefusal::CheckRepeated(twice.to_string()));
    }
    Ok(vec![RunEvent::RunRequested { run, deployment, profile, checks, priority, deadline, at }])
}

#[cfg(test)]
mod tests {
    use crate::RunId;
    use crate::diagnostic_run::{DiagnosticRun, Priority, RunCommand};
    use crate::testing::{DEPLOYMENT, RUN, after, check, given, refuses, request_run, run_requested};
    use chrono::TimeDelta;

    fn with(profile: &str, checks: &[&str], deadline_seconds: i64) -> RunCommand {
        RunCommand::Request {
            run: RUN,
            deployment: DEPLOYMENT,
            profile: profile.to_owned(),
            checks: checks.iter().map(|code| check(code)).collect(),
            priority: Priority::High,
            deadline: after(deadline_seconds),
        }
    }

    #[test]
    fn it_is_requested() {
        given::<DiagnosticRun>(RUN.0, []).when(request_run()).then(&[run_requested()]);
        given::<DiagnosticRun>(RUN.0, []).when(with("quick", &["A", "B"], 86_400)).then_types(&["RunRequested"]);
    }

    #[test]
    fn refusals() {
        let many: Vec<String> = (0..=1_000).map(|number| format!("C-{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let other = RunCommand::Request {
            run: RunId(DEPLOYMENT.0),
            deployment: DEPLOYMENT,
            profile: "full".to_owned(),
            checks: vec![],
            priority: Priority::Low,
            deadline: after(0) + TimeDelta::hours(1),
        };
        refuses::<DiagnosticRun>(
            RUN.0,
            [
                ("requested", vec![run_requested()], request_run(), "run_already_requested"),
                ("another run", vec![], other, "run_misaddressed"),
                ("no profile", vec![], with("", &[], 60), "text_empty"),
                ("a long profile", vec![], with(&"x".repeat(65), &[], 60), "text_too_long"),
                ("deadline now", vec![], with("full", &[], 0), "deadline_passed"),
                ("deadline past", vec![], with("full", &[], -1), "deadline_passed"),
                ("deadline far", vec![], with("full", &[], 86_401), "deadline_too_far"),
                ("a check twice", vec![], with("full", &["A", "A"], 60), "check_repeated"),
                ("many checks", vec![], with("full", &many, 60), "too_many_checks_named"),
            ],
        );
    }
}
