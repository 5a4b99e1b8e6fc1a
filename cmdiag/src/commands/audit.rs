//! `cmdiag audit`: what the history proves.

use super::audit_erase::{self, EraseArgs, SubjectsArgs};
use super::audit_keys::{self, RotateArgs};
use crate::cli::Format;
use crate::config::Config;
use crate::output;
use crate::platform::Platform;
use anyhow::{Context, Result, bail};
use audit::bundle::{verify_bundle, write_bundle};
use audit::proofs::{ConsistencyProof, InclusionProof, prove, prove_consistency};
use audit::verify::live::verify_log;
use audit::verify::{Published, Report, VerifyOptions};
use audit::{Note, PublicKey, store};
use chrono::Utc;
use clap::{Args, Subcommand};
use domain::Actor;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit code where something is wrong with the history, as for a critical check.
const TAMPERED: u8 = 2;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Prove that the history is whole, unchanged and in order; names the first position where it is not
    ///
    /// Exit code 0: all holds. 2: something is wrong. 1: it could not be verified.
    Verify(VerifyArgs),
    /// Write the whole sealed history into one file that can be verified anywhere
    Bundle {
        /// The file, such as history.jsonl.zst
        file: PathBuf,
        /// Only up to this position, as far as rows of seals are whole
        #[arg(long, value_name = "POSITION")]
        until: Option<u64>,
    },
    /// Prove that one event is in a signed checkpoint (prints a document), or verify such a document
    Prove {
        /// The event's position
        #[arg(required_unless_present = "verify")]
        position: Option<u64>,
        /// In this checkpoint (default: the first that covers the event)
        #[arg(long, value_name = "NUMBER")]
        checkpoint: Option<u64>,
        /// Verify this document instead; needs no database
        #[arg(long, value_name = "FILE", conflicts_with_all = ["position", "checkpoint"])]
        verify: Option<PathBuf>,
        /// A key that must have signed the checkpoint: a verifier key, or a file with one a line
        #[arg(long, value_name = "KEY")]
        key: Vec<String>,
    },
    /// Prove that one checkpoint goes on from another (prints a document), or verify such a document
    Consistency {
        /// The earlier checkpoint's number
        #[arg(required_unless_present = "verify")]
        first: Option<u64>,
        /// The later checkpoint's number
        #[arg(required_unless_present = "verify")]
        second: Option<u64>,
        /// Verify this document instead; needs no database
        #[arg(long, value_name = "FILE", conflicts_with_all = ["first", "second"])]
        verify: Option<PathBuf>,
        /// A key that must have signed both: a verifier key, or a file with one a line
        #[arg(long, value_name = "KEY")]
        key: Vec<String>,
    },
    /// The signed checkpoints, oldest first
    Checkpoints {
        /// Only those after this number
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// The keys that sign checkpoints
    Keys,
    /// Put a new signing key in force, endorsed by the present one
    RotateKey(RotateArgs),
    /// Forget a person: destroy the key of their names
    Erase(EraseArgs),
    /// The persons whose names are sealed, without their names
    Subjects(SubjectsArgs),
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Verify this file instead of the database; needs neither database nor network
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// A key that you trust: a verifier key, or a file with one a line (default: those that the log itself names)
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
    /// A folder of checkpoints as they were published
    #[arg(long, value_name = "FOLDER")]
    pub checkpoints: Option<PathBuf>,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

/// Runs one of them; those that verify a file connect to nothing.
pub async fn run(config: Config, actor: Actor, format: Format, command: &AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Verify(arguments) if arguments.bundle.is_some() => return verify_file(arguments, format).await,
        AuditCommand::Prove { verify: Some(file), key, .. } => return verify_inclusion(file, key),
        AuditCommand::Consistency { verify: Some(file), key, .. } => return verify_consistency(file, key),
        _ => {}
    }
    let platform = Platform::connect(config, actor, false).await?;
    let done = connected(&platform, format, command).await;
    platform.shutdown().await;
    done
}

