//! Whether a fault shows, asked of the data, the files and the sockets themselves.

use crate::support::{client, listing, provider, roots};
use lab::LabHandle;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{ServerName, UnixTime};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Faults that one query tells.
const QUERIES: &[(&str, &str)] = &[
    ("queue-backlog", "SELECT queued >= 48000 FROM double_event_processor WHERE name = 'ContentIndex'"),
    (
        "poison-event",
        "SELECT processed = processed_before AND failed > failed_before AND queued > 0 AND lasterror IS NOT NULL
         FROM double_event_processor WHERE name = 'Subscriptions'",
    ),
    (
        "processor-suspended",
        "SELECT status = 'Suspended' AND queued > 0 AND status_since < now() - interval '2 days'
         FROM double_event_processor WHERE name = 'WordIndexing'",
    ),
    ("audit-disabled", "SELECT status = 'Ignored' FROM double_event_processor WHERE name = 'AuditLog'"),
    (
        "mail-processor-down",
        "SELECT status <> 'Processing' FROM double_event_processor WHERE name = 'MailNotification'",
    ),
    ("store-near-capacity", "SELECT bool_or(100 * esbytes / escapacity > 95) FROM tselecstor"),
    (
        "store-counters-drift",
        "SELECT esitems > 20 + (SELECT count(*) FROM tsrecelec WHERE restore = 2)
             + (SELECT count(*) FROM tserecvsn WHERE restore = 2)
             + (SELECT count(*) FROM tsrenditio WHERE restore = 2) FROM tselecstor WHERE uri = 2",
    ),
    ("delete-retries", "SELECT bool_or(esdeleteretries > 50) FROM tselecstor"),
    (
        "duplicate-resid",
        "SELECT EXISTS (SELECT 1 FROM tsrecelec GROUP BY restore, resid HAVING count(DISTINCT uri) > 1)",
    ),
    (
        "record-without-document",
        "SELECT count(*) = 5 FROM tsrecord r JOIN tsrectype t ON t.uri = r.rcrectypeuri
         WHERE t.rtneedsdocument AND NOT EXISTS (SELECT 1 FROM tsrecelec e WHERE e.uri = r.uri)",
    ),
    ("blank-hash", "SELECT count(*) >= 10 FROM tsrecelec WHERE rehash IS NULL"),
    ("not-indexed-network", "SELECT count(*) > 20 FROM tsrecelec WHERE reindexstatus = 'NetworkError'"),
    (
        "word-index-stale",
        "SELECT count(*) > 40 FROM tsrecord r WHERE NOT EXISTS (SELECT 1 FROM tstxtidx x WHERE x.recuri = r.uri)",
    ),
    ("schema-behind", "SELECT schemaversion < 1105 FROM double_schema_info"),
    ("blocking-lock", "SELECT bool_or(cardinality(pg_blocking_pids(pid)) > 0) FROM pg_stat_activity"),
    ("idle-in-transaction", "SELECT bool_or(coalesce(state, '') = 'idle in transaction') FROM pg_stat_activity"),
    (
        "stale-statistics",
        "SELECT n_mod_since_analyze >= 5000 AND n_mod_since_analyze > 0.4 * n_live_tup FROM pg_stat_user_tables
         WHERE relname = 'tsrecloc'",
    ),
    ("dead-tuples", "SELECT n_dead_tup >= 5000 FROM pg_stat_user_tables WHERE relname = 'tsexfieldv'"),
    (
        "abandoned-slot",
        "SELECT EXISTS (SELECT 1 FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL)",
    ),
    ("invalid-index", "SELECT bool_or(NOT indisvalid) FROM pg_index"),
    ("sequence-near-end", "SELECT last_value > 0.95 * 2147483647 FROM tsreclink_uri_seq"),
    (
        "failed-logins",
        "SELECT count(*) > 9 FROM double_audit_event WHERE event = 30 AND at > now() - interval '1 hour'",
    ),
    ("bypass-acl", "SELECT count(*) > 0 FROM double_audit_event WHERE event = 196 AND at > now() - interval '7 days'"),
    ("render-stuck", "SELECT min(rqqueued) < now() - interval '1 hour' FROM tsrendqueu"),
    ("licence-breached", "SELECT bool_or(used > seats) FROM double_licence"),
    (
        "retention-stale",
        "SELECT count(*) > 0 FROM tsrecord WHERE rctriggerdate < now() - interval '2 days'
         AND (rcrecalcdate IS NULL OR rcrecalcdate < rctriggerdate)",
    ),
    (
        "queue-duplicates",
        "SELECT EXISTS (SELECT 1 FROM tsrecord r JOIN tsrecelec e ON e.uri = r.uri
         WHERE r.rcqueueuri IS NOT NULL AND r.rcdatereg > now() - interval '1 day'
         GROUP BY r.rcqueueuri, e.rehash HAVING count(*) > 5)",
    ),
];

