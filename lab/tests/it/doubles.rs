//! The live parts: ports, web, logs, counters.

use crate::support::{client, folder, small_lab, until};
use regex::Regex;
use serde_json::Value;
use std::path::Path;

#[tokio::test]
async fn the_web_double_answers_from_the_dataset_and_says_that_it_is_a_double() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let client = client(lab.handle());
    let base = lab.description().component("web").unwrap().settings["url"].clone();
    let page = client.get(&base).send().await.unwrap();
    assert_eq!((page.status().as_u16(), page.headers()["x-double"].to_str().unwrap()), (200, "content-manager-lab"));
    assert!(page.text().await.unwrap().contains("double"));
    let cases: [(&str, u16, &str, i64); 9] = [
        ("Record?q=all&pageSize=2&properties=RecordTitle&format=json", 200, "/TotalResults", 500),
        ("Record/7", 200, "/Results/0/Uri", 7),
        ("Record?q=number:DBL-00000008", 200, "/Results/0/Uri", 8),
        ("Record/123456", 404, "/ResponseStatus/ErrorCode", 404),
        ("Record?q=sql:injection'", 400, "/ResponseStatus/ErrorCode", 400),
        ("RecordType?q=all&properties=NameString&pageSize=1&ExcludeCount=true&format=json", 200, "/Results/0/Uri", 1),
        ("TrimDatasets", 200, "/Results/0/SchemaVersion", 1105),
        ("TrimWorkgroupServers", 200, "/TotalResults", 2),
        ("TrimEventProcessors", 200, "/TotalResults", 18),
    ];
    for (path, status, pointer, expected) in cases {
        let answer = client.get(format!("{base}/CMServiceAPI/{path}")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("x-double")), (status, true), "{path}");
        let json: Value = answer.json().await.unwrap();
        let found = json
            .pointer(pointer)
            .map(|value| value.as_i64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap()));
        assert_eq!((json["double"].as_bool(), found), (Some(true), Some(expected)), "{path}: {json}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn counters_proceed_also_after_a_restart() {
    let dir = folder();
    for _ in 0..2 {
        let lab = small_lab(dir.path()).await;
        let pool = lab.handle().dataset().await.unwrap();
        let stuck = "SELECT count(*) FROM double_event_processor WHERE status = 'Processing'
            AND (processed <= processed_before OR failed > failed_before OR queued > 10
                 OR sampled_at < now() - interval '3 seconds')";
        until("all processors proceed", || async {
            sqlx::query_scalar::<_, i64>(stuck).fetch_one(pool).await.unwrap() == 0
        })
        .await;
        let samples: i64 =
            sqlx::query_scalar("SELECT processed FROM double_event_processor WHERE name = 'ContentIndex'")
                .fetch_one(pool)
                .await
                .unwrap();
        until("the next sample", || async {
            let now: i64 =
                sqlx::query_scalar("SELECT processed FROM double_event_processor WHERE name = 'ContentIndex'")
                    .fetch_one(pool)
                    .await
                    .unwrap();
            now > samples
        })
        .await;
        lab.stop().await;
    }
}

/// The grammars as public material shows them.
fn grammar(file: &str) -> Regex {
    let clock = r"^\d\d:\d\d:\d\d:\d{3} \d+";
    let text = if file.starts_with("LDAP") {
        format!("{clock} -x- .+$")
    } else if file.starts_with("TRIMEvent_D1_") {
        format!(
            "{clock} D1 \\d+ \\d+ \\w+: (\\(workgroup notification\\) : Received \\d+ .+|\
             processing event: \\d+, eventtype =\\d+, bobtype=\\d+, boburi=\\d+, event processed immediately|\
             processing \\d+ buffered events)$"
        )
    } else if file.starts_with("TRIMWorkgroup_") {
        format!("{clock} D1 \\d+ \\d+ (Error: )?.+$")
    } else if file.starts_with("log-file.txt") {
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[\d+\] (INFO |WARN |ERROR) .+$".to_owned()
    } else {
        assert!(file.starts_with("Date_"), "an unknown log: {file}");
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\t[^\t]+){5}$".to_owned()
    };
    Regex::new(&text).unwrap()
}

fn files(root: &Path) -> Vec<std::path::PathBuf> {
    crate::support::listing(root)
        .into_keys()
        .filter(|path| path.extension().is_some_and(|e| e == "log" || e == "txt"))
        .collect()
}

#[tokio::test]
async fn every_line_of_every_log_is_in_its_grammar_and_logs_go_on() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let folders = lab.handle().folders();
    let mut logs = files(&folders.root().join("logs"));
    logs.extend(files(&folders.audit_logs()));
    let (mut lines, mut errors) = (0, 0);
    for path in &logs {
        let name = path.file_name().unwrap().to_str().unwrap();
        let grammar = grammar(name);
        for line in std::fs::read_to_string(path).unwrap().lines() {
            assert!(grammar.is_match(line), "{}: {line}", path.display());
            lines += 1;
            errors += usize::from(line.contains("Error:") || line.contains("ERROR") || line.contains("Failed"));
        }
    }
    assert!(lines > 10_000 && errors > 0 && errors < 60, "{errors} errors in {lines} lines");
    let today = chrono::Local::now().format("TRIMWorkgroup_%Y_%m_%d.log").to_string();
    for wgs in ["wgs-1", "wgs-2"] {
        let path = folders.logs(wgs).join(&today);
        let size = path.metadata().map_or(0, |meta| meta.len());
        until("the log grows", || async { path.metadata().is_ok_and(|meta| meta.len() > size) }).await;
    }
    lab.stop().await;
}

#[tokio::test]
async fn after_a_pause_logs_and_audit_days_are_filled_in() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let folders = lab.handle().folders().clone();
    lab.stop().await;
    // As if the lab had been down for three days.
    let today = chrono::Utc::now().date_naive();
    for days in 0..3 {
        let day = today - chrono::TimeDelta::days(days);
        let file = folders.audit_logs().join(day.format("%Y/Date_%Y-%m-%d.log").to_string());
        std::fs::remove_file(file).unwrap();
    }
    let past = std::time::SystemTime::now() - std::time::Duration::from_hours(3);
    let logs = files(&folders.root().join("logs"));
    for path in &logs {
        std::fs::File::options().append(true).open(path).unwrap().set_modified(past).unwrap();
    }
    let before = files(&folders.audit_logs()).len();
    let sizes: u64 = logs.iter().map(|path| path.metadata().unwrap().len()).sum();
    let lab = small_lab(dir.path()).await;
    assert_eq!(files(&folders.audit_logs()).len(), before + 3);
    let after: u64 = files(&folders.root().join("logs")).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(after > sizes + 100_000, "three hours of lines were added: {sizes} to {after}");
    lab.stop().await;
}
