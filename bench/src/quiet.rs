//! Whether the machine has anything else to do: what others take is missing from every figure.

use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// How long one look takes.
const LOOK: Duration = Duration::from_millis(1_500);
/// From this share on it is worth waiting for the others to end.
const BUSY: f64 = 0.15;

/// Waits until the machine is quiet, or the patience is at an end; the share of its processors that others took at the
/// last look.
pub async fn wait(patience: Duration) -> Result<f64> {
    let until = Instant::now() + patience;
    loop {
        let share = look().await?;
        if share < BUSY || Instant::now() >= until {
            return Ok(share);
        }
        println!("   (others take {:.0} % of the machine: waiting for a quiet moment)", 100.0 * share);
        tokio::time::sleep(LOOK * 2).await;
    }
}

/// The share of the processors' time that is taken while this process does nothing.
pub async fn look() -> Result<f64> {
    let before = Ticks::now()?;
    tokio::time::sleep(LOOK).await;
    let after = Ticks::now()?;
    let all = after.all.saturating_sub(before.all).max(1);
    Ok(1.0 - after.idle.saturating_sub(before.idle) as f64 / all as f64)
}

/// The kernel's count of ticks since it began.
#[derive(Debug, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    fn now() -> Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        Self::parse(&text).context("the first line of /proc/stat")
    }

    /// `cpu user nice system idle iowait irq softirq steal …`: waiting for a disk is idling, too.
    fn parse(text: &str) -> Option<Self> {
        let fields = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let fields: Vec<u64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
        Some(Self { all: fields.iter().sum(), idle: fields.get(3)? + fields.get(4)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_told_apart() {
        let text = "cpu  10 20 30 400 50 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(Ticks::parse(text), Some(Ticks { all: 531, idle: 450 }));
        assert_eq!(Ticks::parse("intr 1 2"), None);
    }
}
