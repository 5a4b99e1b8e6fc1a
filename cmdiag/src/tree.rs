//! A remediation as a tree: `+` where a step goes forward, `-` where it is taken back. Live where somebody looks, plain
//! lines elsewhere.

use crate::output;
use domain::DomainEvent as _;
use domain::remediation::{
    Change, PlannedStep, RemediationEvent, RemediationPhase, RemediationState, StepPhase, StepState, UndoState, Undoing,
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// How many changes of one step are shown.
const CHANGES_SHOWN: usize = 20;

/// Shows a remediation as it goes on.
pub enum Tree {
    /// On a terminal: one line a step, changed in place.
    Live {
        /// All lines.
        lines: MultiProgress,
        /// Each step's line.
        steps: HashMap<String, ProgressBar>,
    },
    /// In a file or a pipe: one line an event.
    Lines,
    /// Not at all.
    Quiet,
}

impl Tree {
    /// On standard error, so that standard output holds results only.
    pub fn new(watch: bool) -> Self {
        if !watch {
            Self::Quiet
        } else if std::io::stderr().is_terminal() {
            Self::Live { lines: MultiProgress::new(), steps: HashMap::new() }
        } else {
            Self::Lines
        }
    }

    /// One event happened; the state is the one after it.
    pub fn show(&mut self, event: &RemediationEvent, state: &RemediationState) {
        match self {
            Self::Quiet => {}
            Self::Lines => {
                if let Some(line) = line_of(event, state) {
                    // Progress that nobody reads any more is no error.
                    let _ = writeln!(std::io::stderr().lock(), "{}", output::opened(&line));
                }
            }
            Self::Live { lines, steps } => {
                if let Some(line) = line_of(event, state).filter(|_| !is_of_a_step(event)) {
                    let _ = lines.println(output::opened(&line));
                }
                if matches!(event, RemediationEvent::RemediationPlanned { .. }) {
                    for (_, bar) in steps.drain() {
                        bar.finish_and_clear();
                    }
                }
                for (planned, step) in state.planned_steps() {
                    let bar = steps.entry(planned.name.to_string()).or_insert_with(|| lines.add(line_bar()));
                    bar.set_message(step_line(planned, step, state));
                    let is_moving = matches!(step.phase, StepPhase::Started | StepPhase::Captured)
                        || matches!(step.undone, UndoState::UnderWay { .. });
                    if is_moving {
                        bar.enable_steady_tick(Duration::from_millis(100));
                    } else {
                        bar.disable_steady_tick();
                    }
                }
                if state.phase.is_at_rest() {
                    for (_, bar) in steps.drain() {
                        bar.abandon();
                    }
                }
            }
        }
    }
}

fn line_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("  {spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

const fn is_of_a_step(event: &RemediationEvent) -> bool {
    matches!(
        event,
        RemediationEvent::StepStarted { .. }
            | RemediationEvent::BeforeImageCaptured { .. }
            | RemediationEvent::StepSucceeded { .. }
            | RemediationEvent::StepUndoStarted { .. }
            | RemediationEvent::StepUndone { .. }
    )
}

/// An event as a line; none where it says nothing to a person.
fn line_of(event: &RemediationEvent, state: &RemediationState) -> Option<String> {
    let title = |name: &domain::StepName| {
        let planned = state.plan.as_ref().and_then(|plan| plan.step(name));
        planned.map_or_else(|| name.to_string(), |planned| format!("{name}: {}", planned.title))
    };
    Some(match event {
        RemediationEvent::RemediationPlanned { plan, .. } => {
            format!("planned by {}: {} ({} step(s))", plan.runbook, plan.title, plan.steps.len())
        }
        RemediationEvent::DryRunRecorded { .. } => "run dry".to_owned(),
        RemediationEvent::RemediationAdmitted { policy, reason, .. } => format!("policy {policy}: {reason}"),
        RemediationEvent::RemediationDeferred { policy, reason, retry_at, .. } => {
            format!("policy {policy}: not now, {reason}; asked again at {}", retry_at.format("%H:%M:%S UTC"))
        }
        RemediationEvent::ApprovalRequested { people, expires_at, .. } => {
            format!("{people} approval(s) needed until {}", expires_at.format("%Y-%m-%d %H:%M UTC"))
        }
        RemediationEvent::RemediationApproved { by, comment, .. } => format!("approved by {by}: {comment}"),
        RemediationEvent::ApprovalVoided { reason, .. } => format!("the approval is void: {reason}"),
        RemediationEvent::ExecutionStarted { by, .. } => format!("begun by {by}"),
        RemediationEvent::StepStarted { step, attempt, .. } if *attempt == 1 => format!("+ {}", title(step)),
        RemediationEvent::StepStarted { step, attempt, .. } => format!("+ {} (attempt {attempt})", title(step)),
        RemediationEvent::StepSucceeded { step, found_done, .. } => {
            format!("+ {step} done{}", if *found_done { ", found done already" } else { "" })
        }
        RemediationEvent::StepFailed { step, error, .. } => format!("+ {step} FAILED: {error}"),
        RemediationEvent::PostCheckPassed { results, .. } | RemediationEvent::PostCheckFailed { results, .. } => {
            let each =
                results.iter().map(|result| format!("{} {}: {}", result.key.check, result.outcome, result.summary));
            format!("post-check {}", each.collect::<Vec<_>>().join("; "))
        }
        RemediationEvent::RollbackStarted { reason, .. } => format!("taking back what was done: {reason}"),
        RemediationEvent::StepUndoStarted { step, .. } => format!("- {}", title(step)),
        RemediationEvent::StepUndone { step, .. } => format!("- {step} {}", undone(step, state)),
        RemediationEvent::StepUndoFailed { step, error, .. } => format!("- {step} could NOT be taken back: {error}"),
        RemediationEvent::RollbackProven { .. } => "proven: everything is as it was".to_owned(),
        RemediationEvent::RollbackIncomplete { reason, .. } => format!("NOT as it was: {reason}"),
        RemediationEvent::RemediationRequested { .. }
        | RemediationEvent::ExecutionRequested { .. }
        | RemediationEvent::BeforeImageCaptured { .. }
        | RemediationEvent::ApprovalDelegated { .. } => return None,
        RemediationEvent::RemediationRejected { .. }
        | RemediationEvent::RemediationHalted { .. }
        | RemediationEvent::RemediationSucceeded { .. }
        | RemediationEvent::RemediationFailed { .. }
        | RemediationEvent::RemediationUndone { .. }
        | RemediationEvent::RemediationCancelled { .. }
        | RemediationEvent::RemediationStuck { .. }
        | RemediationEvent::RemediationReleased { .. } => ended(&event.event_type(), state),
    })
}

fn ended(event_type: &str, state: &RemediationState) -> String {
    let how = event_type.trim_start_matches("Remediation").to_lowercase();
    match &state.reason {
        Some(reason) => format!("{how}: {reason}"),
        None => how,
    }
}

fn undone(step: &domain::StepName, state: &RemediationState) -> String {
    let Some(done) = state.steps.get(step) else { return String::new() };
    match &done.undone {
        UndoState::Not => String::new(),
        UndoState::UnderWay { .. } => "being taken back".to_owned(),
        UndoState::Done { state: None } => "left as it is: there is nothing to take back".to_owned(),
        UndoState::Done { .. } if state.is_restored(step) => "taken back: as it was".to_owned(),
        UndoState::Done { .. } => "taken back, but NOT as it was".to_owned(),
        UndoState::Failed { error } => format!("could NOT be taken back: {error}"),
    }
}

fn step_line(planned: &PlannedStep, step: &StepState, state: &RemediationState) -> String {
    let (sign, said) = match (&step.undone, step.phase) {
        (UndoState::Not, StepPhase::Waiting) => (" ", "waits".to_owned()),
        (UndoState::Not, StepPhase::Started) => ("+", "reads what is there".to_owned()),
        (UndoState::Not, StepPhase::Captured) => ("+", "under way".to_owned()),
        (UndoState::Not, StepPhase::Succeeded) if step.found_done => ("+", "done, found done already".to_owned()),
        (UndoState::Not, StepPhase::Succeeded) => ("+", "done".to_owned()),
        (UndoState::Not, StepPhase::Failed) => {
            ("+", format!("FAILED: {}", step.error.as_deref().unwrap_or("no cause recorded")))
        }
        _ => ("-", undone(&planned.name, state)),
    };
    format!("{sign} {:<20} {:<28} {said}", planned.name.as_str(), planned.action.as_str())
}

/// The whole of it as text: plan, what it would change, and how far each step has come.
pub fn describe(state: &RemediationState) -> String {
    let mut text = String::new();
    let Some(plan) = &state.plan else {
        let _ = write!(text, "{}", state.reason.as_deref().unwrap_or("not planned yet"));
        return text;
    };
    let _ = writeln!(text, "{} (runbook {} {})", plan.title, plan.runbook, plan.version);
    for (planned, step) in state.planned_steps() {
        let _ = writeln!(text, "  {}", step_line(planned, step, state));
        let _ = writeln!(text, "      {} on {}{}", planned.title, planned.component, after(planned));
        let Some(preview) = state.previews.iter().find(|preview| preview.step == planned.name) else { continue };
        for change in preview.changes.iter().take(CHANGES_SHOWN) {
            let _ = writeln!(text, "      ~ {}", change_line(change));
        }
        let more = preview.changes.len().saturating_sub(CHANGES_SHOWN) as u64 + preview.omitted;
        if more > 0 {
            let _ = writeln!(text, "      ~ and {more} more");
        }
        if let Some(why) = &preview.undetermined {
            let _ = writeln!(text, "      ~ {why}");
        } else if preview.changes.is_empty() {
            let _ = writeln!(text, "      ~ nothing to change");
        }
        match &planned.undo {
            Undoing::FromBeforeImage => {}
            Undoing::Nothing { reason } => {
                let _ = writeln!(text, "      - nothing to take back: {reason}");
            }
            Undoing::Impossible { reason } => {
                let _ = writeln!(text, "      - can NOT be taken back: {reason}");
            }
        }
    }
    let blast = state.blast;
    let _ = write!(
        text,
        "  touches {} deployment(s), {} store(s), {} document(s), {} user(s), {} byte(s)",
        blast.deployments, blast.stores, blast.documents, blast.users, blast.bytes
    );
    text
}

fn after(planned: &PlannedStep) -> String {
    if planned.after.is_empty() {
        return String::new();
    }
    let names: Vec<_> = planned.after.iter().map(domain::StepName::as_str).collect();
    format!(", after {}", names.join(", "))
}

fn change_line(change: &Change) -> String {
    let value = |value: &Option<serde_json::Value>| {
        let text = value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        if text.chars().count() > 60 { format!("{}…", text.chars().take(59).collect::<String>()) } else { text }
    };
    format!("{} [{}: {} -> {}]", change.summary, change.subject, value(&change.from), value(&change.to))
}

/// What a person can do next.
pub fn next_step(state: &RemediationState, finding: &str) -> Option<String> {
    let finding = finding.get(..8).unwrap_or(finding);
    Some(match state.phase {
        RemediationPhase::AwaitingApproval => {
            let missing = usize::from(state.people).saturating_sub(state.approvals.len());
            format!(
                "{missing} more approval(s) by somebody who does not execute it: \
                 cmdiag --actor NAME remediate {finding} --approve --comment TEXT"
            )
        }
        RemediationPhase::Executable => format!(
            "somebody who did not approve it can have it done: cmdiag --actor NAME remediate {finding} --execute"
        ),
        RemediationPhase::Succeeded => format!("to take it back: cmdiag remediate {finding} --undo --comment TEXT"),
        RemediationPhase::Stuck | RemediationPhase::Halted => format!(
            "a person is needed: see docs/remediation.md; to try again: \
             cmdiag remediate {finding} --undo --comment TEXT; when it is seen to: --release"
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::remediation::Remediation;
    use domain::testing::{
        RESOURCE, fold, remediation_executing, remediation_requested, remediation_rolled_back, remediation_stuck,
        remediation_succeeded, remediation_waiting,
    };

    /// The lines of a story as a pipe gets them.
    fn lines(events: &[RemediationEvent]) -> Vec<String> {
        let told = (1..=events.len()).map(|count| fold::<Remediation>(&events[..count]));
        events.iter().zip(told).filter_map(|(event, state)| line_of(event, &state)).collect()
    }

    #[test]
    fn each_event_that_says_something_is_a_line() {
        let done = lines(&remediation_succeeded()).join("\n");
        for line in [
            "planned by restore-missing-file: ",
            "1 approval(s) needed until ",
            "approved by approver@example.org: looks right",
            "begun by operator@example.org",
            "+ recount: ",
            "+ recount done",
            "post-check CM-FILE-MISSING ok",
            "succeeded",
        ] {
            assert!(done.lines().any(|found| found.starts_with(line)), "{line} is not in:\n{done}");
        }
        let back = lines(&remediation_rolled_back());
        assert!(back.iter().any(|line| line == "- recount taken back: as it was"), "{back:#?}");
        assert!(back.iter().any(|line| line.starts_with("- find-copy left as it is")), "{back:#?}");
        assert!(back.iter().any(|line| line == "proven: everything is as it was"), "{back:#?}");
        let stuck = lines(&remediation_stuck());
        assert!(stuck.iter().any(|line| line == "- recount taken back, but NOT as it was"), "{stuck:#?}");
        assert!(stuck.last().is_some_and(|line| line.starts_with("stuck: ")), "{stuck:#?}");
    }

    #[test]
    fn the_whole_of_it_says_what_would_change_and_what_it_touches() {
        assert_eq!(describe(&fold::<Remediation>(&[remediation_requested()])), "not planned yet");
        let text = describe(&fold::<Remediation>(&remediation_waiting(1)));
        for part in [
            "restore-file         store.restore-file           waits",
            ", after find-copy",
            &format!("~ recount changes {RESOURCE} [{RESOURCE}: nothing -> {{\"bytes\":12}}]"),
            "- nothing to take back: it only reads",
            "3 document(s)",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        let text = describe(&fold::<Remediation>(&remediation_succeeded()));
        assert!(text.contains("+ recount              store.recount                done"), "{text}");
    }

    #[test]
    fn it_says_what_a_person_can_do_next() {
        for (events, said) in [
            (remediation_waiting(2), Some("2 more approval(s)")),
            (remediation_executing(), None),
            (remediation_succeeded(), Some("--undo")),
            (remediation_stuck(), Some("--release")),
            (remediation_rolled_back(), None),
        ] {
            let next = next_step(&fold::<Remediation>(&events), "0123456789abcdef");
            assert_eq!(next.is_some(), said.is_some(), "{next:?}");
            let next = next.unwrap_or_default();
            assert!(next.contains(said.unwrap_or_default()), "{next}");
            assert!(said.is_none() || next.contains("remediate 01234567 "), "{next}");
        }
    }
}
