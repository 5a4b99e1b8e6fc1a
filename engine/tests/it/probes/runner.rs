use super::component;
use chrono::{DateTime, TimeDelta, Utc};
use command_side::{CheckCatalog, ManualClock, PlanError};
use domain::deployment::{ComponentKind, DeploymentState, ThresholdOverride};
use domain::diagnostic_run::{CheckKey, CheckResult, Priority};
use domain::{CheckCode, CorrelationId, DeploymentId, EvidenceHash, Outcome, RunId, TenantId};
use engine::evidence::judged::JudgedMeasurement;
use engine::pack::Packs;
use engine::probe::{MemoryOffsets, Probes};
use engine::queue::{ItemKey, WorkItem};
use engine::runner::{DeploymentSource, EvidenceSink, ProbeRunner};
use engine::worker::CheckRunner;
use futures::FutureExt;
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PACK: &str = "name = \"t\"\ntitle = \"T\"\nversion = \"1\"\nproduct = \"content-manager\"\n";

const CHECK: &str = r#"
code = "T-PLUGIN"
title = "A plugin's figures"
component = "host"
versions = ">=10"
profiles = ["quick"]
reversible = "none"
[probe]
kind = "command"
argv = ["/bin/sh", "-c", "{{ settings.script }}"]
timeout = "2s"
[thresholds.used]
warning = "80"
critical = "90"
[judge]
each = "row"
resource = "{{ component }}/disk"
value = "used"
metric = "used"
[text]
symptom = "{{ row.used }} % used"
cause = "c"
impact = "i"
advice = "a"
[hysteresis]
open_after = 3
[[case]]
name = "good"
rows = [{ used = 10 }]
outcome = "ok"
[[case]]
name = "bad"
rows = [{ used = 95 }]
outcome = "critical"
"#;

fn packs() -> Packs {
    Packs::from_texts([("t", "pack.toml", PACK), ("t", "T-PLUGIN.toml", CHECK)]).unwrap()
}

fn deployment(script: &str) -> DeploymentState {
    let host = component("host", ComponentKind::Host, &[("script", script)]);
    DeploymentState {
        id: Some(domain::testing::DEPLOYMENT),
        product_version: "23.4".to_owned(),
        components: Arc::new([(host.name.clone(), host)].into()),
        ..DeploymentState::default()
    }
}

struct Known(Result<DeploymentState, String>);

impl DeploymentSource for Known {
    fn deployment(&self, _: DeploymentId) -> BoxFuture<'_, Result<DeploymentState, String>> {
        assert_ne!(self.0.as_ref().err().map(String::as_str), Some("panic"), "as asked for");
        std::future::ready(self.0.clone()).boxed()
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<Vec<u8>>>);

