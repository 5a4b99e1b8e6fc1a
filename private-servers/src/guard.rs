//! Runs a server without privileges, in a process group of its own, so that it stops with its parent.
//!
//! A small shell stands between: it holds the read end of a pipe whose write end is ours. When we end, however we end,
//! the pipe closes and the shell stops the server; and should the shell be killed itself, the kernel signals the server
//! (`setpriv --pdeathsig`; the shell has one thread only, so the signal can not come too early as it would from a
//! thread of a runtime).

use crate::programs::on_path;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, ChildStdin, Command};

/// Why a server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its program is not installed.
    #[error("{what} is not installed: {hint}")]
    Missing {
        /// Which.
        what: &'static str,
        /// What to do.
        hint: String,
    },
    /// A file or process operation failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The server ended or did not answer in time.
    #[error("{what} did not start: {reason}")]
    NotStarted {
        /// Which.
        what: &'static str,
        /// What it said.
        reason: String,
    },
}

impl ServerError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

const GUARD: &str = r#"
signal=$1; shift
exec 3<&0
"$@" &
server=$!
(cat <&3 >/dev/null; kill -s "$signal" "$server" 2>/dev/null) 3<&3 &
watcher=$!
exec 3<&-
wait "$server"; code=$?
kill "$watcher" 2>/dev/null
[ -z "$CMDIAG_GUARD_REMOVES" ] || rm -rf -- "$CMDIAG_GUARD_REMOVES"
exit "$code"
"#;

/// The account that a server runs as when we are root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` where we are not root: the server runs as we do.
    pub(crate) fn unprivileged(preferred: &str) -> Result<Option<Self>, ServerError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").map_err(ServerError::io("read /etc/passwd"))?;
        let find = |name: &str| {
            passwd.lines().find_map(|line| {
                let mut fields = line.split(':');
                (fields.next()? == name).then_some(())?;
                let uid = fields.nth(1)?.parse().ok()?;
                let gid = fields.next()?.parse().ok()?;
                Some(Self { uid, gid })
            })
        };
        find(preferred).or_else(|| find("nobody")).map(Some).ok_or(ServerError::Missing {
            what: "an unprivileged account",
            hint: format!("neither {preferred} nor nobody is in /etc/passwd"),
        })
    }

    /// Makes the folder and gives it to the account, closed to everybody else.
    pub(crate) fn own(account: Option<Self>, folder: &Path) -> Result<(), ServerError> {
        use std::os::unix::fs::PermissionsExt;
        let shown = folder.display();
        std::fs::create_dir_all(folder).map_err(ServerError::io(format!("create the folder {shown}")))?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
            .map_err(ServerError::io(format!("close the folder {shown}")))?;
        if let Some(Self { uid, gid }) = account {
            std::os::unix::fs::chown(folder, Some(uid), Some(gid))
                .map_err(ServerError::io(format!("give the folder {shown} to the server's account")))?;
        }
        Ok(())
    }

    /// Gives one file to the account.
    pub(crate) fn own_file(self, file: &Path) -> Result<(), ServerError> {
        std::os::unix::fs::chown(file, Some(self.uid), Some(self.gid))
            .map_err(ServerError::io(format!("give {} to the server's account", file.display())))
    }

    /// Runs one command to its end as the account, and returns what it printed.
    pub(crate) async fn run(account: Option<Self>, argv: &[OsString]) -> Result<String, ServerError> {
        let shown = argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = Command::new(setpriv()?);
        command.args(Self::drop_to(account)).arg("--").args(argv).current_dir("/").kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(120), command.output())
            .await
            .map_err(|_| ServerError::NotStarted {
                what: "a set-up command",
                reason: format!("{shown} took over 120 s"),
            })?
            .map_err(ServerError::io(format!("run {shown}")))?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            Ok(text)
        } else {
            Err(ServerError::NotStarted { what: "a set-up command", reason: format!("{shown}: {}", text.trim()) })
        }
    }

    fn drop_to(account: Option<Self>) -> Vec<OsString> {
        account.map_or_else(Vec::new, |Self { uid, gid }| {
            vec![
                format!("--reuid={uid}").into(),
                format!("--regid={gid}").into(),
                "--clear-groups".into(),
                "--inh-caps=-all".into(),
            ]
        })
    }
}

fn setpriv() -> Result<std::path::PathBuf, ServerError> {
    on_path("setpriv")
        .ok_or(ServerError::Missing { what: "setpriv", hint: "install Debian's package util-linux".to_owned() })
}

/// A running server and the pipe that keeps it alive.
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    alive: Option<ChildStdin>,
}

impl Guarded {
    /// Starts the server. `stop_signal` (`INT`, `TERM`) is what ends it in good order; its output goes to `log`.
    /// `removes` names a folder that goes when the server has ended, even where we were killed.
    pub(crate) fn start(
        account: Option<Account>,
        stop_signal: &str,
        argv: &[OsString],
        log: std::fs::File,
        removes: Option<&Path>,
    ) -> Result<Self, ServerError> {
        let also = log.try_clone().map_err(ServerError::io("open the server's log"))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "cmdiag-guard", stop_signal])
            .arg(setpriv()?)
            .args(Account::drop_to(account))
            .arg(format!("--pdeathsig={stop_signal}"))
            .arg("--")
            .args(argv)
            .current_dir("/")
            .env("CMDIAG_GUARD_REMOVES", removes.map_or_else(OsString::new, OsString::from))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(also);
        let mut child = command.spawn().map_err(ServerError::io("start the server's guard"))?;
        let alive = child.stdin.take();
        Ok(Self { child, alive })
    }

    /// Whether the server still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops the server in good order and waits for it, at most 30 s.
    pub(crate) async fn stop(&mut self) {
        drop(self.alive.take());
        if tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.is_err() {
            tracing::warn!("a private server did not stop within 30 s");
        }
    }
}

/// Sends a signal to the process whose id stands in the first line of a pid file.
pub(crate) fn signal_pid_file(file: &Path, signal: Signal) -> std::io::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::other("the pid file holds no process id"))?;
    kill_process(pid, signal)?;
    Ok(())
}
