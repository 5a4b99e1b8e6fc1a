use super::{check, component, target};
use chrono::{DateTime, TimeDelta, Utc};
use domain::deployment::ComponentKind;
use engine::check::Check;
use engine::probe::{MemoryOffsets, Probes, Row, Target};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A folder of logs, a probe with its state, and the time.
struct Logs {
    folder: tempfile::TempDir,
    probes: Probes,
    check: Check,
    now: DateTime<Utc>,
    settings: Vec<(String, String)>,
}

const WORKGROUP: &str = r#"kind = "log"
files = ["TRIMWorkgroup_*.log*"]
grammar = "workgroup"
window = "1h"
pattern = [{ name = "error", regex = "^Error:" }, { name = "any", regex = "uri" }]"#;

impl Logs {
    fn new(probe: &str, now: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            probes: Probes::new(Arc::new(MemoryOffsets::default())),
            check: check(probe),
            now: DateTime::parse_from_rfc3339(now).unwrap().to_utc(),
            settings: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        self.open(name).write_all(text.as_bytes()).unwrap();
    }

    /// Opened as its writer has it; its time is that of the test.
    fn open(&self, name: &str) -> File {
        let file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.set_modified(self.now.into()).unwrap();
        file
    }

    fn target(&self) -> Target {
        let folder = self.folder.path().display().to_string();
        let mut server = component("wgs-1", ComponentKind::WorkgroupServer, &[("logs", &folder)]);
        server.settings.extend(self.settings.iter().cloned());
        Target { now: self.now, ..target(&[server]) }
    }

    async fn rows(&self) -> Vec<Row> {
        let measured = self.probes.measure(&self.check.probe, &self.target(), &CancellationToken::new()).await;
        measured.unwrap_or_else(|error| panic!("{error}")).rows
    }

    /// (pattern, message, count) without the row about the log.
    async fn counts(&self) -> Vec<(String, String, u64)> {
        let text = |row: &Row, key: &str| row[key].as_str().unwrap().to_owned();
        let rows = self.rows().await;
        let messages = rows.iter().filter(|row| row["pattern"] != "_log");
        messages.map(|row| (text(row, "pattern"), text(row, "message"), row["count"].as_u64().unwrap())).collect()
    }
}

fn errors(count: u64) -> Vec<(String, String, u64)> {
    if count == 0 { Vec::new() } else { vec![("error".to_owned(), "Error: store # full".to_owned(), count)] }
}

fn error_at(minute: u32, number: u32) -> String {
    format!("10:{minute:02}:30:123 4242 D1 0 0 Error: store {number} full\r\n")
}

const TODAY: &str = "TRIMWorkgroup_2026_11_24.log";

#[tokio::test]
async fn a_flood_of_one_message_counts_once_with_first_and_last() {
    let logs = Logs::new(WORKGROUP, "2026-11-24T11:00:00Z");
    let text: String = (0..5_000).map(|n| error_at(10 + n % 40, n)).collect();
    logs.append(TODAY, &text);
    logs.append(
        TODAY,
        "10:55:00:000 1 D1 0 0 Error: uri 6f1c2ad4-9d3f-4e0b-8a53-c1e847b09e21 not found\n   at Trim.Read()\n",
    );
    let rows = logs.rows().await;
    assert_eq!(rows.len(), 4, "{rows:?}");
    let log = &rows[0];
    assert_eq!((&log["pattern"], &log["lines"], &log["files"]), (&"_log".into(), &5_001.into(), &1.into()));
    assert_eq!((&log["newest"], &log["newest_age_s"]), (&"2026-11-24T10:55:00.000Z".into(), &300.0.into()));
    let flood = &rows[1];
    assert_eq!((&flood["message"], &flood["count"]), (&"Error: store # full".into(), &5_000.into()));
    assert_eq!(flood["first"], "2026-11-24T10:10:30.123Z");
    assert_eq!(flood["last"], "2026-11-24T10:49:30.123Z");
    assert_eq!((&flood["file"], &flood["window_s"]), (&TODAY.into(), &3_600.into()));
    assert_eq!(rows[2]["message"], "Error: uri # not found");
    assert_eq!((&rows[2]["pattern"], &rows[3]["pattern"]), (&"any".into(), &"error".into()));
}

#[tokio::test]
async fn reading_goes_on_and_counts_stay_for_the_window() {
    let mut logs = Logs::new(WORKGROUP, "2026-11-24T10:30:00Z");
    // Held open by its writer, with a line that is not finished yet.
    let mut writer = logs.open(TODAY);
    writer.write_all(format!("{}{}", error_at(20, 1), "10:21:00:000 1 D1 0 0 Error: sto").as_bytes()).unwrap();
    assert_eq!(logs.counts().await, errors(1));
    assert_eq!(logs.counts().await, errors(1));
    writer.write_all(b"re 2 full\n").unwrap();
    assert_eq!(logs.counts().await, errors(2));
    writer.write_all(error_at(50, 3).as_bytes()).unwrap();
    logs.now += TimeDelta::minutes(30);
    writer.set_modified(logs.now.into()).unwrap();
    assert_eq!(logs.counts().await, errors(3));
    // The first two leave the window, which is cut in minutes; nothing new has come.
    logs.now += TimeDelta::minutes(30);
    assert_eq!(logs.counts().await, errors(1));
    logs.now += TimeDelta::minutes(60);
    assert_eq!(logs.counts().await, errors(0));
    assert_eq!(logs.rows().await[0]["newest"], "2026-11-24T10:50:30.123Z");
}

