//! Runs the command of a service: in a process group of its own, with bounded output, memory and processor time, and
//! killed with all that it has started when the phase must end.

use crate::action::{ActionError, ActionTarget};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

const OUTPUT_BYTES_MAX: u64 = 64 * 1024;
const ERROR_BYTES_MAX: u64 = 4 * 1024;
const SHOWN_CHARS_MAX: usize = 300;
/// Of the command itself; a service that it starts through a service manager is none of its children.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
const CPU_SECONDS_MAX: u64 = 120;

/// What it wrote to its standard output.
pub(super) async fn run(argv: &[String], verb: &str, target: &ActionTarget) -> Result<String, ActionError> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(ActionError::configuration("the service has no command"));
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(verb).env_clear().env("LC_ALL", "C");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.env("CMDIAG_IDEMPOTENCY_KEY", &target.idempotency_key);
    command.env("CMDIAG_DEADLINE_S", target.deadline.as_secs().max(1).to_string());
    // Those of the probes are none of its business.
    for purpose in target.component.secrets.keys().filter(|purpose| purpose.starts_with("action_")) {
        if let Some(secret) = ActionTarget::secret(&target.component, purpose)? {
            command.env(format!("CMDIAG_SECRET_{}", purpose.to_uppercase()), secret.reveal());
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    if target.cancel.is_cancelled() {
        return Err(ActionError::cancelled());
    }
    let spawned = command.spawn();
    let mut child = spawned.map_err(|error| ActionError::configuration(format!("{program}: {error}")))?;
    let group = Group::of(&child)?;
    group.limit();
    let (status, output, error) = tokio::select! {
        biased;
        // The group is killed as it is dropped.
        () = target.cancel.cancelled() => return Err(ActionError::cancelled()),
        listened = listen(&mut child, program) => listened?,
        () = tokio::time::sleep(target.deadline) => return Err(ActionError::timed_out(target.deadline)),
    };
    group.has_ended();
    if status.success() {
        return Ok(output);
    }
    let line = error.lines().chain(output.lines()).find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    let said: String = line.chars().take(SHOWN_CHARS_MAX).collect();
    Err(ActionError::target(format!("{program} … {verb} ended with {status} and said: {said}")))
}

async fn listen(child: &mut Child, program: &str) -> Result<(ExitStatus, String, String), ActionError> {
    let fail = |error: std::io::Error| ActionError::target(format!("{program}: {error}"));
    let missing = || ActionError::internal("the command's output is not connected");
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let (output, error, status) =
        tokio::join!(read(stdout, OUTPUT_BYTES_MAX), read(stderr, ERROR_BYTES_MAX), child.wait());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((status.map_err(fail)?, text(output.map_err(fail)?), text(error.map_err(fail)?)))
}

/// Up to `max` bytes; the rest is read off, so that who writes does not stand still.
async fn read(mut from: impl AsyncRead + Unpin, max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut from).take(max).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(bytes)
}

/// The process group of a command: killed when dropped before the command has ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Result<Self, ActionError> {
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        pid.map(|pid| Self(Some(pid))).ok_or_else(|| ActionError::internal("the command has no process id"))
    }

    /// What it starts from now on has the same limits. One that has ended already needs none.
    fn limit(&self) {
        for (resource, most) in
            [(Resource::Data, MEMORY_BYTES_MAX), (Resource::Cpu, CPU_SECONDS_MAX), (Resource::Core, 0)]
        {
            let _ = prlimit(self.0, resource, Rlimit { current: Some(most), maximum: Some(most) });
        }
    }

    /// It has ended by itself and its id may soon be another's: there is nothing to kill.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