async fn connected(platform: &Platform, format: Format, command: &AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Verify(arguments) => {
            let options = options(arguments)?;
            let bar = progress(arguments.quiet);
            let report = verify_log(&platform.pool, &options, |done, all| told(&bar, done, all)).await;
            bar.finish_and_clear();
            return show(&report.context("the log could not be verified")?, &options, format);
        }
        AuditCommand::Bundle { file, until } => {
            let bar = progress(false);
            let written =
                write_bundle(&platform.pool, file, *until, Utc::now(), |done, all| told(&bar, done, all)).await;
            bar.finish_and_clear();
            let written = written.context("the bundle could not be written")?;
            let (events, checkpoints, bytes) = (written.events, written.checkpoints, written.bytes);
            let shown = file.display();
            output::line(&format!("{events} events and {checkpoints} checkpoints in {shown} ({bytes} bytes)"))?;
        }
        AuditCommand::Prove { position, checkpoint, key, .. } => {
            let proof = prove(&platform.pool, position.unwrap_or_default(), *checkpoint).await?;
            // What is handed out is looked at first.
            proof.verify(&keys(key)?)?;
            output::verbatim_json(&proof)?;
        }
        AuditCommand::Consistency { first, second, key, .. } => {
            let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
            let proof = prove_consistency(&platform.pool, first, second).await?;
            proof.verify(&keys(key)?)?;
            output::verbatim_json(&proof)?;
        }
        AuditCommand::Checkpoints { after, limit } => checkpoints(platform, format, *after, *limit).await?,
        AuditCommand::Keys => audit_keys::list(platform, format).await?,
        AuditCommand::RotateKey(arguments) => audit_keys::rotate(platform, arguments).await?,
        AuditCommand::Erase(arguments) => return audit_erase::erase_subject(platform, format, arguments).await,
        AuditCommand::Subjects(arguments) => audit_erase::subjects(platform, format, arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn verify_file(arguments: &VerifyArgs, format: Format) -> Result<ExitCode> {
    let Some(file) = arguments.bundle.clone() else { bail!("no bundle is named") };
    let options = options(arguments)?;
    let bar = progress(arguments.quiet);
    let (showing, given) = (bar.clone(), options.clone());
    let verifying =
        tokio::task::spawn_blocking(move || verify_bundle(&file, &given, |done, all| told(&showing, done, all)));
    let report = verifying.await.context("the verification ended early")?;
    bar.finish_and_clear();
    show(&report.context("the bundle could not be verified")?, &options, format)
}

fn verify_inclusion(file: &Path, key: &[String]) -> Result<ExitCode> {
    let proof: InclusionProof = document(file)?;
    match proof.verify(&keys(key)?) {
        Ok(note) => {
            let (position, number) = (proof.event.position, note.checkpoint.number);
            output::line(&format!("the event at position {position} is in checkpoint {number}{}", by(key)))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            output::line(&format!("not proven: {error}"))?;
            Ok(ExitCode::from(TAMPERED))
        }
    }
}

fn verify_consistency(file: &Path, key: &[String]) -> Result<ExitCode> {
    let proof: ConsistencyProof = document(file)?;
    match proof.verify(&keys(key)?) {
        Ok((first, second)) => {
            let (first, second) = (first.checkpoint.number, second.checkpoint.number);
            output::line(&format!("checkpoint {second} goes on from checkpoint {first}{}", by(key)))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            output::line(&format!("not proven: {error}"))?;
            Ok(ExitCode::from(TAMPERED))
        }
    }
}

fn by(key: &[String]) -> &'static str {
    if key.is_empty() { "; who signed it was not looked at (--key)" } else { ", signed by a key that you trust" }
}

fn document<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no such proof", file.display()))
}

fn options(arguments: &VerifyArgs) -> Result<VerifyOptions> {
    let published = match &arguments.checkpoints {
        Some(folder) => Published::read(folder).context("the published checkpoints")?,
        None => Vec::new(),
    };
    Ok(VerifyOptions { pinned: keys(&arguments.key)?, published, ..VerifyOptions::default() })
}