#[tokio::test]
async fn rotation_truncation_and_copies_neither_lose_nor_double() {
    let logs = Logs::new(WORKGROUP, "2026-11-24T10:30:00Z");
    let many: String = (0..10).map(|n| error_at(n, n)).collect();
    logs.append(TODAY, &many);
    assert_eq!(logs.counts().await, errors(10));
    // Renamed away, with two more lines that were not read yet, and begun anew.
    logs.append(TODAY, &(error_at(11, 1) + &error_at(12, 1)));
    fs::rename(logs.path(TODAY), logs.path(&format!("{TODAY}.1"))).unwrap();
    logs.append(TODAY, &error_at(13, 77).repeat(4));
    assert_eq!(logs.counts().await, errors(16));
    // Copied and truncated in place.
    logs.append(TODAY, &error_at(14, 78).repeat(4));
    fs::copy(logs.path(TODAY), logs.path(&format!("{TODAY}.2"))).unwrap();
    File::create(logs.path(TODAY)).unwrap();
    logs.append(TODAY, &error_at(15, 5));
    assert_eq!(logs.counts().await, errors(21));
    // Truncated and written anew past the old size, with nothing kept.
    File::create(logs.path(TODAY)).unwrap();
    logs.append(TODAY, &"10:16:00:000 9 D1 0 0 all is well\n".repeat(20));
    logs.append(TODAY, &error_at(17, 6));
    assert_eq!(logs.counts().await, errors(22));
    // Gone: what it counted still counts.
    fs::remove_file(logs.path(&format!("{TODAY}.1"))).unwrap();
    assert_eq!(logs.counts().await, errors(22));
}

#[tokio::test]
async fn midnight_falls_into_a_file_and_the_zone_is_the_servers() {
    let mut logs = Logs::new(WORKGROUP, "2026-11-25T00:30:00Z");
    logs.append(TODAY, "23:59:59:900 4242 D1 0 0 Error: store 1 full\n00:00:00:100 4242 D1 0 0 Error: store 2 full\n");
    let rows = logs.rows().await;
    assert_eq!(rows[1]["first"], "2026-11-24T23:59:59.900Z");
    assert_eq!(rows[1]["last"], "2026-11-25T00:00:00.100Z");
    logs.append(TODAY, "00:10:00:000 4242 D1 0 0 Error: store 3 full\n");
    assert_eq!(logs.rows().await[1]["last"], "2026-11-25T00:10:00.000Z");

    let mut east = Logs::new(WORKGROUP, "2026-11-24T09:00:00Z");
    east.settings.push(("utc_offset_minutes".to_owned(), "120".to_owned()));
    east.append(TODAY, &error_at(50, 1));
    assert_eq!(east.rows().await[1]["last"], "2026-11-24T08:50:30.123Z");
    logs.now += TimeDelta::hours(3);
    assert_eq!(logs.rows().await[0]["newest"], "2026-11-25T00:10:00.000Z");
}

#[tokio::test]
async fn the_other_grammars_are_read() {
    let table = [
        (
            "log4net",
            "log-file.txt",
            "2026-11-24 10:15:30,123 [12] ERROR Trim.Web - no server\n",
            "ERROR Trim.Web - no server",
        ),
        ("ldap", "LDAP_2026_11_24.log", "10:15:30:123 4242 -x- Failed to bind: ERROR 49\n", "Failed to bind: ERROR #"),
        (
            "event",
            "TRIMEvent_D1_2026_11_24.log",
            "10:15:30:123 4242 D1 0 0 ContentIndex: ERROR in event 5\n",
            "ContentIndex: ERROR in event #",
        ),
    ];
    for (grammar, file, line, message) in table {
        let probe = format!(
            "kind = 'log'\nfiles = ['{file}']\ngrammar = '{grammar}'\npattern = [{{ name = 'e', regex = 'ERROR' }}]"
        );
        let logs = Logs::new(&probe, "2026-11-24T10:30:00Z");
        logs.append(file, line);
        let rows = logs.rows().await;
        assert_eq!(rows[1]["message"], message, "{grammar}");
        assert_eq!(rows[1]["last"], "2026-11-24T10:15:30.123Z", "{grammar}");
    }
}

#[tokio::test]
async fn a_silent_log_shows_its_age_and_an_absent_folder_is_an_error() {
    let mut logs = Logs::new(WORKGROUP, "2026-11-24T10:10:00Z");
    logs.append(TODAY, &error_at(5, 1));
    logs.now += TimeDelta::hours(9);
    let row = logs.rows().await.remove(0);
    assert_eq!((&row["lines"], &row["newest"]), (&0.into(), &"2026-11-24T10:05:30.123Z".into()));
    assert!(row["newest_age_s"].as_f64().unwrap() > 9.0 * 3_600.0);
    fs::remove_file(logs.path(TODAY)).unwrap();
    let row = logs.rows().await.remove(0);
    assert_eq!((&row["files"], &row["newest_age_s"]), (&0.into(), &serde_json::Value::Null));
    fs::remove_dir_all(logs.folder.path()).unwrap();
    let measured = logs.probes.measure(&logs.check.probe, &logs.target(), &CancellationToken::new()).await;
    assert!(measured.is_err());
}
