//! `cmdiag audit keys`, `cmdiag audit rotate-key`: the keys that sign the history.

use crate::cli::Format;
use crate::output;
use crate::platform::Platform;
use crate::platform::auditing::{keyring, presented};
use anyhow::{Context, Result, anyhow, bail};
use audit::keys::attest;
use audit::{KeyHistory, PublicKey, store};
use clap::Args;
use domain::audit_keys::{AuditKeys, AuditKeysCommand};
use serde_json::json;

#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Why
    #[arg(long)]
    pub reason: String,
    /// The present key is lost: go on without its signature. Whoever has pinned it must be told, and pin the new one
    #[arg(long)]
    pub lost: bool,
    /// Keep the private key that is retired instead of removing it
    #[arg(long)]
    pub keep: bool,
}

/// Prints the keys, the one in force last; each in the form that `--key` takes.
pub async fn list(platform: &Platform, format: Format) -> Result<()> {
    let origin = store::origin(&platform.pool).await.context("ask for the log's name")?;
    let mut history = KeyHistory::default();
    for (position, payload) in store::key_events(&platform.pool, i64::MAX as u64).await.context("read the keys")? {
        history.apply(position, &payload).map_err(|why| anyhow!("the key at position {position}: {why}"))?;
    }
    let keyring = keyring(&platform.config);
    let mut rows = Vec::new();
    for key in history.all() {
        let id = key.key.id();
        // A file that is there and not readable is worth a word, too.
        let here = keyring.signer(&id).is_ok_and(|signer| signer.is_some());
        rows.push(json!({
            "position": key.position,
            "key_id": id,
            "endorsed": key.endorsed,
            "here": here,
            "verifier_key": key.key.verifier_key(&origin),
        }));
    }
    if format == Format::Json {
        return output::json(&rows);
    }
    let header = ["from position", "key", "endorsed by the one before", "private key here"];
    output::list(format, &header, &rows, |row| {
        let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
        ["position", "key_id", "endorsed", "here"].map(text).to_vec()
    })?;
    // In lines of their own: a table would break them, and they are there to be copied.
    history.all().iter().try_for_each(|key| output::line(&key.key.verifier_key(&origin)))
}

/// Puts a new key in force.
pub async fn rotate(platform: &Platform, arguments: &RotateArgs) -> Result<()> {
    let keyring = keyring(&platform.config);
    let (state, _) = platform.bus.load::<AuditKeys>(AuditKeys::id()).await?;
    let Some((retired_id, retired_key)) = state.keys.last() else {
        bail!("no signing key is registered yet: `cmdiag serve` registers the first one");
    };
    let retired = PublicKey::from_hex(retired_key).context("the key in force is not readable")?;
    let old = keyring.signer(retired_id)?;
    if old.is_none() && !arguments.lost {
        let folder = keyring.folder().display();
        bail!("the key in force, {retired_id}, is not in {folder}: rotate it where it is, or say --lost");
    }
    let signer = keyring.generate()?;
    let key = signer.public();
    let endorsement = old.filter(|_| !arguments.lost).map(|old| attest(&old, Some(&retired), &key));
    let endorsed = endorsement.is_some();
    let presented = presented(&signer, Some(&retired));
    let (retires, reason) = (retired_id.clone(), arguments.reason.clone());
    let command = AuditKeysCommand::Rotate { key: presented, retires, endorsement, reason };
    let executed = platform.bus.execute::<AuditKeys>(AuditKeys::id(), command, platform.metadata()).await;
    let executed = match executed {
        Ok(executed) => executed,
        Err(error) => {
            if matches!(error, command_side::CommandError::Refused { .. }) {
                keyring.remove(&key.id())?;
            }
            return Err(error.into());
        }
    };
    if !arguments.keep {
        keyring.remove(retired_id)?;
    }
    let origin = store::origin(&platform.pool).await?;
    output::line(&format!("the key {} is in force from position {}", key.id(), executed.position))?;
    if !endorsed {
        output::line("the key before it did not endorse it: whoever has pinned that one must pin this one")?;
    }
    output::line(&key.verifier_key(&origin))
}