impl EvidenceSink for Kept {
    fn keep(&self, bytes: Vec<u8>, _: &'static str, _: DateTime<Utc>) -> BoxFuture<'_, Result<EvidenceHash, String>> {
        let hash = hex::encode(Sha256::digest(&bytes));
        self.0.lock().unwrap().push(bytes);
        std::future::ready(Ok(EvidenceHash::new(hash).unwrap())).boxed()
    }
}

async fn run(known: Result<DeploymentState, String>, check: &str, evidence: &Arc<Kept>) -> CheckResult {
    let now = Utc::now();
    let probes = Probes::new(Arc::new(MemoryOffsets::default()));
    let sink: Arc<dyn EvidenceSink> = evidence.clone();
    let clock = Arc::new(ManualClock::new(now));
    let runner = ProbeRunner::new(Arc::new(packs()), probes, Arc::new(Known(known)), sink, clock);
    let key = CheckKey { check: CheckCode::new(check).unwrap(), component: "host".parse().unwrap() };
    let item = WorkItem {
        key: ItemKey { run: RunId(Uuid::new_v4()), check: key },
        deployment: domain::testing::DEPLOYMENT,
        version: "planned".to_owned(),
        priority: Priority::Normal,
        queued_at: now,
        rank: now,
        deadline: now + TimeDelta::minutes(1),
        timeout: Duration::from_secs(10),
        attempt: 1,
        crashes: 0,
        slot: 0,
        tenant: TenantId::default(),
        correlation: CorrelationId(Uuid::nil()),
        causation: None,
        traceparent: None,
        started: true,
    };
    runner.run(item, CancellationToken::new()).await
}

async fn plugin(script: &str) -> CheckResult {
    run(Ok(deployment(script)), "T-PLUGIN", &Arc::default()).await
}

#[tokio::test]
async fn measures_judges_and_carries_figures() {
    let result = plugin("echo 'ok|used=12'").await;
    assert_eq!((result.outcome, result.unknown_cause), (Outcome::Ok, None));
    assert_eq!(result.metrics, BTreeMap::from([("used[host/disk]".to_owned(), 12.0)]));
    let result = plugin("echo 'full|used=95'; exit 2").await;
    assert_eq!((result.outcome, result.observations.len()), (Outcome::Critical, 1));
    assert_eq!(result.observations[0].resource.as_str(), "host/disk");
    assert_eq!(result.observations[0].symptom, "95.0 % used");
    assert_eq!(result.version, packs().checks().next().unwrap().version);
}

#[tokio::test]
async fn what_can_not_be_measured_is_unknown_with_its_cause() {
    let table = [
        (Ok(deployment("echo no figures")), "T-PLUGIN", "no column \"used\""),
        (Ok(deployment("echo 'odd|used=U'")), "T-PLUGIN", "null"),
        (Ok(deployment("echo gone; exit 3")), "T-PLUGIN", "gone"),
        (Ok(deployment("sleep 30")), "T-PLUGIN", "longer than 2000 ms"),
        (Ok(DeploymentState::default()), "T-PLUGIN", "no component host"),
        (Ok(deployment("true")), "T-OTHER", "no check T-OTHER"),
        (Err("the log is away".to_owned()), "T-PLUGIN", "the log is away"),
        (Err("panic".to_owned()), "T-PLUGIN", "defect of the platform"),
    ];
    for (known, check, words) in table {
        let result = run(known, check, &Arc::default()).await;
        assert_eq!(result.outcome, Outcome::Unknown, "{words}");
        assert!(result.unknown_cause.as_deref().is_some_and(|cause| cause.contains(words)), "{result:?}");
        assert!(result.observations.is_empty());
    }
}

#[tokio::test]
async fn overridden_thresholds_count_and_a_bad_one_is_unknown() {
    let with = |critical: &str, threshold: &str| {
        let mut state = deployment("echo 'full|used=95'");
        let given = ThresholdOverride { warning: Some("~:".to_owned()), critical: Some(critical.to_owned()) };
        let of_check = BTreeMap::from([(threshold.to_owned(), given)]);
        state.overrides = Arc::new(BTreeMap::from([(CheckCode::new("T-PLUGIN").unwrap(), of_check)]));
        state
    };
    let evidence = Arc::default();
    assert_eq!(run(Ok(with("99", "used")), "T-PLUGIN", &evidence).await.outcome, Outcome::Ok);
    assert_eq!(run(Ok(with("50", "used")), "T-PLUGIN", &evidence).await.outcome, Outcome::Critical);
    assert_eq!(run(Ok(with("50", "other")), "T-PLUGIN", &evidence).await.outcome, Outcome::Unknown);
    assert_eq!(run(Ok(with("x", "used")), "T-PLUGIN", &evidence).await.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn every_measurement_is_kept_with_all_that_its_judgement_rested_on() {
    let evidence = Arc::<Kept>::default();
    let mut state = deployment("echo 'full|used=95'");
    let given = ThresholdOverride { warning: Some("70".to_owned()), critical: None };
    let of_check = BTreeMap::from([("used".to_owned(), given)]);
    state.overrides = Arc::new(BTreeMap::from([(CheckCode::new("T-PLUGIN").unwrap(), of_check)]));
    for (script, outcome) in [("echo 'full|used=95'", Outcome::Critical), ("echo 'well|used=5'", Outcome::Ok)] {
        state.components = deployment(script).components;
        let result = run(Ok(state.clone()), "T-PLUGIN", &evidence).await;
        assert_eq!(result.outcome, outcome);
        let kept = std::mem::take(&mut *evidence.0.lock().unwrap());
        assert_eq!(kept.len(), 2, "the check's file and the measurement");
        assert_eq!(kept[0], CHECK.as_bytes());
        assert_eq!(result.evidence.as_ref().unwrap().as_str(), hex::encode(Sha256::digest(&kept[1])));
        assert!(result.observations.iter().all(|seen| seen.evidence.hash == result.evidence));
        let record = JudgedMeasurement::read(&kept[1]).unwrap();
        assert_eq!(record.definition, hex::encode(Sha256::digest(CHECK.as_bytes())));
        assert!(record.definition.starts_with(&record.version) && record.version == result.version);
        assert_eq!((record.pack.as_str(), record.pack_version.as_str()), ("t", "1"));
        assert_eq!(record.settings["script"], script);
        let bounds = &record.thresholds["used"];
        assert_eq!((bounds.warning.as_deref(), bounds.critical.as_deref()), (Some("70"), Some("90")));
    }
    // What could not be measured leaves nothing to judge anew.
    let result = run(Ok(deployment("sleep 30")), "T-PLUGIN", &evidence).await;
    assert_eq!((result.evidence, evidence.0.lock().unwrap().len()), (None, 0));
}

#[test]
fn plans_what_applies() {
    let packs = packs();
    let state = deployment("true");
    let planned = packs.plan(&state, "quick", &[]).unwrap();
    assert_eq!((planned.len(), planned[0].timeout_ms), (1, 4_000));
    assert_eq!(planned[0].version.len(), 12);
    let old = DeploymentState { product_version: "9.4".to_owned(), ..state.clone() };
    assert!(packs.plan(&old, "full", &[]).unwrap().is_empty());
    assert_eq!(packs.plan(&state, "fast", &[]), Err(PlanError::UnknownProfile("fast".to_owned())));
    let other = CheckCode::new("X").unwrap();
    assert_eq!(packs.plan(&state, "full", std::slice::from_ref(&other)), Err(PlanError::UnknownCheck(other)));
    assert_eq!(packs.hysteresis(&planned[0].key.check).open_after, 3);
}