/// Whether the fault shows.
pub async fn shows(handle: &LabHandle, name: &str) -> bool {
    let pool = handle.dataset().await.unwrap();
    if let Some((_, query)) = QUERIES.iter().find(|(one, _)| *one == name) {
        return sqlx::query_scalar(query).fetch_one(pool).await.unwrap();
    }
    match name {
        "wgs-down" => TcpStream::connect(("127.0.0.1", handle.port("wgs-2").unwrap())).await.is_err(),
        "wgs-config-behind" => config(handle, "wgs-2").contains(" version=\"41\""),
        "config-not-deployed" => config(handle, "wgs-1").contains("adminVersion=\"43\""),
        "audit-on-two-servers" => {
            config(handle, "wgs-1").contains("type=\"AuditLog\" status=\"Processing\" runOn=\"wgs-2\"")
        }
        "audit-log-gap" => audit_gap(handle),
        "file-missing" => compare_files(handle).await.0 == 3,
        "file-corrupt" => compare_files(handle).await.1 == 2,
        "file-truncated" => compare_files(handle).await.2 == 2,
        "orphan-files" => compare_files(handle).await.3 == 5,
        "folder-overfull" => folder_overfull(handle).await,
        "store-access-lost" => {
            use std::os::unix::fs::PermissionsExt;
            handle.folders().store(2).metadata().unwrap().permissions().mode() & 0o300 != 0o300
        }
        "certificate-expiring" => verify(handle, "localhost", 30).await.is_some_and(|error| error.contains("xpired")),
        "certificate-wrong-name" => {
            verify(handle, "localhost", 0).await.is_some() && verify(handle, "127.0.0.1", 0).await.is_none()
        }
        "web-cannot-reach-wgs" => status(handle, "/CMServiceAPI/RecordType?q=all").await == 500,
        "web-slow" => {
            let start = Instant::now();
            status(handle, "/").await;
            start.elapsed() > Duration::from_secs(2)
        }
        "web-errors" => status(handle, "/").await == 500,
        "clock-skew" => date_skew(handle).await.abs() > 300,
        "error-burst" => repeated(handle, "wgs-1/TRIMWorkgroup", "Error: ") > 200,
        "web-log-errors" => repeated(handle, "web/log-file", "ERROR ") > 200,
        "ldap-failing" => repeated(handle, "wgs-1/LDAP", "-x- Failed") > 20,
        "log-silent" => newest_age(handle) > Duration::from_hours(2),
        "index-red" | "index-replicas" | "index-read-only" | "index-lag" => index_shows(handle, name).await,
        "redis-memory-full" => redis_full(handle).await,
        other => panic!("nobody looks for {other}"),
    }
}

