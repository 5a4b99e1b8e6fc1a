//! A real `cmdiag serve`, and how much memory it takes.

use crate::figure::Figure;
use crate::world::{self, World};
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const MEMORY_BAR_MB: f64 = 400.0;

/// A running `cmdiag serve` on one of the world's databases; killed when dropped.
pub struct Serve {
    child: Child,
    /// Where its API is.
    pub address: SocketAddr,
}

impl Serve {
    /// Starts it with these roles and waits for its address.
    pub async fn start(world: &World, name: &str, url: &str, roles: &str) -> Result<Self> {
        let folder = world.folder(name)?;
        let log = std::fs::File::create(folder.join("serve.log")).context("the log of cmdiag serve")?;
        let mut child = Command::new(world::program("cmdiag")?)
            .args(["serve", "--listen", "127.0.0.1:0", "--roles", roles])
            .env("CMDIAG_DATABASE_URL", url)
            .env("CMDIAG_DATA_DIR", folder.join("data"))
            .env("CMDIAG_LOG", "warn")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start cmdiag serve")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
        let address = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, rest)) = line.split_once("http://") {
                    let address = rest.split('/').next().unwrap_or_default();
                    return address.parse().with_context(|| format!("the address in {line:?}"));
                }
            }
            bail!("cmdiag serve ended; see its log")
        };
        let bounded = tokio::time::timeout(Duration::from_secs(60), address).await;
        let address = match bounded.context("cmdiag serve printed no address within 60 s").and_then(|found| found) {
            Ok(address) => address,
            Err(error) => {
                let said = std::fs::read_to_string(folder.join("serve.log")).unwrap_or_default();
                return Err(error.context(said.chars().take(2_000).collect::<String>()));
            }
        };
        Ok(Self { child, address })
    }

    /// The most memory that it ever had resident.
    pub fn memory(&self, benchmark: &str) -> Result<Figure> {
        let id = self.child.id().context("cmdiag serve has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).context("its status")?;
        let megabytes = |key: &str| -> Result<f64> {
            let line = status.lines().find(|line| line.starts_with(key)).with_context(|| key.to_owned())?;
            let kilobytes: f64 = line.split_whitespace().nth(1).unwrap_or_default().parse().context("kilobytes")?;
            Ok(kilobytes / 1_024.0)
        };
        let (most, now) = (megabytes("VmHWM")?, megabytes("VmRSS")?);
        let what = "resident memory of `cmdiag serve` under it, at most";
        let figure = Figure::below(&format!("{benchmark}.memory"), what, (most, MEMORY_BAR_MB), "MB");
        Ok(figure.beside(format!("{now:.0} MB at its end")))
    }

    /// Stops it as Ctrl-C does.
    pub async fn stop(mut self) -> Result<()> {
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.context("cmdiag serve has ended early")?;
        rustix::process::kill_process(id, rustix::process::Signal::INT).context("interrupt cmdiag serve")?;
        if tokio::time::timeout(Duration::from_secs(15), self.child.wait()).await.is_err() {
            self.child.kill().await.context("kill cmdiag serve")?;
        }
        Ok(())
    }
}
