//! `cmdiag remediate`: one finding, from the dry run to the proven end, or back.

use crate::cli::{Format, RemediateArgs};
use crate::commands::{findings, shown};
use crate::output;
use crate::platform::Platform;
use crate::tree::{self, Tree};
use anyhow::{Context, Result, anyhow, bail};
use domain::any_event::REMEDIATION;
use domain::remediation::{Remediation, RemediationCommand, RemediationPhase, RemediationState, Trigger};
use domain::{AnyEvent, Decider as _, RemediationId, StreamVersion};
use event_store::StreamId;
use query_side::{FindingView, PageRequest, RemediationFilter, RemediationView};
use std::process::ExitCode;
use std::time::Duration;
use uuid::Uuid;

/// Asks, approves, executes or takes back; follows it until it rests or waits for a person.
///
/// Exit codes: 0 done as wanted, 1 not done and nothing of it left behind, 2 a person is needed, 3 it waits (for an
/// approval, for somebody to execute it, for the policy, or longer than `--wait`).
pub async fn run(platform: &Platform, format: Format, arguments: &RemediateArgs) -> Result<ExitCode> {
    let finding = findings::find(platform, &arguments.finding).await?;
    let comment = arguments.comment.clone().unwrap_or_default();
    let needs_comment = |what: &str| {
        if comment.trim().is_empty() { Err(anyhow!("--comment TEXT says why {what}")) } else { Ok(comment.clone()) }
    };
    let open = newest(platform, &finding).await?;
    let known = || open.clone().ok_or_else(|| anyhow!("nobody has asked for a remediation of this finding yet"));
    let (id, wanted) = if arguments.approve {
        let open = known()?;
        let binding = open.state.binding().cloned();
        let binding = binding.ok_or_else(|| anyhow!("there is nothing to approve: it is {}", open.state.phase))?;
        let on_behalf_of = arguments.on_behalf_of.as_deref().map(str::parse).transpose().context("--on-behalf-of")?;
        output::line(&tree::describe(&open.state))?;
        (open.id, Some(RemediationCommand::Approve { binding, comment, on_behalf_of }))
    } else if arguments.reject {
        (known()?.id, Some(RemediationCommand::Reject { comment: needs_comment("it is rejected")? }))
    } else if let Some(to) = &arguments.delegate {
        let to = to.parse().context("--delegate")?;
        (known()?.id, Some(RemediationCommand::Delegate { to, comment }))
    } else if arguments.execute {
        (known()?.id, Some(RemediationCommand::Execute))
    } else if arguments.undo {
        (known()?.id, Some(RemediationCommand::Undo { reason: needs_comment("it is taken back")? }))
    } else if arguments.cancel {
        (known()?.id, Some(RemediationCommand::Cancel { reason: needs_comment("it is cancelled")? }))
    } else if arguments.release {
        (known()?.id, Some(RemediationCommand::Release { comment: needs_comment("it is released: what was done")? }))
    } else {
        ask(&finding, open.as_ref(), arguments)?
    };
    let (seen, written) = match wanted {
        Some(command) => {
            let done = platform.bus.execute::<Remediation>(id.0, command, platform.metadata()).await?;
            (StreamVersion(done.version.0 - done.events.len() as i64), done.version)
        }
        None => (StreamVersion(0), StreamVersion(0)),
    };
    let state = follow(platform, id, (seen, written), arguments).await?;
    report(platform, format, &finding, id, &state).await?;
    Ok(exit_code(&state, arguments))
}

/// A new remediation; or none where one is open already: then that one is followed.
fn ask(
    finding: &FindingView,
    open: Option<&RemediationView>,
    arguments: &RemediateArgs,
) -> Result<(RemediationId, Option<RemediationCommand>)> {
    if let Some(open) = open.filter(|open| !open.state.phase.is_at_rest() && !open.state.dry_run) {
        return Ok((open.id, None));
    }
    let problem = finding.problem()?;
    let runbook = arguments.runbook.as_deref().map(str::parse).transpose().context("--runbook")?;
    let command =
        RemediationCommand::Request { problem, runbook, trigger: Trigger::Person, dry_run: arguments.dry_run };
    Ok((RemediationId(Uuid::now_v7()), Some(command)))
}

/// The finding's newest remediation.
async fn newest(platform: &Platform, finding: &FindingView) -> Result<Option<RemediationView>> {
    let filter = RemediationFilter {
        tenant: Some(platform.tenant.to_string()),
        finding: Some(finding.id),
        ..RemediationFilter::default()
    };
    Ok(platform.queries.remediations(&filter, &PageRequest::first(1)).await?.items.pop())
}

/// Follows it until it rests or waits for a person, at most as long as `--wait`. What was `seen` is not shown again,
/// and how it was before the last event `written` is of no concern.
async fn follow(
    platform: &Platform,
    id: RemediationId,
    (seen, written): (StreamVersion, StreamVersion),
    arguments: &RemediateArgs,
) -> Result<RemediationState> {
    let mut tree = Tree::new(!arguments.quiet);
    let mut state = RemediationState::default();
    let stream = StreamId::new(REMEDIATION, &id.to_string());
    let mut events = platform.feed.subscribe_stream(stream, StreamVersion(0));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(u64::from(arguments.wait));
    loop {
        let batch = tokio::select! {
            batch = events.next() => batch.context("follow the remediation")?,
            () = tokio::time::sleep_until(deadline) => return Ok(state),
            _ = tokio::signal::ctrl_c() => {
                bail!("interrupted; the remediation goes on without you: cmdiag remediations show {id}")
            }
        };
        for recorded in batch.iter().flat_map(|recorded| recorded.parts()) {
            let AnyEvent::Remediation(event) = recorded.decode()? else { continue };
            Remediation::evolve(&mut state, &event);
            if recorded.version > seen {
                tree.show(&event, &state);
            }
        }
        let newest = batch.last().map_or(StreamVersion(0), |recorded| recorded.version);
        if newest >= written && waits(&state) {
            return Ok(state);
        }
    }
}

/// Whether nothing more happens without a person.
const fn waits(state: &RemediationState) -> bool {
    state.phase.is_at_rest()
        || matches!(
            state.phase,
            RemediationPhase::AwaitingApproval | RemediationPhase::Executable | RemediationPhase::Deferred
        )
}

async fn report(
    platform: &Platform,
    format: Format,
    finding: &FindingView,
    id: RemediationId,
    state: &RemediationState,
) -> Result<()> {
    let head = platform.log.head().await?;
    shown(platform, head).await?;
    if format == Format::Json {
        return output::json(&platform.queries.remediation(id).await?);
    }
    output::line(&format!("{} {}: remediation {id}", finding.check_code, finding.resource))?;
    output::line(&tree::describe(state))?;
    let reason = state.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    output::line(&format!("  {}{reason}", output::coloured(state.phase.as_str())))?;
    match tree::next_step(state, &finding.id.to_string()) {
        Some(next) => output::line(&format!("  next: {next}")),
        None => Ok(()),
    }
}

fn exit_code(state: &RemediationState, arguments: &RemediateArgs) -> ExitCode {
    ExitCode::from(match state.phase {
        RemediationPhase::Succeeded | RemediationPhase::Undone => 0,
        RemediationPhase::Cancelled if state.dry_run && state.binding().is_some() => 0,
        RemediationPhase::Cancelled if arguments.cancel || arguments.reject => 0,
        RemediationPhase::Failed if arguments.release => 0,
        RemediationPhase::Failed | RemediationPhase::Cancelled => 1,
        RemediationPhase::Stuck | RemediationPhase::Halted => 2,
        _ => 3,
    })
}
