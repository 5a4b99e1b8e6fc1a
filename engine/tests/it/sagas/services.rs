//! On services, the web tier, and event processors.

use super::bench::Bench;
use super::case::{Case, Given};
use futures::FutureExt as _;
use futures::future::BoxFuture;

pub const SERVICES: [Case; 4] = [
    Case::of("start-workgroup-server", "wgs-down", "CM-WGS-DOWN", "wgs-2"),
    Case::of("restart-silent-server", "log-silent", "CM-LOG-SILENT", "wgs-2"),
    Case::of("restart-render-service", "render-stuck", "CM-RENDER-STUCK", ""),
    Case::of("restart-mail-service", "mail-processor-down", "CM-MAIL-DOWN", ""),
];

pub const WEB: [Case; 3] = [
    Case::of("restart-web-tier", "web-slow", "WEB-LATENCY", "web"),
    Case::of("switch-certificate", "certificate-wrong-name", "WEB-CERT-NAME", "web"),
    // The last: it is down again afterwards.
    Case::by_hand("start-web-tier", "WEB-REACHABLE", "web", web_down),
];

pub const EVENTS: [Case; 9] = [
    Case::of("resume-audit-log", "audit-disabled", "CM-AUDIT-DISABLED", "AuditLog"),
    Case::of("resume-mail-processor", "mail-processor-down", "CM-MAIL-DOWN", ""),
    Case::of("resume-event-processor", "processor-suspended", "CM-EVENT-SUSPENDED", "WordIndexing"),
    Case::of("share-event-backlog", "queue-backlog", "CM-EVENT-BACKLOG", "ContentIndex"),
    Case::of("isolate-poison-event", "poison-event", "CM-EVENT-BLOCKED", "Subscriptions"),
    Case::of("stop-document-queue", "queue-duplicates", "CM-QUEUE-DUPLICATES", "queue-9"),
    Case::action(
        "events.dedicate-server",
        "events",
        r#"{"processor": "AuditLog", "server": "wgs-1"}"#,
        Given::Fault("audit-on-two-servers"),
    ),
    Case::action(
        "events.requeue",
        "events",
        r#"{"processor": "ContentIndex", "status": "NetworkError"}"#,
        Given::Fault("not-indexed-network"),
    ),
    Case::action("events.suspend-processor", "events", r#"{"processor": "ContentIndex"}"#, Given::Nothing),
];

/// By its service manager: then nothing listens there.
fn web_down(bench: &Bench) -> BoxFuture<'_, ()> {
    async move {
        let script = bench.lab.handle().folders().services().join("service.sh");
        let told = tokio::process::Command::new("/bin/sh").arg(script).args(["web", "stop"]).output().await.unwrap();
        assert!(told.status.success(), "{told:?}");
    }
    .boxed()
}
