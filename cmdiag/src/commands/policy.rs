//! `cmdiag policy`.

use crate::cli::{Format, PolicyCommand as Asked};
use crate::commands::shown;
use crate::output;
use crate::platform::Platform;
use anyhow::{Context, Result, anyhow};
use domain::policy::{Policy, PolicyCommand, PolicyDefinition};
use domain::{PolicyId, PolicyName};
use query_side::PolicyView;
use serde_json::json;
use std::io::Read as _;
use std::path::Path;

/// The longest policy file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How many runbooks are shown.
const STATISTICS_SHOWN: i64 = 500;

/// Shows or changes policies.
pub async fn run(platform: &Platform, format: Format, asked: &Asked) -> Result<()> {
    match asked {
        Asked::List { .. } => list(format, &platform.queries.policies(&platform.tenant).await?),
        Asked::Show { policy, .. } => show(platform, format, policy).await,
        Asked::Set { policy, file, reason } => set(platform, policy, file, reason).await,
        Asked::Retire { policy, reason } => {
            change(platform, policy, PolicyCommand::Retire { reason: reason.clone() }).await?;
            output::line(&format!("policy {policy} is retired: the built-in one decides"))
        }
    }
}

fn list(format: Format, policies: &[PolicyView]) -> Result<()> {
    output::list(format, &["policy", "revision", "changed by", "open", "open breakers"], policies, |view| {
        let count = |value: &serde_json::Value| value.as_object().map_or(0, serde_json::Map::len).to_string();
        vec![
            view.name.clone(),
            if view.revision == 0 { "built in".to_owned() } else { view.revision.to_string() },
            view.changed_by.clone().unwrap_or_default(),
            count(&view.reservations),
            count(&view.breakers),
        ]
    })
}

async fn show(platform: &Platform, format: Format, name: &str) -> Result<()> {
    let name: PolicyName = name.parse()?;
    let id = PolicyId::of(&platform.tenant, &name);
    let view = platform.queries.policies(&platform.tenant).await?.into_iter().find(|view| view.id == id.0);
    let definition = match view.as_ref().and_then(|view| view.definition.clone()) {
        Some(definition) => serde_json::from_value(definition).context("the stored definition")?,
        None => PolicyDefinition::default(),
    };
    let learned = platform.queries.policy_statistics(id.0, STATISTICS_SHOWN).await?;
    if format == Format::Json {
        return output::json(&json!({ "policy": view, "in_force": definition, "statistics": learned }));
    }
    let source = view.as_ref().filter(|view| view.revision > 0);
    output::line(&match source {
        Some(view) => format!("# policy {name}, revision {}", view.revision),
        None => format!("# policy {name}: the built-in one"),
    })?;
    output::line(&toml::to_string_pretty(&definition).context("write the definition")?)?;
    let header = ["runbook", "check", "successes", "failures", "by itself", "lower bound", "why not"];
    output::list(format, &header, &learned, |row| {
        vec![
            format!("{} {}", row.runbook, row.runbook_version),
            row.check_code.clone(),
            row.successes.to_string(),
            row.failures.to_string(),
            row.automatic.map_or("not asked", |automatic| if automatic { "yes" } else { "no" }).to_owned(),
            row.lower_bound.map(|bound| format!("{bound:.3}")).unwrap_or_default(),
            row.reason.clone().unwrap_or_default(),
        ]
    })
}

async fn set(platform: &Platform, policy: &str, file: &Path, reason: &str) -> Result<()> {
    let definition = read(file)?;
    let name: PolicyName = policy.parse()?;
    let id = PolicyId::of(&platform.tenant, &name);
    let (state, _) = platform.bus.load::<Policy>(id.0).await?;
    let command = if state.defined.is_some() {
        PolicyCommand::Revise { definition, reason: reason.to_owned() }
    } else {
        PolicyCommand::Define { policy: name, definition }
    };
    change(platform, policy, command).await?;
    output::line(&format!("policy {policy} is in force"))
}

async fn change(platform: &Platform, policy: &str, command: PolicyCommand) -> Result<()> {
    let id = PolicyId::of(&platform.tenant, &policy.parse()?);
    let done = platform.bus.execute::<Policy>(id.0, command, platform.metadata()).await?;
    shown(platform, done.position).await
}

/// A policy file; `-` is standard input.
fn read(file: &Path) -> Result<PolicyDefinition> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?;
        opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    };
    let bytes = read.with_context(|| format!("read {}", file.display()))?;
    if bytes as u64 > FILE_BYTES_MAX {
        return Err(anyhow!("{} is larger than {FILE_BYTES_MAX} bytes", file.display()));
    }
    toml::from_str(&text).with_context(|| format!("{} is not a policy", file.display()))
}
