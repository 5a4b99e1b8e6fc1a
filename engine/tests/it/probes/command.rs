use super::{check, component, measure, only, probes, target, until};
use domain::deployment::ComponentKind;
use engine::probe::{Measurement, ProbeError, ProbeErrorKind, Target};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

fn host() -> Target {
    target(&[component("host-1", ComponentKind::Host, &[("path", "/a b; exit 9")])])
}

async fn shell(script: &str, more: &str) -> Result<Measurement, ProbeError> {
    let probe = format!(
        "kind = \"command\"\nargv = [\"/bin/sh\", \"-c\", '''{script}''', \"{{{{ settings.path }}}}\"]\n{more}"
    );
    measure(&probes(), &probe, &host()).await
}

#[tokio::test]
async fn a_plugin_is_measured_by_the_contract() {
    let row =
        only(shell("echo \"DISK OK $0|'free space'=12.5%;20;10 n=3c\"; echo more; echo 'last|x=U'; exit 1", "").await);
    let expected = json!({
        "exit_code": 1, "text": "DISK OK /a b; exit 9", "long_text": "more\nlast", "free space": 12.5, "n": 3.0,
        "x": null
    });
    assert_eq!(json!(row), expected);
}

#[tokio::test]
async fn everything_else_is_an_error_with_its_words() {
    let table = [
        ("echo no database; exit 3", "no database"),
        ("echo trouble >&2; exit 127", "trouble"),
        ("kill -9 $$", "signal"),
        ("yes", "more than 64 KiB"),
    ];
    for (script, words) in table {
        let error = shell(script, "").await.unwrap_err();
        assert_eq!(error.kind, ProbeErrorKind::Malformed, "{script}");
        assert!(error.cause.contains(words), "{script}: {error}");
    }
    let error = measure(&probes(), "kind = \"command\"\nargv = [\"/no/such/plugin\"]", &host()).await.unwrap_err();
    assert_eq!(error.kind, ProbeErrorKind::Configuration);
}

#[tokio::test]
async fn nothing_of_our_environment_is_passed_on() {
    let row = only(shell("env | cut -d= -f1 | sort | tr '\\n' ' '", "").await);
    let names: Vec<&str> = row["text"].as_str().unwrap().split_whitespace().collect();
    assert!(names.iter().all(|name| ["LC_ALL", "PATH", "PWD", "SHLVL", "_", "OLDPWD"].contains(name)), "{names:?}");
}

/// The processes whose command line holds a text.
fn running(marker: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(marker) && !line.starts_with(b"/proc")).count()
}

#[tokio::test]
async fn when_time_is_up_the_whole_group_is_killed() {
    let begin = Instant::now();
    let error = shell("sleep 98761 & sleep 98761; echo never", "timeout = \"300ms\"").await.unwrap_err();
    assert_eq!(error.kind, ProbeErrorKind::TimedOut);
    assert!(begin.elapsed() < Duration::from_secs(3));
    until("the group is gone", async || running("98761") == 0).await;
}

#[tokio::test]
async fn cancelling_kills_the_whole_group() {
    let check = check("kind = \"command\"\nargv = [\"/bin/sh\", \"-c\", \"sleep 98762 & sleep 98762; echo never\"]");
    let (probes, host, cancel) = (probes(), host(), CancellationToken::new());
    let cancelling = async {
        until("the plugin runs", async || running("98762") >= 2).await;
        cancel.cancel();
    };
    let (measured, ()) = tokio::join!(probes.measure(&check.probe, &host, &cancel), cancelling);
    assert_eq!(measured.unwrap_err().kind, ProbeErrorKind::Cancelled);
    until("the group is gone", async || running("98762") == 0).await;
}

#[tokio::test]
async fn the_machine_is_measured() {
    let row = only(
        measure(&probes(), "kind = \"host\"", &target(&[component("h", ComponentKind::Host, &[("path", "/")])])).await,
    );
    for column in
        ["disk_total_bytes", "disk_used_percent", "memory_total_bytes", "memory_used_percent", "cpus", "uptime_s"]
    {
        assert!(row[column].as_f64().unwrap() > 0.0, "{column}: {row:?}");
    }
    let nowhere = target(&[component("h", ComponentKind::Host, &[("path", "/no/such/path")])]);
    assert!(measure(&probes(), "kind = \"host\"", &nowhere).await.is_err());
}
