//! Measurements too large for an event: stored once by the SHA-256 of their bytes, compressed; the event carries the
//! hash.
//!
//! The hash is of the bytes as given, so that anybody can check a piece of evidence against the event that names it.
//! [`judged`] is what the runner keeps of a measurement; beside it are the files of the checks that judged.

pub mod judged;

use chrono::{DateTime, Utc};
use domain::EvidenceHash;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::postgres::PgPool;
use std::collections::HashMap;
use std::io::Read;

/// The largest piece that is stored whole, in bytes.
pub const EVIDENCE_BYTES_MAX: usize = 4 << 20;
/// What is kept of the start of a larger one. JSON escapes may make six bytes of one: it stays below the maximum.
const START_BYTES: usize = 512 << 10;
/// The most pieces that one statement reads.
pub const READ_MAX: usize = 16;
/// What a piece of evidence is, unless it is something else.
pub const JSON: &str = "application/json";
/// What the file of a check is.
pub const TOML: &str = "application/toml";
const LEVEL: i32 = 3;

/// Why evidence was not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The database can not be reached, or refused; to be tried again.
    #[error("the evidence store's database failed")]
    Database(#[from] sqlx::Error),
    /// It could not be compressed or decompressed.
    #[error("evidence {hash} can not be unpacked")]
    Packing {
        /// Which.
        hash: String,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
    /// The bytes stored are not those that the hash names.
    #[error("evidence {hash} is damaged: its bytes have another hash")]
    Damaged {
        /// Which.
        hash: String,
    },
    /// The thread that packs ended without an answer.
    #[error("packing evidence was interrupted")]
    Interrupted,
}

/// A stored piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvidence {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they are, such as `application/json`.
    pub media_type: String,
    /// When it was stored first.
    pub created_at: DateTime<Utc>,
}

/// The evidence store.
#[derive(Debug, Clone)]
pub struct EvidenceStore {
    pool: PgPool,
}

struct Packed {
    hash: String,
    bytes: Vec<u8>,
    raw_size: i32,
}

impl EvidenceStore {
    /// The store in a migrated database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Stores one piece of JSON; the same bytes are stored once.
    pub async fn put(&self, json: Vec<u8>, now: DateTime<Utc>) -> Result<EvidenceHash, EvidenceError> {
        self.put_as(json, JSON, now).await
    }

    /// Stores one piece of something; the same bytes are stored once.
    pub async fn put_as(
        &self,
        bytes: Vec<u8>,
        media_type: &'static str,
        now: DateTime<Utc>,
    ) -> Result<EvidenceHash, EvidenceError> {
        self.store(vec![bytes], media_type, now).await?.pop().ok_or(EvidenceError::Interrupted)
    }

    /// Stores pieces of JSON in one statement; gives their hashes in the same order. One larger than
    /// [`EVIDENCE_BYTES_MAX`] is replaced by an object that says so and holds its start.
    pub async fn put_all(&self, pieces: Vec<Vec<u8>>, now: DateTime<Utc>) -> Result<Vec<EvidenceHash>, EvidenceError> {
        self.store(pieces, JSON, now).await
    }

    async fn store(
        &self,
        pieces: Vec<Vec<u8>>,
        media_type: &'static str,
        now: DateTime<Utc>,
    ) -> Result<Vec<EvidenceHash>, EvidenceError> {
        if pieces.is_empty() {
            return Ok(Vec::new());
        }
        let pack_all = move || pieces.into_iter().map(pack).collect::<Result<Vec<_>, _>>();
        let mut packed = tokio::task::spawn_blocking(pack_all).await.map_err(|_| EvidenceError::Interrupted)??;
        let hashes: Vec<String> = packed.iter().map(|one| one.hash.clone()).collect();
        // In the order of the key: two writers of the same pieces then wait for each other, and never deadlock.
        packed.sort_by(|a, b| a.hash.cmp(&b.hash));
        packed.dedup_by(|a, b| a.hash == b.hash);
        let sizes: Vec<i32> = packed.iter().map(|one| one.raw_size).collect();
        let (keys, bytes): (Vec<String>, Vec<Vec<u8>>) = packed.into_iter().map(|one| (one.hash, one.bytes)).unzip();
        sqlx::query(
            "INSERT INTO cmdiag.evidence (hash, bytes, raw_size, media_type, created_at) \
             SELECT h, b, s, $4, $5 FROM UNNEST($1::text[], $2::bytea[], $3::int[]) AS e (h, b, s) \
             ON CONFLICT DO NOTHING",
        )
        .bind(keys)
        .bind(bytes)
        .bind(sizes)
        .bind(media_type)
        .bind(now)
        .execute(&self.pool)
        .await?;
        let damaged = |hash: String| EvidenceError::Damaged { hash };
        hashes.into_iter().map(|hash| EvidenceHash::new(hash.clone()).map_err(|_| damaged(hash))).collect()
    }

