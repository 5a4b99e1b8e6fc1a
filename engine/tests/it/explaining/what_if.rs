//! What-if: the versions in force reproduce what is stored; other ones tell what they would have found.

use super::{Told, check_file, code};
use domain::Outcome;
use domain::finding::{Finding, FindingCommand};
use engine::what_if::{Changes, MomentKind, Verdict};

fn threshold(text: &str) -> Changes {
    let mut changes = Changes::default();
    changes.add_threshold(text.parse().unwrap()).unwrap();
    changes
}

fn file(text: &str) -> Changes {
    let mut changes = Changes::default();
    changes.add_check_file("t", "T-PLUGIN.toml", text).unwrap();
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_versions_in_force_reproduce_the_stored_findings_with_no_difference() {
    let mut told = Told::whole("{{ row.used }} percent are used").await;
    let report = told.ask(&told.question(Changes::default())).await;
    assert!(report.is_reproduced(), "{report:#?}");
    assert_eq!((report.runs, report.results, report.judged, report.unmeasured), (9, 18, 17, 1));
    assert_eq!((report.differing, report.unchanged), (0, 1));
    // A question that begins in the middle begins with what was open then.
    let queries = told.queries().await;
    for middle in [2, 6, 8] {
        let since = Some(queries.run(told.runs[middle]).await.unwrap().unwrap().requested_at);
        let report = told.ask(&engine::what_if::Question { since, ..told.question(Changes::default()) }).await;
        assert!(report.is_reproduced(), "since run {middle}: {report:#?}");
        assert_eq!(report.runs, 9 - middle as u64);
    }
    // What people did stands in both lives.
    let finding = told.finding("host-a").0;
    told.send::<Finding>(finding, FindingCommand::MarkFalsePositive { reason: "as meant".to_owned() }).await;
    told.run("96", "65").await;
    told.send::<Finding>(finding, FindingCommand::WithdrawFalsePositive { reason: "it is real".to_owned() }).await;
    told.run("97", "65").await;
    let report = told.ask(&told.question(Changes::default())).await;
    assert!(report.is_reproduced(), "{report:#?}");
    let last = told.finding_events(told.finding("host-a")).await.pop().unwrap();
    assert_eq!(last.event_type, "FindingSeverityChanged", "the story goes on where the mark was taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_threshold_tells_what_it_would_have_raised_and_when_and_what_would_have_vanished() {
    let told = Told::whole("{{ row.used }} % used").await;
    let stricter = told.ask(&told.question(threshold("T-PLUGIN/used=60"))).await;
    assert_eq!((stricter.raised, stricter.vanished, stricter.undecided.len()), (1, 0, 0), "{stricter:#?}");
    let raised = stricter.findings.iter().find(|one| one.verdict == Verdict::Raised).unwrap();
    assert_eq!((raised.finding, raised.component.as_str()), (told.finding("host-b"), "host-b"));
    assert!(raised.actual.moments.is_empty());
    let first = raised.hypothetical.moments.first().unwrap();
    assert_eq!((first.kind, first.run, first.severity), (MomentKind::Opened, told.runs[0], Some(Outcome::Warning)));
    assert_eq!(raised.symptom.as_deref(), Some("65.0 % used"));

    let milder = told.ask(&told.question(threshold("T-PLUGIN=99,99"))).await;
    assert_eq!((milder.raised, milder.vanished, milder.changed, milder.unchanged), (0, 1, 0, 0), "{milder:#?}");
    assert_eq!(milder.findings[0].finding, told.finding("host-a"));
    assert!(milder.findings[0].hypothetical.moments.is_empty());
    let differing: Vec<_> = milder.differing_results.iter().map(|one| (one.run, one.actual)).collect();
    let warned = |index: usize| (told.runs[index], Outcome::Warning);
    assert_eq!(differing, [warned(1), (told.runs[2], Outcome::Critical), warned(7), warned(8)]);

    // Critical only: the same finding, opened later and never a warning.
    let critical = told.ask(&told.question(threshold("T-PLUGIN=90,90"))).await;
    assert_eq!((critical.vanished, critical.changed), (0, 1), "{critical:#?}");
    let first = critical.findings[0].hypothetical.moments.first().unwrap();
    assert_eq!((first.run, first.severity), (told.runs[2], Some(Outcome::Critical)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_told_says_so_and_why() {
    let told = Told::whole("{{ row.used }} % used").await;
    // Another judgement of the same measurement can be told, and another measurement can not.
    let worded = file(&check_file("{{ row.used }} of 100"));
    let report = told.ask(&told.question(worded)).await;
    assert_eq!((report.undecided.len(), report.differing), (0, 4), "{report:#?}");
    assert_eq!(report.raised + report.vanished, 0);
    let measuring = file(&check_file("s").replace("/bin/sh", "/bin/bash"));
    let report = told.ask(&told.question(measuring)).await;
    assert_eq!((report.judged, report.undecided[0].results, report.unmeasured), (0, 17, 1));
    assert!(report.undecided[0].reason.contains("[probe]"), "{report:#?}");
    assert_eq!((report.not_decidable, report.vanished), (1, 0));
    // A threshold that the check has not.
    let report = told.ask(&told.question(threshold("T-PLUGIN/free=10"))).await;
    assert!(report.undecided[0].reason.contains("no threshold \"free\", only: used"), "{report:#?}");
    // A check that never ran.
    let report = told.ask(&told.question(threshold("T-OTHER=10"))).await;
    assert_eq!((report.results, report.never_ran.len()), (0, 1));

    // Measurements that are gone, are damaged, or were never kept: of the first, the second and the third run.
    let sql = "SELECT r->>'evidence' FROM cmdiag.events, json_array_elements(payload->'ChecksCompleted'->'results') r \
        WHERE aggregate_id = $1 AND event_type = 'ChecksCompleted' AND r->'key'->>'component' = 'host-a'";
    let mut hashes = Vec::new();
    for run in &told.runs[1..3] {
        let hash: String = sqlx::query_scalar(sql).bind(run.to_string()).fetch_one(&told.pool).await.unwrap();
        hashes.push(hash);
    }
    let gone = sqlx::query("DELETE FROM cmdiag.evidence WHERE hash = $1").bind(&hashes[0]).execute(&told.pool).await;
    assert_eq!(gone.unwrap().rows_affected(), 1);
    let other = "UPDATE cmdiag.evidence SET bytes = (SELECT bytes FROM cmdiag.evidence WHERE media_type LIKE '%toml' \
        LIMIT 1) WHERE hash = $1";
    sqlx::query(other).bind(&hashes[1]).execute(&told.pool).await.unwrap();
    let report = told.ask(&told.question(threshold("T-PLUGIN=99,99"))).await;
    let reasons: Vec<&str> = report.undecided.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons.len(), 2, "{report:#?}");
    assert!(reasons.iter().any(|why| why.contains("not in the evidence store any more")), "{reasons:?}");
    assert!(reasons.iter().any(|why| why.contains("damaged")), "{reasons:?}");
    // It may have been raised by what is gone: nobody says that it vanished.
    assert_eq!((report.vanished, report.not_decidable), (0, 1), "{report:#?}");
    assert_eq!(report.undecided.iter().map(|one| &one.check).next(), Some(&code()));
}

#[test]
fn nothing_in_it_could_touch_a_target() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/what_if");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for forbidden in [
            "Probes",
            "Target",
            "CommandBus",
            "ProbeRunner",
            "CheckRunner",
            "reqwest",
            "std::process",
            "INSERT",
            ".put",
        ] {
            assert!(!code.contains(forbidden), "{}: {forbidden}", path.display());
        }
        files += 1;
    }
    assert!(files >= 6);
}
