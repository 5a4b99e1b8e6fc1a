//! `cmdiag packs`.

use crate::cli::{Format, PacksCommand};
use crate::config::Config;
use crate::output;
use crate::platform::load_packs;
use anyhow::{Result, anyhow, bail};
use engine::check::Check;
use engine::pack::{PackErrors, Packs};
use include_dir::{Dir, include_dir};
use serde::Serialize;
use std::process::ExitCode;

/// The pages of the checks, for `explain`.
static PAGES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../docs/checks");

/// A check's page, in Markdown.
pub fn page_of(code: &str) -> Option<&'static str> {
    PAGES.get_file(format!("{code}.md")).and_then(|page| page.contents_utf8())
}

#[derive(Serialize)]
struct Listed {
    code: String,
    pack: String,
    component: String,
    title: String,
    profiles: Vec<String>,
    version: String,
}

/// Lists, validates or explains checks.
pub fn run(config: &Config, format: Format, command: &PacksCommand) -> Result<ExitCode> {
    match command {
        PacksCommand::List => list(&load_packs(config)?, format),
        PacksCommand::Validate { folder } => {
            let packs = match folder {
                Some(folder) => Packs::load(folder).map_err(|errors| explained(&errors))?,
                None => load_packs(config)?,
            };
            validate(&packs)
        }
        PacksCommand::Explain { code } => explain(&load_packs(config)?, code),
    }
}

/// All mistakes, each pointing into its file.
pub fn explained(errors: &PackErrors) -> anyhow::Error {
    let mut text = format!("{} mistake(s) in the packs; none of them is loaded", errors.0.len());
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    for error in &errors.0 {
        text.push('\n');
        if handler.render_report(&mut text, error).is_err() {
            text.push_str(&error.to_string());
        }
    }
    anyhow!(text)
}

fn list(packs: &Packs, format: Format) -> Result<ExitCode> {
    let checks: Vec<Listed> = packs.checks().map(|check| listed(check)).collect();
    output::list(format, &["code", "pack", "component", "title", "profiles"], &checks, |check| {
        vec![
            check.code.clone(),
            check.pack.clone(),
            check.component.clone(),
            check.title.clone(),
            check.profiles.join(", "),
        ]
    })?;
    Ok(ExitCode::SUCCESS)
}

fn listed(check: &Check) -> Listed {
    let component = serde_json::to_value(check.component).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    Listed {
        code: check.code.to_string(),
        pack: check.pack.clone(),
        component: component.unwrap_or_default(),
        title: check.title.clone(),
        profiles: check.profiles.clone(),
        version: check.version.clone(),
    }
}

fn validate(packs: &Packs) -> Result<ExitCode> {
    let failures = packs.run_cases();
    for failure in &failures {
        output::line(&failure.to_string())?;
    }
    let checks = packs.checks().count();
    let runbooks = packs.runbooks().count();
    let of_checks: usize = packs.checks().map(|check| check.cases.len()).sum();
    let of_runbooks: usize = packs.runbooks().map(|runbook| runbook.cases.len()).sum();
    let cases = of_checks + of_runbooks;
    output::line(&format!(
        "{checks} checks and {runbooks} runbooks in {} packs, {cases} cases, {} failed",
        packs.packs().count(),
        failures.len()
    ))?;
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn explain(packs: &Packs, code: &str) -> Result<ExitCode> {
    let wanted = code.to_ascii_uppercase();
    let Some(check) = packs.checks().find(|check| check.code.as_str() == wanted) else {
        bail!("there is no check {code}{}", packs.suggest(&wanted));
    };
    match page_of(&wanted) {
        Some(page) => output::line(page.trim_end())?,
        None => output::line(&format!("# {wanted}: {}", check.title))?,
    }
    output::line(&format!("\n## In force\nversion {} ({})", check.version, check.file))?;
    for (name, threshold) in &check.thresholds {
        let range = |range: &Option<engine::judge::Range>| range.as_ref().map_or("-".to_owned(), ToString::to_string);
        output::line(&format!(
            "{name}: warning outside {}, critical outside {} {}",
            range(&threshold.warning),
            range(&threshold.critical),
            threshold.unit.as_deref().unwrap_or_default()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
