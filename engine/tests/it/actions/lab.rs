//! Faults of the lab, remedied: found by the check, planned by the runbook, previewed, done, found well by the same
//! check, taken back, and found again. What the executor does, without its events.

use super::kit::{Driven, hash, target};
use crate::probes::lab::{Known, NoSink, run, state};
use command_side::{CheckCatalog, SystemClock};
use domain::deployment::{Component, DeploymentState};
use domain::diagnostic_run::{CheckResult, Observation};
use domain::remediation::{Argument, Outputs, PlannedStep};
use domain::{Outcome, ResourceName, StepName};
use engine::action::{ActionTarget, UndoSpec, Verified};
use engine::pack::Packs;
use engine::probe::{MemoryOffsets, Probes, Row, Target};
use engine::runbook::Situation;
use engine::runner::ProbeRunner;
use lab::{Lab, LabOptions};
use private_servers::testing::test_folder;
use private_servers::{PrivateRedis, RedisOptions};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A lab, the packs, and a runner of checks.
struct Bench {
    lab: Lab,
    state: DeploymentState,
    packs: Arc<Packs>,
    runner: ProbeRunner,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let folder = test_folder();
        let options = LabOptions::small(folder.path());
        Self::start_with(folder, options).await
    }

    async fn start_with(folder: tempfile::TempDir, options: LabOptions) -> Self {
        let lab = Lab::up(options).await.unwrap();
        let state = state(lab.description());
        let packs = Arc::new(Packs::find().unwrap_or_else(|errors| panic!("{errors}")));
        let probes = Probes::new(Arc::new(MemoryOffsets::default()));
        let known = Arc::new(Known(state.clone()));
        let runner = ProbeRunner::new(Arc::clone(&packs), probes, known, Arc::new(NoSink), Arc::new(SystemClock));
        Self { lab, state, packs, runner, _folder: folder }
    }

    async fn check(&self, check: &str) -> Vec<CheckResult> {
        let planned = self.packs.plan(&self.state, "full", &[check.parse().unwrap()]).unwrap();
        assert!(!planned.is_empty(), "{check} fits nothing of the lab");
        run(&self.runner, planned).await
    }

    /// What the check sees, with the component that it looked at.
    async fn sees(&self, check: &str) -> Vec<(CheckResult, Observation)> {
        let results = self.check(check).await;
        for result in &results {
            assert_ne!(result.outcome, Outcome::Unknown, "{check}: {:?}", result.unknown_cause);
        }
        results.iter().flat_map(|result| result.observations.iter().map(|one| (result.clone(), one.clone()))).collect()
    }

    /// Until the check sees something: some faults ripen.
    async fn found(&self, check: &str, contains: &str) -> (CheckResult, Observation) {
        let begin = Instant::now();
        loop {
            let seen = self.sees(check).await;
            if let Some(found) = seen.into_iter().find(|(_, one)| one.resource.as_str().contains(contains)) {
                return found;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{check} does not find it");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn is_well(&self, check: &str, resource: &ResourceName) {
        let begin = Instant::now();
        while self.sees(check).await.iter().any(|(_, one)| one.resource == *resource) {
            assert!(begin.elapsed() < Duration::from_secs(30), "{check} still finds {resource}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The whole row that a finding is about: what an event carries of it may be cut.
    async fn row(&self, (result, observation): &(CheckResult, Observation)) -> Row {
        let all: Vec<Component> = self.state.components.values().cloned().collect();
        let ActionTarget { components, .. } = target(&all);
        let target = Target {
            run: domain::testing::RUN,
            deployment: domain::testing::DEPLOYMENT,
            check: result.key.check.clone(),
            component: components[&result.key.component].clone(),
            components,
            now: chrono::Utc::now(),
        };
        let check = self.packs.check(&result.key.check).unwrap();
        let probes = Probes::new(Arc::new(MemoryOffsets::default()));
        let measured = probes.measure(&check.probe, &target, &CancellationToken::new()).await.unwrap();
        let names = |row: &Row| {
            let texts = row.values().filter_map(Value::as_str).filter(|text| !text.is_empty());
            texts.into_iter().any(|text| observation.resource.as_str().ends_with(text))
        };
        let of_component = |row: &Row| {
            row.get("component").and_then(Value::as_str).is_some_and(|name| {
                let own = result.key.component.as_str();
                // The configurations of all servers are one measurement: a server's own row, or any for the
                // deployment's.
                name == own || !measured.rows.iter().any(|row| row["component"] == own)
            })
        };
        let rows = &measured.rows;
        let row =
            rows.iter().find(|row| rows.len() == 1 || names(row)).or_else(|| rows.iter().find(|row| of_component(row)));
        row.cloned().unwrap_or_else(|| panic!("no row is about {}", observation.resource))
    }

    /// The steps that the runbook makes of a finding.
    async fn plan(&self, runbook: &str, found: &(CheckResult, Observation)) -> Vec<PlannedStep> {
        let row = self.row(found).await;
        self.plan_of(runbook, found, &row)
    }

    fn plan_of(
        &self,
        runbook: &str,
        (result, observation): &(CheckResult, Observation),
        row: &Row,
    ) -> Vec<PlannedStep> {
        let runbook = self.packs.runbook(&runbook.parse().unwrap()).unwrap_or_else(|| panic!("no runbook {runbook}"));
        let situation = Situation {
            check: &result.key.check,
            component: &result.key.component,
            resource: &observation.resource,
            severity: observation.outcome,
            row: Some(row),
            components: &self.state.components,
        };
        runbook.plan(&self.packs, &situation).unwrap_or_else(|error| panic!("{error}; the row is {row:?}")).steps
    }

    fn driven(&self, step: &PlannedStep, outputs: &BTreeMap<StepName, Outputs>) -> Driven {
        let all: Vec<Component> = self.state.components.values().cloned().collect();
        let target = ActionTarget { component: self.state.components[&step.component].clone(), ..target(&all) };
        let plain = |argument: &Argument| match argument {
            Argument::Value(value) => value.clone(),
            Argument::OutputOf { step, output } => outputs[step][output].clone(),
        };
        let given = step.arguments.iter().map(|(name, argument)| (name.clone(), plain(argument))).collect();
        Driven::new(step.action.as_str(), &Value::Object(given), &target)
    }

    async fn breaks(&self, fault: &str) {
        lab::break_fault(self.lab.handle(), fault).await.unwrap();
    }

    async fn mend(&self, fault: &str) {
        lab::mend_fault(self.lab.handle(), fault).await.unwrap();
    }

    /// The whole way of one fault by one runbook.
    async fn remedies(&self, fault: &str, check: &str, contains: &str, runbook: &str) {
        self.breaks(fault).await;
        let found = self.found(check, contains).await;
        let (mut steps, mut images, mut outputs) = (Vec::new(), Vec::new(), BTreeMap::new());
        for planned in self.plan(runbook, &found).await {
            let step = self.driven(&planned, &outputs);
            let name = step.action.spec().name;
            let before = step.capture().await;
            assert!(!step.preview(&before).is_empty(), "{name}: the dry run shows nothing");
            outputs.insert(planned.name.clone(), step.gives(&before).await);
            assert_eq!(step.verify(&before).await, Verified::Done, "{name}");
            images.push(before);
            steps.push(step);
        }
        self.is_well(check, &found.1.resource).await;
        for (step, before) in steps.iter().zip(&images).rev() {
            if step.action.spec().undo == UndoSpec::FromBeforeImage {
                step.undo(before).await;
                let after = step.capture().await;
                assert_eq!(hash(&after), hash(before), "{}: {after} and not {before}", step.action.spec().name);
            }
        }
        if steps.iter().all(|step| step.action.spec().undo == UndoSpec::FromBeforeImage) {
            let again = self.found(check, found.1.resource.as_str()).await;
            assert_eq!(again.1.resource, found.1.resource, "{fault} is there again");
        }
        self.mend(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_database_are_remedied() {
    let bench = Bench::start().await;
    let table = [
        ("stale-statistics", "PG-STALE-STATISTICS", "tsrecloc", "analyze-stale-table"),
        ("dead-tuples", "PG-DEAD-TUPLES", "tsexfieldv", "vacuum-dead-rows"),
        ("invalid-index", "PG-INVALID-INDEX", "tsrecord_rcrectypeuri", "drop-invalid-index"),
        ("sequence-near-end", "PG-SEQUENCE-EXHAUSTION", "tsreclink", "extend-sequence"),
        ("sequence-near-end", "PG-SEQUENCE-EXHAUSTION", "tsreclink", "reset-sequence"),
        ("abandoned-slot", "PG-SLOT-RETAINS-WAL", "abandoned", "drop-abandoned-slot"),
        ("blocking-lock", "PG-BLOCKED-QUERY", "tslocation", "cancel-blocking-query"),
        ("idle-in-transaction", "PG-IDLE-IN-TRANSACTION", "", "terminate-idle-session"),
    ];
    for (fault, check, contains, runbook) in table {
        bench.remedies(fault, check, contains, runbook).await;
    }
    bench.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_dataset_are_remedied() {
    let bench = Bench::start().await;
    let table = [
        ("not-indexed-network", "CM-INDEX-NETWORK-ERRORS", "", "requeue-network-errors"),
        ("store-counters-drift", "CM-STORE-COUNTERS", "store-2", "recount-store"),
        ("render-stuck", "CM-RENDER-STUCK", "", "requeue-renderings"),
        ("licence-breached", "CM-LICENCE-BREACHED", "Core users", "disable-unused-logins"),
        ("blank-hash", "CM-HASH-BLANK", "store-2", "fill-blank-hashes"),
        ("word-index-stale", "CM-WORD-INDEX-STALE", "", "index-missing-words"),
        ("retention-stale", "CM-RETENTION-STALE", "", "recalculate-retention"),
    ];
    for (fault, check, contains, runbook) in table {
        bench.remedies(fault, check, contains, runbook).await;
    }
    bench.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_files_are_remedied() {
    let bench = Bench::start().await;
    let table = [
        ("file-missing", "CM-FILE-MISSING", "store-1", "restore-missing-file"),
        ("file-corrupt", "CM-FILE-CORRUPT", "store-1", "restore-corrupt-file"),
        ("file-truncated", "CM-FILE-CORRUPT", "store-1", "restore-corrupt-file"),
        ("orphan-files", "CM-FILE-ORPHAN", "ORPHAN01", "quarantine-orphan"),
        ("store-access-lost", "CM-STORE-ACCESS", "store-2", "mend-store-permissions"),
        ("wgs-config-behind", "CM-CONFIG-BEHIND", "wgs-2", "deploy-newest-configuration"),
        ("config-not-deployed", "CM-CONFIG-NOT-DEPLOYED", "events", "deploy-saved-configuration"),
        ("audit-on-two-servers", "CM-PROCESSOR-TWICE", "events", "keep-audit-on-one-server"),
        ("audit-disabled", "CM-AUDIT-DISABLED", "AuditLog", "resume-audit-log"),
        ("certificate-expiring", "WEB-CERT-EXPIRY", "web", "switch-certificate"),
        ("certificate-wrong-name", "WEB-CERT-NAME", "web", "switch-certificate"),
    ];
    for (fault, check, contains, runbook) in table {
        bench.remedies(fault, check, contains, runbook).await;
    }
    bench.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_services_and_event_processors_are_remedied() {
    let bench = Bench::start().await;
    let table = [
        ("wgs-down", "CM-WGS-DOWN", "wgs-2", "start-workgroup-server"),
        ("log-silent", "CM-LOG-SILENT", "wgs-2", "restart-silent-server"),
        ("web-slow", "WEB-LATENCY", "web", "restart-web-tier"),
        ("web-errors", "WEB-STATUS", "web", "restart-web-tier"),
        ("web-cannot-reach-wgs", "CM-WEB-NO-WGS", "web", "restart-web-tier"),
        ("render-stuck", "CM-RENDER-STUCK", "", "restart-render-service"),
        ("mail-processor-down", "CM-MAIL-DOWN", "", "resume-mail-processor"),
        ("mail-processor-down", "CM-MAIL-DOWN", "", "restart-mail-service"),
        ("processor-suspended", "CM-EVENT-SUSPENDED", "WordIndexing", "resume-event-processor"),
        ("queue-backlog", "CM-EVENT-BACKLOG", "ContentIndex", "share-event-backlog"),
        ("poison-event", "CM-EVENT-BLOCKED", "Subscriptions", "isolate-poison-event"),
        ("queue-duplicates", "CM-QUEUE-DUPLICATES", "queue-9", "stop-document-queue"),
    ];
    for (fault, check, contains, runbook) in table {
        println!("{fault}: {check} by {runbook}");
        bench.remedies(fault, check, contains, runbook).await;
    }
    bench.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_content_index_are_remedied() {
    let bench = Bench::start().await;
    let table = [
        ("index-red", "CM-INDEX-RED", "", "retry-index-allocation"),
        ("index-replicas", "CM-INDEX-YELLOW-SINGLE-NODE", "", "drop-unplaceable-replicas"),
        ("index-read-only", "CM-INDEX-READ-ONLY", "", "clear-index-block"),
        ("index-lag", "CM-INDEX-LAG", "", "reindex-missing-documents"),
    ];
    for (fault, check, contains, runbook) in table {
        println!("{fault}: {check} by {runbook}");
        bench.remedies(fault, check, contains, runbook).await;
    }
    bench.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_cache_is_remedied() {
    let folder = test_folder();
    let redis = RedisOptions { folder: folder.path().join("redis"), settings: Vec::new() };
    let redis = PrivateRedis::start(redis).await.unwrap();
    let options = LabOptions { redis_url: Some(redis.url()), ..LabOptions::small(folder.path().join("lab")) };
    let bench = Bench::start_with(folder, options).await;
    bench.remedies("redis-memory-full", "REDIS-MEMORY", "cache", "raise-memory-limit").await;
    bench.lab.stop().await;
}

/// Settings that the lab has no fault for: broken by hand.
#[tokio::test(flavor = "multi_thread")]
async fn autovacuum_is_switched_on_again() {
    let bench = Bench::start().await;
    let pool = bench.lab.handle().dataset().await.unwrap();
    for statement in ["ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    let found = bench.found("PG-AUTOVACUUM-OFF", "autovacuum").await;
    let steps = bench.plan("switch-autovacuum-on", &found).await;
    assert_eq!(steps.len(), 1, "track_counts is on already");
    let driven = bench.driven(&steps[0], &BTreeMap::new());
    let before = driven.proves_itself().await;
    driven.apply(&before).await;
    bench.is_well("PG-AUTOVACUUM-OFF", &found.1.resource).await;
    bench.lab.stop().await;
}

/// The lab's tables are small; what the check sees of large ones is given by hand.
#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_made_and_dropped_in_the_dataset() {
    let bench = Bench::start().await;
    let pool = bench.lab.handle().dataset().await.unwrap();
    for statement in [
        "CREATE INDEX twin ON tsrecord (recordid)",
        "ALTER TABLE tsrecloc ADD CONSTRAINT loc FOREIGN KEY (locuri) REFERENCES tslocation (uri)",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    for (check, runbook, action) in [
        ("PG-DUPLICATE-INDEX", "drop-duplicate-index", "postgres.drop-index-concurrently"),
        ("PG-UNINDEXED-FOREIGN-KEY", "index-foreign-key", "postgres.create-index-concurrently"),
    ] {
        let mut state = bench.state.clone();
        let everything = domain::deployment::ThresholdOverride { warning: Some("~:-1".to_owned()), critical: None };
        let threshold = if check == "PG-DUPLICATE-INDEX" { "duplicate_mib" } else { "table_rows" };
        let overrides = [(threshold.to_owned(), everything)].into();
        state.overrides = Arc::new([(check.parse().unwrap(), overrides)].into());
        let probes = Probes::new(Arc::new(MemoryOffsets::default()));
        let packs = Arc::clone(&bench.packs);
        let known = Arc::new(Known(state.clone()));
        let runner = ProbeRunner::new(packs, probes, known, Arc::new(NoSink), Arc::new(SystemClock));
        let results = run(&runner, bench.packs.plan(&state, "full", &[check.parse().unwrap()]).unwrap()).await;
        let one = results[0].observations.first().unwrap_or_else(|| panic!("{check} sees nothing: {results:?}"));
        let steps = bench.plan(runbook, &(results[0].clone(), one.clone())).await;
        assert_eq!(steps[0].action.as_str(), action);
        bench.driven(&steps[0], &BTreeMap::new()).proves_itself().await;
    }
    bench.lab.stop().await;
}
