//! A running `cmdiag serve` (or any command that prints its address and goes on).

use crate::Cmdiag;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

/// A process of ours that serves; killed when dropped.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    address: String,
    printed: Arc<Mutex<String>>,
}

impl Serving {
    /// Starts it and waits until it has printed `http://…`.
    pub async fn start(cmdiag: &Cmdiag, arguments: &[&str]) -> Self {
        Self::start_until(cmdiag, arguments, "http://").await
    }

    /// Starts it and waits, at most a minute, for a line with this text. What follows `http://` in it is the address.
    pub async fn start_until(cmdiag: &Cmdiag, arguments: &[&str], marker: &str) -> Self {
        let mut command = cmdiag.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cmdiag starts");
        let printed = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut errors = BufReader::new(child.stderr.take().expect("its errors are piped")).lines();
        let log = Arc::clone(&printed);
        tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                append(&log, &line);
            }
        });
        let log = Arc::clone(&printed);
        let marked = async {
            while let Ok(Some(line)) = lines.next_line().await {
                append(&log, &line);
                if line.contains(marker) {
                    return Some(line);
                }
            }
            None
        };
        let line = tokio::time::timeout(Duration::from_secs(60), marked).await.ok().flatten();
        let line = line.unwrap_or_else(|| panic!("cmdiag {arguments:?} never said {marker}:\n{}", text(&printed)));
        let log = Arc::clone(&printed);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                append(&log, &line);
            }
        });
        let address = line.split("http://").nth(1).unwrap_or_default();
        let address = address.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default().to_owned();
        Self { child, address, printed }
    }

    /// Its base URL.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it still runs")
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        text(&self.printed)
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Ctrl-C; returns the exit code, at most 30 s later.
    pub async fn interrupt(mut self) -> i32 {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it can be interrupted");
        let status = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it did not end within 30 s:\n{}", text(&self.printed)));
        status.expect("it ends").code().unwrap_or(255)
    }
}

fn append(log: &Mutex<String>, line: &str) {
    let mut text = log.lock().expect("no writer panics");
    text.push_str(line);
    text.push('\n');
}

fn text(log: &Mutex<String>) -> String {
    log.lock().expect("no writer panics").clone()
}
