//! The vault of personal data: its master key from the configuration, or, beside a private server, from a file of our
//! own.

use crate::config::Config;
use anyhow::{Context, Result, bail};
use sqlx::PgPool;
use std::path::PathBuf;
use vault::{MasterKey, Vault};

/// The file of the master key where the database is on a private server.
const FILE: &str = "master.key";

/// Opens the vault. Where names are sealed already and their master key is not at hand, nothing starts: going on would
/// write names openly.
pub async fn open(config: &Config, pool: &PgPool, owns_database: bool) -> Result<Vault> {
    let master = match configured(config)? {
        Some(master) => Some(master),
        None if owns_database => Some(of_our_own(config, pool).await?),
        None => None,
    };
    Vault::connect(pool.clone(), master).await.context("open the vault of personal data")
}

/// The configured master key.
pub fn configured(config: &Config) -> Result<Option<MasterKey>> {
    if let Some(key) = &config.privacy.master_key {
        return MasterKey::from_hex(key.reveal()).map(Some).context("the master key (CMDIAG_MASTER_KEY)");
    }
    let Some(file) = &config.privacy.master_key_file else { return Ok(None) };
    MasterKey::from_file(file).map(Some).with_context(|| format!("the master key file {}", file.display()))
}

/// Where the master key of a private server's database is.
pub fn own_file(config: &Config) -> PathBuf {
    config.data_dir().join(FILE)
}

/// Made the first time, and never again once it is needed.
async fn of_our_own(config: &Config, pool: &PgPool) -> Result<MasterKey> {
    let file = own_file(config);
    if !file.exists() && Vault::has_master_key(pool).await.context("ask for the vault of personal data")? {
        bail!("names in this database are sealed, and their master key {} is gone: bring it back", file.display());
    }
    MasterKey::from_file_or_new(&file).with_context(|| format!("the master key file {}", file.display()))
}
