//! `cmdiag lab`.

use crate::cli::{Format, LabCommand};
use crate::config::Config;
use crate::deployment_file::{ComponentEntry, DeploymentFile, OverrideEntry};
use crate::output;
use anyhow::{Context, Result, anyhow, bail};
use lab::{Fault, Lab, LabDescription, LabHandle, LabOptions, SecretPlace};
use private_servers::{PrivateRedis, RedisOptions};
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Where the lab lives.
pub fn folder(config: &Config) -> PathBuf {
    config.data_dir().join("lab")
}

/// Starts, stops, breaks, mends or describes the lab.
pub async fn run(config: &Config, format: Format, command: &LabCommand) -> Result<ExitCode> {
    match command {
        LabCommand::Up { scale } => up(config, *scale).await?,
        LabCommand::Down => down(config).await?,
        LabCommand::Break { names } if names.is_empty() => list(config, format)?,
        LabCommand::Break { names } => plant(config, names).await?,
        LabCommand::Mend { names } => mend(config, names).await?,
        LabCommand::Describe => describe(config)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The options of the lab: small where the environment asks for it.
fn options(config: &Config, scale: u32) -> Result<LabOptions> {
    let mut options = LabOptions { scale, ..LabOptions::new(folder(config)) };
    for (name, slot) in [("CMDIAG_LAB_RECORDS", &mut options.records), ("CMDIAG_LAB_FILES", &mut options.files)] {
        if let Ok(text) = std::env::var(name) {
            *slot = Some(text.parse().with_context(|| format!("{name}={text} is not a number"))?);
        }
    }
    Ok(options)
}

/// A lab that this process keeps up, with its cache where Redis is installed.
pub struct RunningLab {
    /// The lab.
    pub lab: Lab,
    redis: Option<PrivateRedis>,
}

impl RunningLab {
    /// Starts it; makes it the first time.
    pub async fn start(config: &Config, scale: u32) -> Result<Self> {
        let cache = RedisOptions { folder: folder(config).join("redis"), settings: Vec::new() };
        let redis = match PrivateRedis::start(cache).await {
            Ok(redis) => Some(redis),
            Err(error) => {
                output::line(&format!("The lab has no cache, and its faults are left out: {error}"))?;
                None
            }
        };
        let options = LabOptions { redis_url: redis.as_ref().map(PrivateRedis::url), ..options(config, scale)? };
        let lab = Lab::up(options).await.context("start the lab")?;
        Ok(Self { lab, redis })
    }

    /// Whether the lab has a cache.
    pub fn has_cache(&self) -> bool {
        self.redis.is_some()
    }

    /// Stops it; its data stay.
    pub async fn stop(self) {
        self.lab.stop().await;
        if let Some(redis) = self.redis {
            redis.stop().await;
        }
    }
}

async fn up(config: &Config, scale: u32) -> Result<()> {
    output::line("Starting the lab: a DOUBLE of a Content Manager deployment on real parts (made the first time) …")?;
    let running = RunningLab::start(config, scale).await?;
    let pid_file = folder(config).join("up.pid");
    std::fs::write(&pid_file, std::process::id().to_string()).context("write the lab's pid file")?;
    output::line("Next: cmdiag lab describe > lab.toml; cmdiag deployment add lab.toml")?;
    let shown = folder(config);
    output::line(&format!("The lab is up in {}. Ctrl-C or `cmdiag lab down` stops it.", shown.display()))?;
    crate::shutdown::requested().await;
    let _ = std::fs::remove_file(&pid_file);
    running.stop().await;
    output::line("The lab is down.")
}

async fn down(config: &Config) -> Result<()> {
    let handle = LabHandle::open(folder(config))?;
    if !handle.is_up()? {
        return output::line("The lab is not up.");
    }
    let pid_file = folder(config).join("up.pid");
    let text = std::fs::read_to_string(&pid_file).context("the lab is up, but not by `cmdiag lab up`")?;
    let pid =
        text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| anyhow!("the lab's pid file is damaged"))?;
    kill_process(pid, Signal::TERM).context("stop the lab")?;
    for _ in 0..600 {
        if !handle.is_up()? {
            return output::line("The lab is down.");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the lab did not stop within 30 s")
}

fn list(config: &Config, format: Format) -> Result<()> {
    let planted =
        LabHandle::open(folder(config)).ok().and_then(|handle| lab::planted(&handle).ok()).unwrap_or_default();
    let rows: Vec<serde_json::Value> = lab::faults()
        .iter()
        .map(|fault| {
            let checks: Vec<&str> = fault.expects.iter().filter(|one| one.required).map(|one| one.check).collect();
            serde_json::json!({
                "name": fault.name,
                "title": fault.title,
                "breaks": fault.breaks,
                "found_by": checks,
                "planted": planted.iter().any(|one| one.name == fault.name),
            })
        })
        .collect();
    output::list(format, &["fault", "what is wrong", "found by", "planted"], &rows, |row| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let planted = if row["planted"] == true { "yes" } else { "" };
        vec![text("name"), text("title"), row["found_by"].to_string().replace(['[', ']', '"'], ""), planted.to_owned()]
    })
}

/// The fault of this name, or an error that tells the names.
pub fn fault(name: &str) -> Result<&'static Fault> {
    lab::fault(name).map_err(|error| anyhow!("{error}; `cmdiag lab break` without a name lists them"))
}

async fn plant(config: &Config, names: &[String]) -> Result<()> {
    let faults = names.iter().map(|name| fault(name)).collect::<Result<Vec<_>>>()?;
    let handle = LabHandle::open(folder(config))?;
    for fault in faults {
        match lab::break_fault(&handle, fault.name).await? {
            lab::Broken::Planted => output::line(&format!("planted {}: {}", fault.name, fault.title))?,
            lab::Broken::AlreadyPlanted => output::line(&format!("{} was planted already", fault.name))?,
        }
        if !fault.ripe_after.is_zero() {
            output::line(&format!("  it shows after {} s", fault.ripe_after.as_secs()))?;
        }
    }
    Ok(())
}

async fn mend(config: &Config, names: &[String]) -> Result<()> {
    let handle = LabHandle::open(folder(config))?;
    let faults = match names {
        [] => lab::planted(&handle)?,
        named => named.iter().map(|name| fault(name)).collect::<Result<_>>()?,
    };
    for fault in &faults {
        match lab::mend_fault(&handle, fault.name).await? {
            lab::Mended::Mended => output::line(&format!("mended {}", fault.name))?,
            lab::Mended::NotPlanted => output::line(&format!("{} was not planted", fault.name))?,
        }
    }
    if faults.is_empty() { output::line("no fault is planted") } else { Ok(()) }
}

fn describe(config: &Config) -> Result<()> {
    let handle = LabHandle::open(folder(config))?;
    let file = deployment_file(handle.description())?;
    output::line(toml::to_string_pretty(&file)?.trim_end())
}

/// The lab as a deployment file.
pub fn deployment_file(description: &LabDescription) -> Result<DeploymentFile> {
    let component = |part: &lab::LabComponent| {
        let kind = serde_json::from_value(serde_json::Value::String(part.kind.clone()));
        let secrets =
            part.secrets.iter().map(|(purpose, SecretPlace::File(path))| (purpose.clone(), format!("file:{path}")));
        Ok(ComponentEntry {
            name: part.name.parse()?,
            kind: kind.with_context(|| format!("component kind {}", part.kind))?,
            settings: part.settings.clone(),
            secrets: secrets.collect(),
            labels: part.labels.clone(),
        })
    };
    let entry = |entry: &lab::ThresholdOverride| {
        Ok(OverrideEntry {
            check: entry.check.parse()?,
            threshold: entry.threshold.clone(),
            warning: entry.warning.clone(),
            critical: entry.critical.clone(),
            reason: entry.reason.clone(),
        })
    };
    Ok(DeploymentFile {
        name: description.name.clone(),
        product_version: description.product_version.clone(),
        is_double: description.is_double,
        labels: description.labels.clone(),
        components: description.components.iter().map(component).collect::<Result<_>>()?,
        overrides: description.overrides.iter().map(entry).collect::<Result<_>>()?,
    })
}