    /// Reads several pieces in one statement, at most [`READ_MAX`], and checks each against its hash. One that is not
    /// there is left out; one that is damaged is an error of its own.
    pub async fn get_all(
        &self,
        hashes: &[EvidenceHash],
    ) -> Result<HashMap<EvidenceHash, Result<Vec<u8>, EvidenceError>>, EvidenceError> {
        let wanted: Vec<String> = hashes.iter().take(READ_MAX).map(ToString::to_string).collect();
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("SELECT hash, bytes FROM cmdiag.evidence WHERE hash = ANY($1)")
                .bind(&wanted)
                .fetch_all(&self.pool)
                .await?;
        let unpack_all = move || rows.into_iter().map(|(hash, packed)| (hash.clone(), unpack(&packed, hash))).collect();
        let unpacked: Vec<(String, Result<Vec<u8>, EvidenceError>)> =
            tokio::task::spawn_blocking(unpack_all).await.map_err(|_| EvidenceError::Interrupted)?;
        // What the table's own constraint let in is a hash.
        Ok(unpacked.into_iter().filter_map(|(hash, bytes)| Some((EvidenceHash::new(hash).ok()?, bytes))).collect())
    }

    /// Reads one piece, and checks it against its hash.
    pub async fn get(&self, hash: &EvidenceHash) -> Result<Option<StoredEvidence>, EvidenceError> {
        let row = sqlx::query("SELECT bytes, media_type, created_at FROM cmdiag.evidence WHERE hash = $1")
            .bind(hash.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (packed, wanted): (Vec<u8>, String) = (row.try_get("bytes")?, hash.to_string());
        let bytes = tokio::task::spawn_blocking(move || unpack(&packed, wanted))
            .await
            .map_err(|_| EvidenceError::Interrupted)??;
        Ok(Some(StoredEvidence {
            bytes,
            media_type: row.try_get("media_type")?,
            created_at: row.try_get("created_at")?,
        }))
    }
}

fn pack(json: Vec<u8>) -> Result<Packed, EvidenceError> {
    let raw = if json.len() > EVIDENCE_BYTES_MAX { cut(&json) } else { json };
    let hash = sha256(&raw);
    let bytes = zstd::encode_all(raw.as_slice(), LEVEL)
        .map_err(|source| EvidenceError::Packing { hash: hash.clone(), source })?;
    Ok(Packed { hash, bytes, raw_size: i32::try_from(raw.len()).unwrap_or(i32::MAX) })
}

fn unpack(packed: &[u8], hash: String) -> Result<Vec<u8>, EvidenceError> {
    let mut bytes = Vec::new();
    // Bounded: a damaged row must not fill the memory.
    let read = zstd::Decoder::new(packed)
        .and_then(|decoder| decoder.take(EVIDENCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(source) => Err(EvidenceError::Packing { hash, source }),
        Ok(_) if sha256(&bytes) != hash => Err(EvidenceError::Damaged { hash }),
        Ok(_) => Ok(bytes),
    }
}

/// What stands for a piece that is too large: says that it was cut, and what was cut.
fn cut(json: &[u8]) -> Vec<u8> {
    let start = String::from_utf8_lossy(&json[..START_BYTES]);
    serde_json::json!({ "truncated": true, "whole_bytes": json.len(), "whole_sha256": sha256(json), "start": start })
        .to_string()
        .into_bytes()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_undone_and_checked() {
        let packed = pack(br#"{"a":1}"#.to_vec()).unwrap();
        assert_eq!(packed.hash, sha256(br#"{"a":1}"#));
        assert_eq!(unpack(&packed.bytes, packed.hash.clone()).unwrap(), br#"{"a":1}"#);
        let other = sha256(b"other");
        assert!(matches!(unpack(&packed.bytes, other), Err(EvidenceError::Damaged { .. })));
        assert!(matches!(unpack(b"no zstd", packed.hash), Err(EvidenceError::Packing { .. })));
    }

    #[test]
    fn what_is_too_large_is_cut_and_says_so() {
        let json = format!("\"{}\"", "\u{1}".repeat(EVIDENCE_BYTES_MAX)).into_bytes();
        let packed = pack(json.clone()).unwrap();
        let stored: serde_json::Value =
            serde_json::from_slice(&unpack(&packed.bytes, packed.hash.clone()).unwrap()).unwrap();
        assert_eq!(stored["truncated"], true);
        assert_eq!(stored["whole_bytes"], json.len());
        assert_eq!(stored["whole_sha256"], sha256(&json));
        assert!(packed.raw_size as usize <= EVIDENCE_BYTES_MAX, "{} bytes", packed.raw_size);
    }
}
