//! The bench's own child processes: a second writer of the log, and the peers of the GraphQL benchmark.

use crate::{missed, peers, sealing};
use anyhow::{Context, Result, bail};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Where a child finds the database's URL: it holds a password, and arguments are for all to see.
pub const URL: &str = "CMDIAG_BENCH_URL";

/// Runs as the child of this name.
pub async fn run(task: &str) -> Result<()> {
    match task.split_once(':') {
        Some(("writer", writers)) => {
            let url = std::env::var(URL).context("the child's database")?;
            missed::write_from_another_process(&url, writers.parse().context("how many writers")?).await
        }
        Some(("verify-bundle", file)) => sealing::verify_in_child(file),
        None if task == "peers" => peers::serve().await,
        _ => bail!("no child process is called {task}"),
    }
}

/// Starts this program as a child; it is killed when dropped.
pub fn start(task: &str, url: Option<&str>) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe().context("where this program is")?);
    command.args(["--child", task]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    if let Some(url) = url {
        command.env(URL, url);
    }
    command.spawn().with_context(|| format!("start the child {task}"))
}

/// Waits for the child's next line.
pub async fn line(child: &mut Child) -> Result<String> {
    let output = child.stdout.as_mut().context("the child's output is piped")?;
    let mut line = String::new();
    let mut output = BufReader::new(output);
    let read = tokio::time::timeout(Duration::from_secs(30), output.read_line(&mut line));
    read.await.context("the child said nothing within 30 s")??;
    Ok(line.trim().to_owned())
}
