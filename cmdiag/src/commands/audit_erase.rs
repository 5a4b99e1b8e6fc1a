//! `cmdiag audit erase`, `cmdiag audit subjects`: whom the history names, and how they are forgotten.

use crate::cli::Format;
use crate::output;
use crate::platform::Platform;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use command_side::erase;
use domain::SubjectId;
use serde::Serialize;
use std::process::ExitCode;
use vault::SubjectRecord;

/// `cmdiag audit erase`.
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// Whom: the name that they acted under (in any spelling), a personal text of the evidence, or a subject's id
    pub subject: String,
    /// Why. It stays in the history, so it must not say who
    #[arg(long)]
    pub reason: String,
}

/// `cmdiag audit subjects`.
#[derive(Debug, Args)]
pub struct SubjectsArgs {
    /// Only the one that this name or personal text belongs to
    #[arg(long, value_name = "TEXT")]
    pub find: Option<String>,
    /// At most so many, oldest first
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

#[derive(Debug, Serialize)]
struct ErasedDocument {
    subject: SubjectId,
    position: i64,
    key_fingerprint: String,
    destroyed_at: DateTime<Utc>,
    /// Commands from before names were sealed that still name them; absent where that was not asked or not answered.
    openly_named: Option<i64>,
}

#[derive(Debug, Serialize)]
struct SubjectDocument {
    subject: SubjectId,
    key_fingerprint: String,
    since: DateTime<Utc>,
    erased_at: Option<DateTime<Utc>>,
}

impl From<SubjectRecord> for SubjectDocument {
    fn from(record: SubjectRecord) -> Self {
        Self {
            subject: record.subject,
            key_fingerprint: record.key_fingerprint.to_string(),
            since: record.created_at,
            erased_at: record.erased_at,
        }
    }
}

/// Destroys somebody's key. Exit code 0: nobody can tell any more who they were; 1: that is so, but the history from
/// before names were sealed still names them.
pub async fn erase_subject(platform: &Platform, format: Format, arguments: &EraseArgs) -> Result<ExitCode> {
    if !platform.vault.is_on() {
        bail!("names are not sealed here, so nobody can be erased: see `cmdiag doctor`");
    }
    let named = arguments.subject.trim();
    let (subject, is_by_name) = match named.parse::<SubjectId>() {
        Ok(subject) => (subject, false),
        Err(_) => (find(platform, named).await?, true),
    };
    if is_by_name && arguments.reason.to_lowercase().contains(&named.to_lowercase()) {
        bail!("the reason names them, and it would stay: say why without saying who");
    }
    // Before anything is destroyed: afterwards nobody is found by name any more.
    let openly_named = if is_by_name {
        let looked = platform.vault.openly_named(&platform.tenant, named).await;
        Some(
            looked
                .context("the history from before names were sealed could not be looked through: nobody was erased")?,
        )
    } else {
        None
    };
    let reason = arguments.reason.clone();
    let erased = erase(&platform.bus, &platform.pool, subject, reason, platform.metadata()).await?;
    let erased = erased.with_context(|| format!("there is no subject {subject}"))?;
    let document = ErasedDocument {
        subject,
        position: erased.position.0,
        key_fingerprint: erased.key_fingerprint.to_string(),
        destroyed_at: erased.destroyed_at,
        openly_named,
    };
    print(format, &document)?;
    Ok(if openly_named.is_some_and(|count| count > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(format: Format, document: &ErasedDocument) -> Result<()> {
    if format == Format::Json {
        return output::json(document);
    }
    output::line(&format!(
        "Subject {} is erased: its key {} was destroyed at {} (on record at position {}).",
        document.subject,
        document.key_fingerprint,
        document.destroyed_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        document.position
    ))?;
    match document.openly_named {
        Some(0) => Ok(()),
        Some(count) => output::line(&format!(
            "{count} command(s) from before names were sealed still name them openly: these can not be erased."
        )),
        None => output::line(
            "Whether the history from before names were sealed names them was not looked up: erase by name to learn it.",
        ),
    }
}

async fn find(platform: &Platform, text: &str) -> Result<SubjectId> {
    let found = platform.vault.find(&platform.tenant, text).await?;
    found.context("nobody is known under this name: they never acted since names are sealed, or are erased already")
}

/// Lists subjects: by id only, for that is all that is known without their sealed names.
pub async fn subjects(platform: &Platform, format: Format, arguments: &SubjectsArgs) -> Result<()> {
    if !platform.vault.is_on() {
        bail!("names are not sealed here: see `cmdiag doctor`");
    }
    let wanted = match &arguments.find {
        Some(text) => Some(find(platform, text).await?),
        None => None,
    };
    let records = match wanted {
        Some(subject) => platform.vault.subject(&platform.tenant, subject).await?.into_iter().collect(),
        None => platform.vault.subjects(&platform.tenant, None, arguments.limit).await?,
    };
    let documents: Vec<SubjectDocument> = records.into_iter().map(SubjectDocument::from).collect();
    output::list(format, &["subject", "since", "erased", "key"], &documents, |document| {
        let at = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let erased = document.erased_at.map_or_else(|| "-".to_owned(), at);
        vec![document.subject.to_string(), at(document.since), erased, document.key_fingerprint[..16].to_owned()]
    })
}