/// Asked over the wire, as anybody would.
async fn index_shows(handle: &LabHandle, name: &str) -> bool {
    let get = async |path: &str| -> serde_json::Value {
        let url = format!("http://127.0.0.1:{}{path}", handle.port("index").unwrap());
        client(handle).get(url).send().await.unwrap().json().await.unwrap()
    };
    match name {
        "index-red" => get("/_cluster/health").await["status"] == "red",
        // A red index is no yellow one: of two faults at once the settings tell.
        "index-replicas" => {
            let settings = get("/cm-d1/_settings").await.to_string();
            settings.contains(r#""index.number_of_replicas":"1""#)
        }
        "index-read-only" => get("/cm-d1/_settings").await.to_string().contains("read_only_allow_delete"),
        _ => {
            let state = std::fs::read_to_string(handle.folders().root().join("content-index/state.json")).unwrap();
            let state: serde_json::Value = serde_json::from_str(&state).unwrap();
            !state.pointer("/indices/cm-d1-000001/held_back").unwrap().as_array().unwrap().is_empty()
        }
    }
}

fn config(handle: &LabHandle, wgs: &str) -> String {
    std::fs::read_to_string(handle.folders().config(wgs)).unwrap()
}

fn audit_gap(handle: &LabHandle) -> bool {
    let today = chrono::Utc::now().date_naive();
    let there: Vec<bool> = (0..14)
        .map(|days| {
            let day = today - chrono::TimeDelta::days(days);
            handle.folders().audit_logs().join(day.format("%Y/Date_%Y-%m-%d.log").to_string()).exists()
        })
        .collect();
    there.contains(&false)
}

/// How many files are missing, differ in content only, differ in size, or are unknown.
async fn compare_files(handle: &LabHandle) -> (usize, usize, usize, usize) {
    let rows: Vec<(i64, String, i64, Option<String>)> = sqlx::query_as(
        "SELECT restore, resid, rebytes, rehash FROM tsrecelec
         UNION SELECT restore, resid, rvbytes, rvhash FROM tserecvsn
         UNION SELECT restore, resid, rdbytes, rdhash FROM tsrenditio",
    )
    .fetch_all(handle.dataset().await.unwrap())
    .await
    .unwrap();
    let mut files = BTreeMap::new();
    for store in [1, 2] {
        for (path, told) in listing(&handle.folders().store(store)) {
            if path.is_file() {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                files.insert((store, name), told);
            }
        }
    }
    let (mut missing, mut content, mut size) = (0, 0, 0);
    for (store, resid, bytes, hash) in rows {
        let Some(told) = files.remove(&(store, resid)) else {
            missing += 1;
            continue;
        };
        let words: Vec<&str> = told.split(' ').collect();
        if words[0] != bytes.to_string() {
            size += 1;
        } else if hash.is_some_and(|hash| hash != words[words.len() - 1]) {
            content += 1;
        }
    }
    (missing, content, size, files.len())
}

async fn folder_overfull(handle: &LabHandle) -> bool {
    let folder = handle.folders().store(1).join("000");
    let full = std::fs::read_dir(folder).unwrap().count() > 1_000;
    // It is about the folder only: the dataset knows all of its files.
    full && compare_files(handle).await == (0, 0, 0, 0)
}

/// Why the certificate is not good for a name in so many days; nothing where it is.
async fn verify(handle: &LabHandle, name: &str, days: u64) -> Option<String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(handle)), provider()).build().unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(chrono::Utc::now().timestamp() as u64 + days * 86_400));
    let shown = crate::faults::shown_certificate(handle).await;
    verifier.verify_server_cert(&shown, &[], &name, &[], at).err().map(|error| error.to_string())
}

async fn status(handle: &LabHandle, path: &str) -> u16 {
    let base = format!("https://127.0.0.1:{}", handle.port("web").unwrap());
    client(handle).get(format!("{base}{path}")).send().await.unwrap().status().as_u16()
}

async fn date_skew(handle: &LabHandle) -> i64 {
    let url = format!("https://127.0.0.1:{}/", handle.port("web").unwrap());
    let answer = client(handle).get(url).send().await.unwrap();
    let date = answer.headers()["date"].to_str().unwrap();
    chrono::DateTime::parse_from_rfc2822(date).unwrap().timestamp() - chrono::Utc::now().timestamp()
}

/// How often the most frequent line with this text occurs in the logs whose path contains `path`, without its time.
fn repeated(handle: &LabHandle, path: &str, text: &str) -> usize {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in listing(&handle.folders().root().join("logs")).into_keys() {
        if file.is_file() && file.display().to_string().contains(path) {
            for line in std::fs::read_to_string(&file).unwrap().lines() {
                if let Some(at) = line.find(text) {
                    *counts.entry(line[at..].to_owned()).or_default() += 1;
                }
            }
        }
    }
    counts.into_values().max().unwrap_or(0)
}

/// How long ago the newest workgroup log of wgs-2 was written.
fn newest_age(handle: &LabHandle) -> Duration {
    let files = std::fs::read_dir(handle.folders().logs("wgs-2")).unwrap().flatten();
    let logs = files.filter(|file| file.file_name().to_str().unwrap().starts_with("TRIMWorkgroup_"));
    let newest = logs.map(|file| file.metadata().unwrap().modified().unwrap()).max().unwrap();
    newest.elapsed().unwrap_or_default()
}

async fn redis_full(handle: &LabHandle) -> bool {
    let url = &handle.description().component("cache").unwrap().settings["url"];
    let address = url.trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let ask = move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"INFO memory\r\nQUIT\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let text = tokio::task::spawn_blocking(ask).await.unwrap();
    let value = |name: &str| -> f64 {
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim_start_matches(':').trim().parse().unwrap()
    };
    let maximum = value("maxmemory:");
    maximum > 0.0 && value("used_memory:") / maximum > 0.9
}
