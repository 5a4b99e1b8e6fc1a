//! A long log, made up quickly: runs from their request to their end, and the findings that they saw.

use crate::commands::{planned_check, result};
use crate::results::{host, register};
use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use domain::deployment::{DeploymentCommand, DeploymentEvent};
use domain::diagnostic_run::{CheckKey, Evidence, Priority, RunEvent, Tally};
use domain::finding::{FindingEvent, Fingerprint, Sighting};
use domain::{AnyEvent, DeploymentId, FindingId, Outcome, RunId};
use serde_json::json;
use sqlx::PgPool;
use std::collections::HashMap;
use uuid::Uuid;

/// Rows of one insert.
const BLOCK: usize = 5_000;

const INSERT: &str = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
    metadata, position, event_id) SELECT kind, id, sequence, event_type, '1', payload::json, $6::text::json, position, \
    gen_random_uuid() FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $7::bigint[]) \
    AS e (kind, id, sequence, event_type, payload, position)";

/// How long a story.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// How many deployments, which take turns.
    pub deployments: usize,
    /// How many runs.
    pub runs: usize,
    /// How many checks each run consists of.
    pub checks_per_run: usize,
    /// How many results are recorded at a time.
    pub results_at_once: usize,
    /// How many findings each run sees.
    pub findings_per_run: usize,
    /// How many findings there are in all: later runs see them again, in the same order, so that each comes back only
    /// after all others.
    pub findings: usize,
}

/// What belongs to a deployment.
pub struct Told {
    /// Its id.
    pub id: DeploymentId,
    /// Its runs, in order.
    pub runs: Vec<Uuid>,
    /// Its findings, in the order in which they opened.
    pub findings: Vec<(FindingId, Fingerprint)>,
}

/// A story on its way into an empty log.
pub struct Story {
    versions: HashMap<Uuid, i64>,
    at: DateTime<Utc>,
    position: i64,
    block: Block,
    /// What was told of each deployment.
    pub deployments: Vec<Told>,
}

#[derive(Default)]
struct Block {
    kinds: Vec<&'static str>,
    ids: Vec<String>,
    sequences: Vec<i64>,
    types: Vec<&'static str>,
    payloads: Vec<String>,
    positions: Vec<i64>,
}

impl Story {
    /// Tells a story into an empty log; its length in events is [`Self::events`].
    pub async fn tell(pool: &PgPool, length: Length) -> Result<Self> {
        let mut story = Self {
            versions: HashMap::new(),
            at: Utc::now() - TimeDelta::days(30),
            position: 0,
            block: Block::default(),
            deployments: Vec::with_capacity(length.deployments),
        };
        for number in 0..length.deployments {
            story.register(number)?;
        }
        for number in 0..length.runs {
            story.run(number, length)?;
            if story.block.ids.len() >= BLOCK {
                std::mem::take(&mut story.block).write(pool).await?;
            }
        }
        std::mem::take(&mut story.block).write(pool).await?;
        Ok(story)
    }

    /// How many events it has.
    pub fn events(&self) -> i64 {
        self.position
    }

    fn register(&mut self, number: usize) -> Result<()> {
        let command = register(&format!("bench-{number:03}"), vec![host("store-1")?]);
        let DeploymentCommand::Register { name, product_version, is_double, labels, components } = command else {
            return Ok(());
        };
        let (id, at) = (DeploymentId(Uuid::now_v7()), self.at);
        self.deployments.push(Told { id, runs: Vec::new(), findings: Vec::new() });
        let event =
            DeploymentEvent::DeploymentRegistered { id, name, product_version, is_double, labels, components, at };
        self.happen(id.0, &AnyEvent::Deployment(event))
    }

