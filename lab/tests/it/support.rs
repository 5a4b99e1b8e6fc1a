//! What the tests share: a small lab, and a picture of everything in it that does not move by itself.

use lab::{Lab, LabHandle, LabOptions};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Everything that waits in these tests waits at most so long.
pub const BOUND: Duration = Duration::from_secs(30);

pub fn folder() -> tempfile::TempDir {
    private_servers::testing::test_folder()
}

pub async fn small_lab(dir: &Path) -> Lab {
    Lab::up(LabOptions::small(dir)).await.expect("the lab comes up")
}

/// Waits until a condition holds.
pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + BOUND;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All files below a folder: path, size, mode, time of change in nanoseconds, hash of the content.
pub fn listing(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let mode = folder.metadata().unwrap().permissions().mode();
        found.insert(folder.clone(), format!("{mode:o}"));
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.metadata().unwrap();
            if meta.is_dir() {
                folders.push(path);
                continue;
            }
            let hash = hex::encode(Sha256::digest(std::fs::read(&path).unwrap()));
            let changed = (meta.mtime(), meta.mtime_nsec());
            found.insert(path, format!("{} {:o} {changed:?} {hash}", meta.len(), meta.permissions().mode()));
        }
    }
    found
}

/// The content of every table, without what the lab moves by itself.
pub async fn tables(pool: &PgPool) -> BTreeMap<String, String> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut found = BTreeMap::new();
    for name in names {
        let rows = match name.as_str() {
            "double_event_processor" => "SELECT name, wgs, status, status_since, lasterror FROM double_event_processor",
            "tsrendqueu" => "SELECT uri, rqrecuri, rqstatus, rqerror FROM tsrendqueu",
            "double_audit_event" => {
                "SELECT * FROM double_audit_event WHERE uri >= 9000000000 OR event NOT IN (1,3,5,8,13,21,34)"
            }
            other => &format!("SELECT * FROM {other}"),
        };
        let digest = format!(
            "SELECT count(*) || ' ' || md5(coalesce(string_agg(x::text, '|' ORDER BY x::text), '')) FROM ({rows}) x"
        );
        found.insert(name, sqlx::query_scalar(&digest).fetch_one(pool).await.unwrap());
    }
    found
}

/// What a fault could have changed beside tables and files.
pub async fn surroundings(pool: &PgPool) -> Vec<String> {
    let questions =
        "SELECT 'index ' || c.relname || i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            WHERE c.relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'options ' || relname || coalesce(reloptions::text, '') FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
        UNION ALL SELECT 'sequence ' || last_value FROM tsreclink_uri_seq
        UNION ALL SELECT 'transaction ' || pid FROM pg_stat_activity
            WHERE datname = current_database() AND (state LIKE 'idle in%' OR wait_event_type = 'Lock')
        ORDER BY 1";
    sqlx::query_scalar(questions).fetch_all(pool).await.unwrap()
}

/// A picture of the lab for comparisons.
#[derive(Debug, PartialEq)]
pub struct Picture {
    pub stores: BTreeMap<PathBuf, String>,
    pub tables: BTreeMap<String, String>,
    pub config: BTreeMap<String, String>,
    pub surroundings: Vec<String>,
    pub audit_days: Vec<PathBuf>,
    pub content_index: String,
    pub control: serde_json::Value,
}

pub async fn picture(handle: &LabHandle) -> Picture {
    let folders = handle.folders();
    let pool = handle.dataset().await.unwrap();
    let mut config = BTreeMap::new();
    for path in
        listing(&folders.root().join("config")).into_keys().filter(|path| path.extension().is_some_and(|e| e == "tcfg"))
    {
        config.insert(path.display().to_string(), std::fs::read_to_string(&path).unwrap());
    }
    let content_index = std::fs::read_to_string(folders.root().join("content-index/state.json")).unwrap();
    let control = std::fs::read_to_string(folders.root().join("control.json")).unwrap_or_else(|_| "{}".to_owned());
    let mut control: serde_json::Value = serde_json::from_str(&control).unwrap();
    // What only counts up says nothing; what is empty need not be there.
    let control_map = control.as_object_mut().unwrap();
    control_map.retain(|key, value| key != "generation" && value.as_object().is_none_or(|map| !map.is_empty()));
    let audit_days = listing(&folders.audit_logs()).into_keys().collect();
    Picture {
        stores: listing(&folders.stores()),
        tables: tables(pool).await,
        config,
        surroundings: surroundings(pool).await,
        audit_days,
        content_index,
        control,
    }
}

/// A client that trusts the lab's authority only.
pub fn client(handle: &LabHandle) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_backend_preconfigured((*tls_config(handle)).clone())
        .timeout(BOUND)
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

pub fn roots(handle: &LabHandle) -> rustls::RootCertStore {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(handle.folders().tls().join("ca.pem")).unwrap()).unwrap();
    roots
}

pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub fn tls_config(handle: &LabHandle) -> Arc<rustls::ClientConfig> {
    let builder =
        rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots(handle)).with_no_client_auth())
}
