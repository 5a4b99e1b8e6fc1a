//! What the given/then tests of the views share.

use crate::decoded::Decoded;
use crate::projection::Projection;
use chrono::{DateTime, TimeDelta, Utc};
use domain::any_event::{
    AUDIT_KEYS, AnyEvent, DEPLOYMENT, DIAGNOSTIC_RUN, EMERGENCY_STOP, FINDING, POLICY, PROJECTION_CONTROL, REMEDIATION,
    SUBJECT,
};
use domain::diagnostic_run::{CheckKey, CheckResult, Evidence};
use domain::finding::{Fingerprint, Sighting};
use domain::{CommandId, DeploymentId, DomainEvent, Metadata, Outcome, Position, RunId, StreamVersion, TenantId};
use event_store::{RecordedEvent, StreamId};
use private_servers::testing::TestDatabase;
use serde_json::Value;
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// So many seconds into the story.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

pub fn deployment() -> DeploymentId {
    DeploymentId(Uuid::from_u128(1))
}

pub fn run() -> RunId {
    RunId(Uuid::from_u128(2))
}

pub fn result(check: &str, outcome: Outcome) -> CheckResult {
    CheckResult {
        key: CheckKey { check: check.parse().unwrap(), component: "store-1".parse().unwrap() },
        version: "v1".to_owned(),
        outcome,
        summary: format!("{check} is {outcome}"),
        unknown_cause: (outcome == Outcome::Unknown).then(|| "no route".to_owned()),
        observations: vec![],
        omitted: 0,
        metrics: BTreeMap::from([("used_percent".to_owned(), 12.5)]),
        evidence: None,
        measured_at: at(2),
        duration_ms: 40,
    }
}

pub fn fingerprint() -> Fingerprint {
    Fingerprint {
        deployment: deployment(),
        check: "CM-FILE-MISSING".parse().unwrap(),
        resource: "store-1/000/a.docx".parse().unwrap(),
    }
}

pub fn sighting(outcome: Outcome, seconds: i64) -> Sighting {
    Sighting {
        component: "store-1".parse().unwrap(),
        run: run(),
        outcome,
        symptom: "a file is missing".to_owned(),
        cause: "deleted".to_owned(),
        impact: "a record has no document".to_owned(),
        advice: "restore it".to_owned(),
        evidence: Evidence::default(),
        measured_at: at(seconds),
    }
}

/// The events of one aggregate as the log would give them, from position 1 on.
pub fn log(id: Uuid, events: impl IntoIterator<Item = AnyEvent>) -> Vec<Arc<Decoded>> {
    log_of(events.into_iter().map(|event| (id, event)))
}

/// Events of several aggregates.
pub fn log_of(events: impl IntoIterator<Item = (Uuid, AnyEvent)>) -> Vec<Arc<Decoded>> {
    let mut versions: BTreeMap<Uuid, i64> = BTreeMap::new();
    events
        .into_iter()
        .enumerate()
        .map(|(index, (id, event))| {
            let version = versions.entry(id).or_default();
            *version += 1;
            Arc::new(decoded(id, event, index as i64 + 1, *version))
        })
        .collect()
}

fn decoded(id: Uuid, event: AnyEvent, position: i64, version: i64) -> Decoded {
    let (kind, event_type, payload) = match &event {
        AnyEvent::Deployment(event) => (DEPLOYMENT, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Run(event) => (DIAGNOSTIC_RUN, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Finding(event) => (FINDING, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Remediation(event) => (REMEDIATION, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Policy(event) => (POLICY, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::EmergencyStop(event) => (EMERGENCY_STOP, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::AuditKeys(event) => (AUDIT_KEYS, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::Subject(event) => (SUBJECT, event.event_type(), serde_json::value::to_raw_value(event)),
        AnyEvent::ProjectionControl(event) => {
            (PROJECTION_CONTROL, event.event_type(), serde_json::value::to_raw_value(event))
        }
    };
    let actor = "test".parse().unwrap();
    let recorded = RecordedEvent {
        position: Position(position),
        stream: StreamId::new(kind, &id.to_string()),
        version: StreamVersion(version),
        event_id: Uuid::from_u128(position as u128),
        event_type,
        event_version: "1".to_owned(),
        payload: payload.unwrap(),
        metadata: Metadata::new(actor, TenantId::default(), CommandId(Uuid::nil())),
        recorded_at: at(position),
    };
    Decoded { recorded: Arc::new(recorded), id, event: Some(event), part: 0 }
}

/// A database in which a view is told events, as often as wanted.
pub struct Told {
    pool: PgPool,
    _database: TestDatabase,
}

impl Told {
    pub async fn new() -> Self {
        let database = TestDatabase::migrated().await;
        Self { pool: database.pool().await, _database: database }
    }

    /// What a query finds after these events and no others.
    pub async fn then<P: Projection + Default>(&self, events: &[Arc<Decoded>], query: &str) -> Vec<Value> {
        self.tell::<P>(&[events]).await;
        sqlx::query_scalar(&format!("SELECT to_jsonb(q) FROM ({query}) q")).fetch_all(&self.pool).await.unwrap()
    }

    /// The rows are the same wherever the projection forgets what it knows and reads it again.
    pub async fn survives_being_forgotten<P: Projection + Default>(&self, events: &[Arc<Decoded>]) {
        self.tell::<P>(&[events]).await;
        let expected = self.lines::<P>().await;
        assert!(events.len() > 1 && !expected.is_empty());
        for cut in 1..events.len() {
            let (before, after) = events.split_at(cut);
            self.tell::<P>(&[before, after]).await;
            assert_eq!(self.lines::<P>().await, expected, "forgotten after {cut} events");
        }
    }

    /// Tells it all, and lets it forget between the parts.
    async fn tell<P: Projection + Default>(&self, parts: &[&[Arc<Decoded>]]) {
        let mut projection = P::default();
        let mut db = self.pool.acquire().await.unwrap();
        for table in projection.tables() {
            sqlx::query(&format!("DELETE FROM {table}")).execute(&mut *db).await.unwrap();
        }
        for part in parts {
            projection.fold(part, &mut db).await.unwrap();
            projection.write(&mut db).await.unwrap();
            projection.forget();
        }
    }

    async fn lines<P: Projection + Default>(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for table in P::default().tables() {
            let sql = format!("SELECT t::text FROM {table} t ORDER BY 1");
            lines.extend(sqlx::query_scalar::<_, String>(&sql).fetch_all(&self.pool).await.unwrap());
        }
        lines
    }
}
