//! Runs one phase of an action in a process of its own, and makes sure that it ends.

use super::host::{self, HostAnswer, HostRequest, MESSAGE_BYTES_MAX};
use super::{ActionError, ActionTarget};
use domain::deployment::{Component, SecretRef};
use rustix::process::{Pid, Signal, kill_process_group};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

const ERROR_BYTES_MAX: u64 = 4 * 1024;
/// What such a process is given of our environment, beside the variables that hold the component's own secrets.
const ENVIRONMENT: [&str; 4] = ["PATH", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The program's allocator takes a gigabyte at its start, which it does not use: under a bound on memory nothing would
/// be left, and not even a thread could begin.
const COMMIT_ON_USE: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");

/// The program that runs actions which want a process of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostProgram {
    /// None: they run in this process. For tests.
    InProcess,
    /// This one; it calls [`host::serve`].
    Program {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// Runs a phase. When the future is dropped, the process and all that it has started are killed.
pub(crate) async fn run(host: &HostProgram, request: &HostRequest) -> Result<HostAnswer, ActionError> {
    let HostProgram::Program { program, arguments } = host else {
        return host::perform(request).await;
    };
    let internal = |what: &str, error: &dyn std::fmt::Display| {
        ActionError::internal(format!("the process of {}: {what}: {error}", request.action))
    };
    let mut line = serde_json::to_vec(request).map_err(|error| internal("its request", &error))?;
    line.push(b'\n');
    if line.len() as u64 > MESSAGE_BYTES_MAX {
        return Err(ActionError::internal(format!("what {} is told is larger than 32 MiB", request.action)));
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("LC_ALL", "C").process_group(0).kill_on_drop(true);
    command.env(COMMIT_ON_USE.0, COMMIT_ON_USE.1);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(environment(&request.target));
    let mut child = command.spawn().map_err(|error| internal("it does not start", &error))?;
    let group = Group::of(&child);
    let answer = converse(&mut child, &line).await;
    // Before it is waited for: its number can not be another's yet. What it left running ends with it.
    drop(group);
    let status = child.wait().await;
    match answer {
        Ok(Ok(answer)) => answer.into_result(),
        Ok(Err(said)) => {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(internal(&format!("it ended without an answer ({status})"), &said))
        }
        Err(error) => Err(internal("it can not be talked to", &error)),
    }
}

/// The answer, or what it said instead of one.
async fn converse(child: &mut Child, line: &[u8]) -> std::io::Result<Result<HostAnswer, String>> {
    let missing = || std::io::Error::other("its input or output is not connected");
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let ask = async {
        // A process that has ended already says why in its answer or in its errors.
        let _ = stdin.write_all(line).await;
        stdin
    };
    let mut answer = String::new();
    let mut lines = BufReader::new(stdout.take(MESSAGE_BYTES_MAX));
    // Its input stays open until it has answered: its end would end the process.
    let (_open, read) = tokio::join!(ask, lines.read_line(&mut answer));
    read?;
    match serde_json::from_str(&answer) {
        Ok(answer) => Ok(Ok(answer)),
        Err(_) => {
            let mut said = Vec::new();
            let _ = tokio::time::timeout(
                std::time::Duration::from_secs(1),
                stderr.take(ERROR_BYTES_MAX).read_to_end(&mut said),
            )
            .await;
            Ok(Err(String::from_utf8_lossy(&said).trim().to_owned()))
        }
    }
}

/// The variables in which its secrets are: the component's, and those of the components that its settings name.
fn environment(target: &ActionTarget) -> Vec<(String, std::ffi::OsString)> {
    let named = |component: &&Component| {
        let name = component.name.as_str();
        component.name == target.component.name || target.component.settings.values().any(|value| value == name)
    };
    let secrets = target.components.values().filter(named).flat_map(|component| component.secrets.values());
    let variables = secrets.chain(target.component.secrets.values()).filter_map(|secret| match secret {
        SecretRef::Env(name) => Some(name.as_str()),
        SecretRef::File(_) => None,
    });
    ENVIRONMENT
        .into_iter()
        .chain(variables)
        .filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?)))
        .collect()
}

/// A process group, killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
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