    fn run(&mut self, number: usize, length: Length) -> Result<()> {
        self.at += TimeDelta::seconds(20);
        let of = number % self.deployments.len();
        let (id, deployment, at) = (Uuid::now_v7(), self.deployments[of].id, self.at);
        self.deployments[of].runs.push(id);
        let deadline = at + TimeDelta::minutes(10);
        let (profile, checks, priority) = ("full".to_owned(), Vec::new(), Priority::Normal);
        let run = RunId(id);
        let asked = RunEvent::RunRequested { run, deployment, profile, checks, priority, deadline, at };
        let planned = (0..length.checks_per_run).map(planned_check).collect::<Result<Vec<_>>>()?;
        let keys: Vec<CheckKey> = planned.iter().map(|check| check.key.clone()).collect();
        for event in [asked, RunEvent::RunPlanned { checks: planned, at }, RunEvent::RunStarted { at }] {
            self.happen(id, &AnyEvent::Run(event))?;
        }
        let mut done = 0;
        let planned = keys.len() as u32;
        for some in keys.chunks(length.results_at_once) {
            done += some.len() as u32;
            let results = some.iter().cloned().map(result).collect();
            let event = RunEvent::ChecksCompleted { deployment, results, done, planned, at };
            self.happen(id, &AnyEvent::Run(event))?;
        }
        let tally = Tally { ok: planned, ..Tally::default() };
        let event = RunEvent::RunCompleted { deployment, outcome: Outcome::Ok, tally, at };
        self.happen(id, &AnyEvent::Run(event))?;
        for finding in 0..length.findings_per_run {
            self.see((number * length.findings_per_run + finding) % length.findings, of, run)?;
        }
        Ok(())
    }

    fn see(&mut self, finding: usize, of: usize, run: RunId) -> Result<()> {
        let (deployment, at) = (self.deployments[of].id, self.at);
        let check = planned_check(finding % 6)?.key.check;
        let resource = format!("store-1/{:03}/rec_{finding:07}.docx", finding / 1_000).parse()?;
        let id = FindingId::of(deployment, &check, &resource);
        let fingerprint = Fingerprint { deployment, check, resource };
        let sighting = sighting(finding, run, at)?;
        let seen = self.versions.get(&id.0).copied().unwrap_or_default();
        let event = if seen == 0 {
            self.deployments[of].findings.push((id, fingerprint.clone()));
            FindingEvent::FindingOpened { id, fingerprint, sighting, at }
        } else {
            FindingEvent::FindingSeenAgain { sighting, occurrences: seen as u32 + 1, at }
        };
        self.happen(id.0, &AnyEvent::Finding(event))
    }

    fn happen(&mut self, id: Uuid, event: &AnyEvent) -> Result<()> {
        let (kind, event_type, payload) = match event {
            AnyEvent::Deployment(event) => ("Deployment", event.name(), serde_json::to_string(event)?),
            AnyEvent::Run(event) => ("DiagnosticRun", event.name(), serde_json::to_string(event)?),
            AnyEvent::Finding(event) => ("Finding", event.name(), serde_json::to_string(event)?),
            AnyEvent::Remediation(event) => ("Remediation", event.name(), serde_json::to_string(event)?),
            AnyEvent::Policy(event) => ("Policy", event.name(), serde_json::to_string(event)?),
            AnyEvent::EmergencyStop(event) => ("EmergencyStop", event.name(), serde_json::to_string(event)?),
            AnyEvent::AuditKeys(event) => ("AuditKeys", event.name(), serde_json::to_string(event)?),
            AnyEvent::Subject(event) => ("Subject", event.name(), serde_json::to_string(event)?),
            AnyEvent::ProjectionControl(event) => ("ProjectionControl", event.name(), serde_json::to_string(event)?),
        };
        self.position += 1;
        let version = self.versions.entry(id).or_default();
        *version += 1;
        self.block.kinds.push(kind);
        self.block.ids.push(id.to_string());
        self.block.sequences.push(*version);
        self.block.types.push(event_type);
        self.block.payloads.push(payload);
        self.block.positions.push(self.position);
        Ok(())
    }
}

impl Block {
    async fn write(self, pool: &PgPool) -> Result<()> {
        let metadata = serde_json::to_string(&crate::events::metadata()?)?;
        sqlx::query(INSERT)
            .bind(self.kinds)
            .bind(self.ids)
            .bind(self.sequences)
            .bind(self.types)
            .bind(self.payloads)
            .bind(metadata)
            .bind(self.positions)
            .execute(pool)
            .await?;
        Ok(())
    }
}

/// A bad sighting of a finding.
pub fn sighting(finding: usize, run: RunId, at: DateTime<Utc>) -> Result<Sighting> {
    Ok(Sighting {
        component: "store-1".parse()?,
        run,
        outcome: if finding.is_multiple_of(3) { Outcome::Critical } else { Outcome::Warning },
        symptom: format!("The file of record {finding} is missing from the store"),
        cause: "It was deleted or moved beside Content Manager".to_owned(),
        impact: "The record has no document: users see an error when they open it".to_owned(),
        advice: "Restore the file from the backup of the store, then diagnose again".to_owned(),
        evidence: Evidence { inline: Some(json!({ "recorded_bytes": finding, "age_s": 86_400 })), hash: None },
        measured_at: at,
    })
}
