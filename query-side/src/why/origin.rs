//! Where a finding comes from, in one call.

use super::EvidenceReader;
use crate::error::QueryError;
use crate::page::PageRequest;
use crate::queries::{HISTORY_MAX, Queries};
use crate::views::finding_history::{self, FindingHistoryEntry};
use crate::views::remediations::RemediationFilter;
use chrono::{DateTime, Utc};
use domain::any_event::{DIAGNOSTIC_RUN, FINDING};
use domain::diagnostic_run::{CheckResult, RunEvent};
use domain::finding::{FindingEvent, Fingerprint, Sighting};
use domain::{AnyEvent, DeploymentId, EvidenceHash, FindingId, Outcome, RemediationId, RunId, StreamVersion, TenantId};
use event_store::{EventLog, LogError, RecordedEvent, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// How many remediations are told of, and how many of the finding's later events.
const FOLLOWED_MAX: i64 = 50;
/// How many pages of a stream are read at most.
const PAGES_MAX: usize = 100;
/// The largest measurement that is told whole, in bytes; of a larger one its hash.
const MEASUREMENT_BYTES_MAX: usize = 256 << 10;

/// Where a finding comes from: the sighting that last opened it, and all that it rested on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingOrigin {
    /// The finding.
    pub finding: FindingId,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// The check that raised it.
    pub check_code: String,
    /// The component that the check looked at.
    pub component: String,
    /// What it is about.
    pub resource: String,
    /// What it was when it was raised.
    pub outcome: Outcome,
    /// What was seen.
    pub symptom: String,
    /// What raised it: `FindingOpened`, `FindingRegressed`, or `FindingSuspected` where it never opened.
    pub event_type: String,
    /// That event.
    pub event_id: Uuid,
    /// Where it is in the log.
    pub position: i64,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
    /// When it was measured.
    pub measured_at: DateTime<Utc>,
    /// The run that saw it.
    pub run: RunId,
    /// The run's profile.
    pub profile: Option<String>,
    /// Who asked for the run.
    pub requested_by: Option<String>,
    /// When.
    pub requested_at: Option<DateTime<Utc>>,
    /// The event that holds the check's result.
    pub judged_event: Option<Uuid>,
    /// The version of the check that judged.
    pub check_version: String,
    /// The SHA-256 of the check's file, which is evidence, too.
    pub definition: Option<String>,
    /// The check's pack.
    pub pack: Option<String>,
    /// The pack's version.
    pub pack_version: Option<String>,
    /// The thresholds in force, by name: the check's own with the deployment's overrides.
    pub thresholds: Option<Value>,
    /// Which of them the deployment had overridden.
    pub overrides: Option<Value>,
    /// The hash of the measurement with all that its judgement rested on.
    pub evidence: Option<EvidenceHash>,
    /// Its size.
    pub evidence_bytes: Option<usize>,
    /// The measurement itself: rows, facts, and whether there was more than the probe may give.
    pub measurement: Option<Value>,
    /// What can not be told, and why.
    pub missing: Vec<String>,
    /// What happened to the finding afterwards.
    pub afterwards: Vec<FindingHistoryEntry>,
    /// What was done about it, newest first.
    pub remediations: Vec<FollowedRemediation>,
}

/// A remediation of the finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FollowedRemediation {
    /// Which.
    pub id: RemediationId,
    /// How it is.
    pub status: String,
    /// Its runbook, once chosen.
    pub runbook: Option<String>,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// When it came to rest.
    pub ended_at: Option<DateTime<Utc>>,
}

/// What raised a finding.
struct Raised {
    event: RecordedEvent,
    sighting: Sighting,
    at: DateTime<Utc>,
}

/// What is known of a finding before its origin is looked for.
struct Known {
    fingerprint: Fingerprint,
    raised: Raised,
}

impl Queries {
    /// Where a finding comes from; `None` where the tenant has no such finding.
    pub async fn finding_origin(
        &self,
        tenant: &TenantId,
        finding: FindingId,
    ) -> Result<Option<FindingOrigin>, QueryError> {
        self.note(None);
        let log = self.log().ok_or(LogError::Closed)?;
        let Some(known) = raised(log, tenant, finding).await? else { return Ok(None) };
        let Raised { event, sighting, at } = known.raised;
        let mut origin = FindingOrigin {
            finding,
            deployment: known.fingerprint.deployment,
            check_code: known.fingerprint.check.to_string(),
            component: sighting.component.to_string(),
            resource: known.fingerprint.resource.to_string(),
            outcome: sighting.outcome,
            symptom: sighting.symptom,
            event_type: event.event_type.clone(),
            event_id: event.event_id,
            position: event.position.0,
            raised_at: at,
            measured_at: sighting.measured_at,
            run: sighting.run,
            profile: None,
            requested_by: None,
            requested_at: None,
            judged_event: None,
            check_version: String::new(),
            definition: None,
            pack: None,
            pack_version: None,
            thresholds: None,
            overrides: None,
            evidence: sighting.evidence.hash,
            evidence_bytes: None,
            measurement: sighting.evidence.inline,
            missing: Vec::new(),
            afterwards: Vec::new(),
            remediations: Vec::new(),
        };
        origin.read_run(log).await?;
        origin.read_evidence(self.evidence()).await;
        let after = Some(finding_history::after(event.version));
        let followed = PageRequest { first: FOLLOWED_MAX, after };
        origin.afterwards = self.finding_history(finding, &followed).await?.items;
        origin.remediations = self.followed(tenant, finding).await?;
        Ok(Some(origin))
    }

