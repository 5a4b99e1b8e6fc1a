//! The process in which one phase of an action runs: a request on standard input, an answer on standard output, one
//! line of JSON each.
//!
//! It bounds its own memory, processor time and open files before it acts. It ends, with all that it has started, when
//! its standard input is closed: whoever asked is gone, and another one is going to look at what was done.

use super::{ActionError, ActionErrorKind, ActionTarget, Arguments, Verified, list};
use domain::remediation::Outputs;
use rustix::process::{Resource, Rlimit, Signal, getpgrp, kill_process_group, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};

/// The largest request and the largest answer, in bytes.
pub const MESSAGE_BYTES_MAX: u64 = 32 << 20;

/// How much a process of an action may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLimits {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Seconds of processor time.
    pub cpu_seconds: u64,
    /// Open files and connections.
    pub open_files: u64,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, cpu_seconds: 600, open_files: 256 }
    }
}

/// A phase that touches the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// Reads what is there.
    Capture,
    /// Changes it.
    Apply,
    /// Looks whether it is changed.
    Verify,
    /// Takes it back.
    Undo,
}

/// What is asked of the process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HostRequest {
    pub action: String,
    pub phase: PhaseName,
    pub arguments: Arguments,
    pub target: ActionTarget,
    pub before: Value,
    pub limits: HostLimits,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HostAnswer {
    Captured(Value),
    Applied(Outputs),
    Verified(Verified),
    Undone,
    Failed { kind: String, message: String },
}

impl HostAnswer {
    pub(crate) fn failed(error: &ActionError) -> Self {
        Self::Failed { kind: error.kind.as_str().to_owned(), message: error.message.clone() }
    }

    /// The answer, or the error that it is.
    pub(crate) fn into_result(self) -> Result<Self, ActionError> {
        match self {
            Self::Failed { kind, message } => {
                let kind = ActionErrorKind::from_name(&kind).unwrap_or(ActionErrorKind::Internal);
                Err(ActionError { kind, message })
            }
            answer => Ok(answer),
        }
    }
}

/// Serves one request and returns.
pub async fn serve() -> io::Result<()> {
    let request = tokio::task::spawn_blocking(read_request).await.map_err(io::Error::other)??;
    limit(request.limits)?;
    // Not a task: it blocks for as long as the process lives.
    std::thread::spawn(end_with_whoever_asked);
    let answer = perform(&request).await.unwrap_or_else(|error| HostAnswer::failed(&error));
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// The phase itself, whichever process it runs in.
pub(crate) async fn perform(request: &HostRequest) -> Result<HostAnswer, ActionError> {
    let HostRequest { action, phase, arguments, target, before, .. } = request;
    let unknown = || ActionError::internal(format!("there is no action {action}"));
    let action = list::named(action).ok_or_else(unknown)?;
    Ok(match phase {
        PhaseName::Capture => HostAnswer::Captured(action.capture(arguments, target).await?),
        PhaseName::Apply => HostAnswer::Applied(action.apply(arguments, target, before).await?),
        PhaseName::Verify => HostAnswer::Verified(action.verify(arguments, target, before).await?),
        PhaseName::Undo => {
            action.undo(arguments, target, before).await?;
            HostAnswer::Undone
        }
    })
}

fn read_request() -> io::Result<HostRequest> {
    let mut line = String::new();
    // Unbuffered beyond the line: what follows is only the end of input.
    BufReader::with_capacity(1 << 16, io::stdin().lock().take(MESSAGE_BYTES_MAX)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn limit(limits: HostLimits) -> io::Result<()> {
    let HostLimits { memory_bytes, cpu_seconds, open_files } = limits;
    for (resource, most) in [
        (Resource::Data, memory_bytes),
        (Resource::Cpu, cpu_seconds),
        (Resource::Nofile, open_files),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

fn end_with_whoever_asked() {
    let mut rest = [0_u8; 64];
    while matches!(io::stdin().lock().read(&mut rest), Ok(read) if read > 0) {}
    // The group is this process's own: it was started so.
    let _ = kill_process_group(getpgrp(), Signal::KILL);
}
