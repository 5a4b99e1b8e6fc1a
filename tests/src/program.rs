//! The binary `cmdiag`, run to its end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// Runs `cmdiag` with a data folder and an environment of its own.
#[derive(Debug, Clone)]
pub struct Cmdiag {
    program: PathBuf,
    data_dir: PathBuf,
    environment: Vec<(String, OsString)>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; 255 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Panics with everything it printed unless it ended with 0.
    #[expect(clippy::return_self_not_must_use, reason = "often only that it succeeded is of interest")]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Its standard output as one JSON document.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}):\n{}\n--- stderr\n{}", self.stdout, self.stderr))
    }
}

impl Cmdiag {
    /// On the private servers that it starts in this folder.
    pub fn embedded(data_dir: &Path) -> Self {
        Self { program: built_program(), data_dir: data_dir.to_path_buf(), environment: Vec::new() }
    }

    /// On a given database.
    pub fn on_database(data_dir: &Path, url: &str) -> Self {
        Self::embedded(data_dir).with("CMDIAG_DATABASE_URL", url)
    }

    /// One more environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// A command that is not started yet; killed when dropped.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            // What the machine's user configured is none of the test's business.
            if name.to_string_lossy().starts_with("CMDIAG_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("CMDIAG_DATA_DIR", &self.data_dir)
            .env("CMDIAG_ACTOR", "tester")
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.data_dir)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs to the end, at most `bound`.
    pub async fn run_within(&self, bound: Duration, arguments: &[&str]) -> Finished {
        let output = tokio::time::timeout(bound, self.command(arguments).output()).await;
        let output = output.unwrap_or_else(|_| panic!("cmdiag {arguments:?} took over {bound:?}"));
        finished(&output.expect("cmdiag runs"))
    }

    /// Runs to the end, at most two minutes.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        self.run_within(Duration::from_secs(120), arguments).await
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

fn finished(output: &Output) -> Finished {
    Finished {
        code: output.status.code().unwrap_or(255),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The binary beside the test's own program: `target/<profile>/cmdiag`. `make test` builds it first.
fn built_program() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a program");
    let candidates = own.ancestors().skip(1).take(2).map(|folder| folder.join("cmdiag"));
    candidates
        .into_iter()
        .find(|program| program.is_file())
        .expect("target/<profile>/cmdiag: build it first (cargo build -p cmdiag)")
}
