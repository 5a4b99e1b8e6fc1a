//! On files: of stores, of configurations, and those that only take up room.

use super::bench::Bench;
use super::case::{Case, Evidence, Given};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use lab::Lab;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

pub const STORES: [Case; 6] = [
    Case::of("restore-missing-file", "file-missing", "CM-FILE-MISSING", "store-1"),
    Case::of("restore-corrupt-file", "file-corrupt", "CM-FILE-CORRUPT", "store-1"),
    Case::of("quarantine-orphan", "orphan-files", "CM-FILE-ORPHAN", "ORPHAN01"),
    Case::of("mend-store-permissions", "store-access-lost", "CM-STORE-ACCESS", "store-2"),
    Case::told("mend-file-permissions", "CM-FILE-CORRUPT", "store-1", unreadable_file),
    Case::action_told("dataset.flag-missing", "store-1", missing_files, Given::Fault("file-missing")),
];

pub const CONFIGURATIONS: [Case; 7] = [
    Case::of("deploy-newest-configuration", "wgs-config-behind", "CM-CONFIG-BEHIND", "wgs-2"),
    Case::of("deploy-saved-configuration", "config-not-deployed", "CM-CONFIG-NOT-DEPLOYED", "events"),
    Case::of("keep-audit-on-one-server", "audit-on-two-servers", "CM-PROCESSOR-TWICE", "events"),
    Case::by_hand("keep-mail-on-one-server", "CM-PROCESSOR-TWICE", "events", mail_on_two_servers),
    Case::action("config.deploy-newest", "wgs-2", "{}", Given::Fault("wgs-config-behind")),
    Case::action(
        "config.edit-value",
        "events",
        r#"{"path": "TRIMConfig/DataSources/Dataset[@id='D1']/@name", "value": "Another name"}"#,
        Given::Nothing,
    ),
    Case::action("certificate.switch", "web", "{}", Given::Fault("certificate-expiring")),
];

pub const ROOM: [Case; 3] = [
    Case::told("compress-old-logs", "HOST-DISK", "host", no_room).judged_by_double(),
    Case::told("move-old-temp-files", "HOST-INODES", "host", no_room).judged_by_double(),
    Case::action("log.compress", "host", r#"{"older_than_days": 10}"#, Given::ByHand(old_log)),
];

/// Who may do everything reads this file all the same: what the check would say to others is told.
fn unreadable_file(bench: &Bench) -> BoxFuture<'_, Evidence> {
    async move {
        let folder = bench.lab.handle().folders().store(1).join("000");
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        std::fs::set_permissions(&files[0], std::fs::Permissions::from_mode(0o200)).unwrap();
        let name = format!("000/{}", files[0].file_name().unwrap().to_str().unwrap());
        (format!("store-1/{name}"), json!({"resource": name, "reason": "unreadable"}))
    }
    .boxed()
}

/// The files that the fault is going to take away.
fn missing_files(lab: &Lab) -> BoxFuture<'_, Value> {
    async move {
        lab::break_fault(lab.handle(), "file-missing").await.unwrap();
        let rows: Vec<String> = sqlx::query_scalar("SELECT resid FROM tsrecelec WHERE restore = 1 ORDER BY uri")
            .fetch_all(lab.handle().dataset().await.unwrap())
            .await
            .unwrap();
        let root = lab.handle().folders().store(1);
        let folders: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        let missing = |resid: &String| !folders.iter().any(|folder| folder.join(resid).exists());
        let files: Vec<String> = rows.into_iter().filter(missing).collect();
        lab::mend_fault(lab.handle(), "file-missing").await.unwrap();
        assert!(!files.is_empty());
        json!({ "files": files })
    }
    .boxed()
}

/// As the fault does with the audit log, in all copies of the configuration.
fn mail_on_two_servers(bench: &Bench) -> BoxFuture<'_, ()> {
    async move {
        let folders = bench.lab.handle().folders();
        for file in [folders.config("wgs-1"), folders.config("wgs-2"), folders.admin_config()] {
            let text = std::fs::read_to_string(&file).unwrap();
            let own = text.lines().find(|line| line.contains("type=\"MailNotification\"")).unwrap();
            let (is, further) = if own.contains("wgs-1") { ("wgs-1", "wgs-2") } else { ("wgs-2", "wgs-1") };
            let both = format!("{own}\n{}", own.replace(is, further));
            std::fs::write(&file, text.replace(own, &both)).unwrap();
        }
    }
    .boxed()
}

/// How full the machine's disk is is nothing that the lab changes: old files there are, what the check would say is
/// told.
fn no_room(bench: &Bench) -> BoxFuture<'_, Evidence> {
    async move {
        old_log(bench).await;
        ("host/disk".to_owned(), json!({"disk_used_percent": 99.0, "inode_used_percent": 99.0}))
    }
    .boxed()
}

/// The lab removes its own logs before they are that old.
fn old_log(bench: &Bench) -> BoxFuture<'_, ()> {
    async move {
        let old = bench.lab.handle().folders().logs("wgs-1").join("Render_old.log");
        std::fs::write(&old, "12:00:00:000 DOUBLE the same again\n".repeat(1_000)).unwrap();
        let file = std::fs::File::options().write(true).open(&old).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(24 * 20)).unwrap();
    }
    .boxed()
}
