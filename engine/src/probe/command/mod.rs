//! External checks by the Nagios plugin contract: exit 0, 1 or 2 is a measurement, everything else an error.
//!
//! No shell: the program and its arguments are given one by one. It runs in a process group of its own, with nothing of
//! our environment but the search path; when the measurement ends early the whole group is killed.

mod perfdata;

use super::rows::{Measured, row};
use super::{ProbeError, Run, Secret};
use crate::check::CommandSpec;
use rustix::process::{Pid, Signal, kill_process_group};
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// The most that a plugin may write.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024;
const MAX_ERROR_BYTES: u64 = 4 * 1024;
const MAX_ARGUMENT_CHARS: usize = 4_000;

pub(super) async fn measure(spec: &CommandSpec, run: &Run<'_>) -> Result<Measured, ProbeError> {
    let argv = arguments(spec, run)?;
    let Some((program, arguments)) = argv.split_first() else {
        return Err(ProbeError::configuration("the check names no program"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("LC_ALL", "C");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    for purpose in run.target.component.secrets.keys() {
        if let Some(secret) = Secret::of(&run.target.component, purpose)? {
            command.env(format!("CMDIAG_SECRET_{}", purpose.to_uppercase()), secret.reveal());
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| ProbeError::configuration(format!("{program}: {error}")))?;
    let group = Group::of(&child);
    let (status, output, error) = listen(&mut child, program).await?;
    group.has_ended();
    judge_exit(program, status, &output, &error)
}

fn arguments(spec: &CommandSpec, run: &Run<'_>) -> Result<Vec<String>, ProbeError> {
    let context = minijinja::context! {
        component => run.target.component.name.as_str(),
        settings => minijinja::Value::from(minijinja::value::Serde(&run.target.component.settings)),
    };
    let render = |index: usize| {
        let text = spec.argv.render(&index.to_string(), &context, MAX_ARGUMENT_CHARS);
        text.map_err(|error| ProbeError::configuration(format!("argument {index}: {error}")))
    };
    (0..spec.count).map(render).collect()
}

async fn listen(child: &mut Child, program: &str) -> Result<(ExitStatus, String, String), ProbeError> {
    let fail = |error: std::io::Error| ProbeError::malformed(format!("{program}: {error}"));
    let missing = || ProbeError::internal("the program's output is not connected");
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let (output, error, status) =
        tokio::join!(read(stdout, MAX_OUTPUT_BYTES + 1, false), read(stderr, MAX_ERROR_BYTES, true), child.wait(),);
    let output = output.map_err(fail)?;
    if output.len() as u64 > MAX_OUTPUT_BYTES {
        return Err(ProbeError::malformed(format!("{program} wrote more than {} KiB", MAX_OUTPUT_BYTES / 1024)));
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((status.map_err(fail)?, text(output), text(error.map_err(fail)?)))
}

/// Reads up to `max` bytes; with `drain`, what comes after them is read off so that the writer does not stand still.
/// Without it the pipe is closed, and a program that writes on and on ends by that.
async fn read(mut from: impl AsyncRead + Unpin, max: u64, drain: bool) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut from).take(max).read_to_end(&mut bytes).await?;
    if drain {
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

fn judge_exit(program: &str, status: ExitStatus, output: &str, error: &str) -> Result<Measured, ProbeError> {
    let said = || {
        let line = output.lines().chain(error.lines()).find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        crate::check::cut(line, 500)
    };
    let code = match status.code() {
        Some(code @ 0..=2) => code,
        Some(code) => return Err(ProbeError::malformed(format!("{program} ended with {code} and said: {}", said()))),
        None => return Err(ProbeError::malformed(format!("{program} was ended by a signal and said: {}", said()))),
    };
    let parsed = perfdata::parse_output(output);
    let mut row = row! { exit_code: code, text: parsed.text, long_text: parsed.long_text };
    for figure in parsed.figures {
        // A label must not take the place of what the contract gives.
        let name = if row.contains_key(&figure.label) { format!("perf_{}", figure.label) } else { figure.label };
        row.insert(name, figure.value.into());
    }
    Ok(Measured::one(row))
}

/// The process group of a plugin: killed when dropped before the plugin has ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
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