/// Keys as they stand on the command line, or in files with one a line.
pub fn keys(named: &[String]) -> Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for text in named {
        if let Ok(key) = PublicKey::parse_pinned(text) {
            keys.push(key);
            continue;
        }
        let lines = std::fs::read_to_string(text).with_context(|| format!("{text} is neither a key nor a file"))?;
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let before = keys.len();
        for line in lines {
            keys.push(PublicKey::parse_pinned(line).with_context(|| format!("a key in {text}"))?);
        }
        if keys.len() == before {
            bail!("{text} holds no key");
        }
    }
    Ok(keys)
}

fn progress(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{spinner} [{bar:40.cyan/blue}] {pos}/{len} events  {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
    bar
}

fn told(bar: &ProgressBar, done: u64, all: u64) {
    bar.set_length(all);
    bar.set_position(done);
}

fn show(report: &Report, options: &VerifyOptions, format: Format) -> Result<ExitCode> {
    let code = if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(TAMPERED) };
    if format == Format::Json {
        output::json(&in_json(report))?;
        return Ok(code);
    }
    let (proven, events) = (&report.proven, report.events);
    if let Some(first) = report.first() {
        output::line(&format!("NOT PROVEN: first bad position {}", at(first.position, first.up_to)))?;
        for fault in &report.faults {
            output::line(&format!("  {}: {}", at(fault.position, fault.up_to), fault.what))?;
        }
        return Ok(code);
    }
    output::line(&format!("proven: {events} events are there, unchanged and in order"))?;
    output::line(&format!("  sealed up to position {}, signed up to {}", proven.sealed_to, proven.signed_to))?;
    match proven.pinned_to {
        Some(to) => output::line(&format!("  by a pinned key up to {to}"))?,
        None => output::line("  by keys that the log itself names: pin one (--key) to trust no one's word")?,
    }
    match proven.published_to {
        Some(to) => output::line(&format!("  by {} published checkpoint(s) up to {to}", options.published.len()))?,
        None => {
            output::line(
                "  by no published checkpoint (--checkpoints): a history written anew as a whole is not seen",
            )?;
        }
    }
    if report.unsealed > 0 {
        output::line(&format!("  {} newer event(s) are not sealed yet", report.unsealed))?;
    }
    Ok(code)
}

fn at(position: u64, up_to: u64) -> String {
    if position == up_to { position.to_string() } else { format!("{position} (at the latest {up_to})") }
}

fn in_json(report: &Report) -> Value {
    let keys = report.keys.iter().map(|(position, key, endorsed)| {
        json!({ "position": position, "key_id": key.id(), "public_key": key.to_hex(), "endorsed": endorsed })
    });
    json!({
        "log": report.origin,
        "holds": report.holds(),
        "events": report.events,
        "unsealed": report.unsealed,
        "checkpoints": report.checkpoints,
        "keys": keys.collect::<Vec<_>>(),
        "proven": report.proven,
        "faults": report.faults,
    })
}

async fn checkpoints(platform: &Platform, format: Format, after: u64, limit: u32) -> Result<()> {
    let notes = store::notes_after(&platform.pool, after, i64::from(limit)).await.context("read the checkpoints")?;
    let mut rows = Vec::new();
    for (number, text) in notes {
        let note = Note::parse(&text).with_context(|| format!("checkpoint {number}"))?;
        let said = note.checkpoint;
        rows.push(json!({
            "number": said.number,
            "tree_size": said.tree_size,
            "root": hex::encode(said.root),
            "head_at": said.head_at,
            "signed_at": said.signed_at,
            "key_id": said.key_id,
            "note": text,
        }));
    }
    output::list(format, &["number", "events", "root", "last event", "signed", "key"], &rows, |row| {
        let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
        ["number", "tree_size", "root", "head_at", "signed_at", "key_id"].map(text).to_vec()
    })
}