    async fn followed(&self, tenant: &TenantId, finding: FindingId) -> Result<Vec<FollowedRemediation>, QueryError> {
        let tenant = Some(tenant.to_string());
        let filter = RemediationFilter { tenant, finding: Some(finding), ..RemediationFilter::default() };
        let page = self.remediations(&filter, &PageRequest::first(FOLLOWED_MAX)).await?;
        let brief = |view: crate::RemediationView| FollowedRemediation {
            id: view.id,
            status: view.phase().as_str().to_owned(),
            runbook: view.runbook,
            requested_by: view.requested_by,
            requested_at: view.requested_at,
            ended_at: view.ended_at,
        };
        Ok(page.items.into_iter().map(brief).collect())
    }
}

impl FindingOrigin {
    /// Who asked for the run, and the check's result in it.
    async fn read_run(&mut self, log: &Arc<dyn EventLog>) -> Result<(), QueryError> {
        let stream = StreamId::new(DIAGNOSTIC_RUN, &self.run.to_string());
        let mut after = StreamVersion(0);
        for _ in 0..PAGES_MAX {
            let page = log.read_stream(stream.clone(), after, HISTORY_MAX).await?;
            let is_last = page.len() < HISTORY_MAX;
            after = page.last().map_or(after, |event| event.version);
            for event in page.iter().flat_map(RecordedEvent::parts) {
                match event.decode() {
                    Ok(AnyEvent::Run(RunEvent::RunRequested { profile, at, .. })) => {
                        self.profile = Some(profile);
                        self.requested_at = Some(at);
                        self.requested_by = Some(event.metadata.actor.to_string());
                    }
                    Ok(AnyEvent::Run(RunEvent::ChecksCompleted { results, .. })) => {
                        if let Some(result) = results.into_iter().find(|result| self.is_of(result)) {
                            self.judged_event = Some(event.event_id);
                            self.check_version = result.version;
                            self.evidence = result.evidence.or_else(|| self.evidence.take());
                            return Ok(());
                        }
                    }
                    _ => {}
                }
            }
            if is_last {
                break;
            }
        }
        self.missing.push("the result that raised it is not in its run's stream".to_owned());
        Ok(())
    }

    fn is_of(&self, result: &CheckResult) -> bool {
        result.key.check.as_str() == self.check_code && result.key.component.as_str() == self.component
    }

    /// The measurement, and what its judgement rested on. What can not be read is said, not guessed.
    async fn read_evidence(&mut self, reader: Option<&Arc<dyn EvidenceReader>>) {
        let Some(hash) = &self.evidence else {
            let why = "pack, thresholds and measurement were not kept with the result: the row seen is all there is";
            self.missing.push(why.to_owned());
            return;
        };
        let Some(reader) = reader else {
            self.missing.push("evidence can not be read here".to_owned());
            return;
        };
        let bytes = match reader.read(hash).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return self.missing.push(format!("evidence {hash} is not in the store any more")),
            Err(error) => return self.missing.push(format!("evidence {hash} can not be read: {error}")),
        };
        self.evidence_bytes = Some(bytes.len());
        let Ok(Value::Object(mut record)) = serde_json::from_slice::<Value>(&bytes) else {
            return self.missing.push(format!("evidence {hash} is no record of a measurement"));
        };
        let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        self.definition = text(record.remove("definition"));
        self.pack = text(record.remove("pack"));
        self.pack_version = text(record.remove("pack_version"));
        self.thresholds = record.remove("thresholds");
        self.overrides = record.remove("overrides");
        if self.definition.is_none() {
            self.missing
                .push("pack and thresholds: the measurement was stored before they were kept with it".to_owned());
        }
        if bytes.len() <= MEASUREMENT_BYTES_MAX {
            record.retain(|name, _| ["rows", "facts", "truncated", "settings"].contains(&name.as_str()));
            self.measurement = Some(Value::Object(record));
        } else {
            self.missing.push(format!("the measurement has {} bytes: read it by its hash", bytes.len()));
        }
    }
}

/// The event that last opened the finding, or the last suspicion where it never opened.
async fn raised(log: &Arc<dyn EventLog>, tenant: &TenantId, finding: FindingId) -> Result<Option<Known>, QueryError> {
    let stream = StreamId::new(FINDING, &finding.to_string());
    let (mut fingerprint, mut opened, mut suspected, mut after) = (None, None, None, StreamVersion(0));
    for _ in 0..PAGES_MAX {
        let page = log.read_stream(stream.clone(), after, HISTORY_MAX).await?;
        let is_last = page.len() < HISTORY_MAX;
        after = page.last().map_or(after, |event| event.version);
        for event in page.iter().flat_map(RecordedEvent::parts) {
            if event.metadata.tenant != *tenant {
                return Ok(None);
            }
            let Ok(AnyEvent::Finding(decoded)) = event.decode() else { continue };
            let event = event.into_owned();
            match decoded {
                FindingEvent::FindingOpened { fingerprint: about, sighting, at, .. } => {
                    fingerprint.get_or_insert(about);
                    opened = Some(Raised { event, sighting, at });
                }
                FindingEvent::FindingSuspected { fingerprint: about, sighting, at, .. } => {
                    fingerprint.get_or_insert(about);
                    suspected = Some(Raised { event, sighting, at });
                }
                FindingEvent::FindingRegressed { sighting, at, .. } => opened = Some(Raised { event, sighting, at }),
                _ => {}
            }
        }
        if is_last {
            break;
        }
    }
    Ok(fingerprint.zip(opened.or(suspected)).map(|(fingerprint, raised)| Known { fingerprint, raised }))
}
