//! What the figures were measured on.

use crate::world::World;
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use std::fmt;

/// A machine, a server, a day.
pub struct Machine {
    cores: usize,
    model: String,
    memory_gb: f64,
    postgres: String,
    at: DateTime<Utc>,
}

impl Machine {
    /// The one that this runs on.
    pub async fn describe(world: &World) -> Result<Self> {
        let pool = world.pool("postgres", 1).await?;
        let postgres: String = sqlx::query_scalar("SHOW server_version").fetch_one(&pool).await?;
        pool.close().await;
        let cpu = std::fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
        let memory = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
        let kilobytes: f64 = value_of(&memory, "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .context("MemTotal of /proc/meminfo")?;
        Ok(Self {
            cores: std::thread::available_parallelism().context("count the cores")?.get(),
            model: value_of(&cpu, "model name").unwrap_or("an unnamed processor").to_owned(),
            memory_gb: kilobytes / 1_048_576.0,
            postgres: postgres.split_whitespace().next().unwrap_or_default().to_owned(),
            at: Utc::now(),
        })
    }

    /// As it stands in `performance.json`.
    pub fn measured_on(&self) -> String {
        format!("{}, {self}", self.at.format("%Y-%m-%d"))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, model, memory_gb, postgres, .. } = self;
        write!(f, "{cores} cores ({model}), {memory_gb:.0} GB, PostgreSQL {postgres}")
    }
}

fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find(|line| line.starts_with(key))?.split_once(':').map(|(_, value)| value.trim())
}
