//! Reads from the targets what each step would change; and reads them again before it begins.

use super::driver::{Driver, Purposes};
use super::images::hash;
use super::phases::{Phases, Task};
use super::sender::Trouble;
use crate::action::{ActionError, ActionErrorKind, Arguments};
use crate::check::cut;
use domain::ContentHash;
use domain::deployment::DeploymentState;
use domain::remediation::{
    Argument, BlastRadius, CHANGES_MAX, Change, Plan, PlannedStep, RemediationCommand, RemediationState, StepPreview,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const TEXT_CHARS_MAX: usize = 1_000;
/// What one value of a change may take in a preview; a larger one is left to its summary.
const VALUE_BYTES_MAX: usize = 4 * 1_024;
const REASON_CHARS_MAX: usize = 500;
/// How many targets of one plan are read at the same time.
const PARALLEL: usize = 8;

/// What a target is like, or why that is not known yet.
enum Found {
    State(Box<Task>, Value),
    NotYet(String),
}

pub(super) async fn record(driver: &Driver, state: &RemediationState, id: &Purposes) -> Result<(), Trouble> {
    let Some(found) = read(driver, state).await? else { return Ok(()) };
    let previews = found.and_then(|found| {
        let steps = state.plan.iter().flat_map(|plan| &plan.steps);
        steps.zip(found).map(|(step, found)| preview(step, found)).collect::<Result<Vec<_>, String>>()
    });
    let reason = match previews {
        Err(reason) => reason,
        Ok(previews) => {
            match driver.sender.send(RemediationCommand::RecordDryRun { previews }, &id.of("dry-run")).await {
                Err(Trouble::Refused { message, .. }) => format!("the dry run was refused: {message}"),
                answer => return answer.map(|_| ()),
            }
        }
    };
    driver.sender.send(RemediationCommand::FailDryRun { reason }, &id.of("no-dry-run")).await.map(|_| ())
}

/// It begins where everything is as it was in the dry run.
pub(super) async fn confirm(driver: &Driver, state: &RemediationState, id: &Purposes) -> Result<(), Trouble> {
    let Some(found) = read(driver, state).await? else { return Ok(()) };
    let states = found.and_then(|found| found.into_iter().map(state_hash).collect::<Result<Vec<_>, String>>());
    let check = state.problem.as_deref().and_then(|problem| driver.shared.parts.packs.check(&problem.check));
    let command = match (states, check) {
        (Ok(states), Some(check)) => RemediationCommand::Begin { states, check_version: check.version.clone() },
        (Ok(_), None) => RemediationCommand::FailDryRun { reason: "the check is not in the packs any more".to_owned() },
        (Err(reason), _) => RemediationCommand::FailDryRun { reason },
    };
    driver.sender.send(command, &id.of("begin")).await.map(|_| ())
}

type AllFound = Result<Vec<Found>, String>;

/// All targets in the order of the plan's steps; `None` where nobody needs them any more.
async fn read(driver: &Driver, state: &RemediationState) -> Result<Option<AllFound>, Trouble> {
    let (Some(plan), Some(problem)) = (state.plan.clone(), state.problem.clone()) else {
        return Err(Trouble::Failed("it has no plan to run dry".to_owned()));
    };
    let deployment = driver.deployment(problem.deployment).await?;
    let token = CancellationToken::new();
    let reading = async {
        // Not a lazy iterator: the compiler can not see that its closure is good for every step.
        let mut targets: Vec<BoxFuture<'_, Result<Found, String>>> = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            targets.push(target(driver, &plan, step, &deployment, &token).boxed());
        }
        stream::iter(targets).buffered(PARALLEL).try_collect::<Vec<Found>>().await
    };
    driver.watched(state.phase, &token, reading).await
}

async fn target(
    driver: &Driver,
    plan: &Plan,
    step: &PlannedStep,
    deployment: &DeploymentState,
    token: &CancellationToken,
) -> Result<Found, String> {
    let mut arguments = Arguments::new();
    for (name, argument) in &step.arguments {
        match argument {
            Argument::Value(value) => arguments.insert(name.clone(), value.clone()),
            Argument::OutputOf { step: of, output } => {
                let title = plan.step(of).map_or(of.as_str(), |step| step.title.as_str());
                return Ok(Found::NotYet(format!("it is told {output} of step {of} ({title})")));
            }
        };
    }
    let in_words = |error: ActionError| format!("step {}: {error}", step.name);
    let shared = &driver.shared;
    let task =
        Task::of(driver.sender.held().remediation, step, arguments, deployment, shared.now()).map_err(in_words)?;
    match shared.phases.capture(&driver.sender, &task, token).await {
        Ok(state) => Ok(Found::State(Box::new(task), state)),
        // What an earlier step is to bring about is not there yet.
        Err(error) if error.kind == ActionErrorKind::Precondition && !step.after.is_empty() => {
            Ok(Found::NotYet(format!("before {} it can not be said: {error}", list(step))))
        }
        Err(error) => Err(in_words(error)),
    }
}

fn list(step: &PlannedStep) -> String {
    step.after.iter().map(domain::StepName::as_str).collect::<Vec<_>>().join(", ")
}

fn state_hash(found: Found) -> Result<Option<ContentHash>, String> {
    match found {
        Found::State(_, state) => hash(&state).map(Some).map_err(|error| error.to_string()),
        Found::NotYet(_) => Ok(None),
    }
}

fn preview(step: &PlannedStep, found: Found) -> Result<StepPreview, String> {
    let none = StepPreview {
        step: step.name.clone(),
        changes: Vec::new(),
        omitted: 0,
        state: None,
        blast: BlastRadius { deployments: 1, ..BlastRadius::default() },
        undetermined: None,
    };
    let (task, state) = match found {
        Found::NotYet(reason) => return Ok(StepPreview { undetermined: Some(cut(&reason, REASON_CHARS_MAX)), ..none }),
        Found::State(task, state) => (task, state),
    };
    let in_words = |error: ActionError| format!("step {}: {error}", step.name);
    let (changes, blast) = Phases::preview(&task, &state).map_err(in_words)?;
    let omitted = changes.len().saturating_sub(CHANGES_MAX) as u64;
    let changes = changes.into_iter().take(CHANGES_MAX).map(bounded).collect();
    Ok(StepPreview { changes, omitted, state: Some(hash(&state).map_err(in_words)?), blast, ..none })
}

fn bounded(change: Change) -> Change {
    let small = |value: Option<Value>| value.filter(|value| value.to_string().len() <= VALUE_BYTES_MAX);
    Change {
        summary: cut(&change.summary, TEXT_CHARS_MAX),
        subject: cut(&change.subject, TEXT_CHARS_MAX),
        from: small(change.from),
        to: small(change.to),
    }
}
