//! The event processors' counters, advanced every second: what the SDK's event monitor would say.

use crate::control::{ProcessorMode, Switch};
use crate::error::LabError;
use chrono::{DateTime, Duration, Utc};
use sqlx::PgPool;

/// One event processor as it is when all is well.
#[derive(Debug)]
pub struct Processor {
    /// Its type.
    pub name: &'static str,
    /// The server that runs it.
    pub wgs: &'static str,
    /// Processing, or Ignored where the site does not use it.
    pub status: &'static str,
    /// Events a second.
    pub rate: i64,
}

const fn processor(name: &'static str, wgs: &'static str, rate: i64) -> Processor {
    Processor { name, wgs, status: if rate > 0 { "Processing" } else { "Ignored" }, rate }
}

/// All of them. A rate of zero: not in use.
pub const PROCESSORS: &[Processor] = &[
    processor("AuditLog", "wgs-1", 6),
    processor("AutoClassify", "wgs-1", 0),
    processor("AutoPartCreator", "wgs-1", 1),
    processor("ContentIndex", "wgs-2", 5),
    processor("EventStatistics", "wgs-1", 1),
    processor("InactiveRecords", "wgs-2", 1),
    processor("LdapSync", "wgs-1", 1),
    processor("MailNotification", "wgs-1", 2),
    processor("MipScan", "wgs-2", 0),
    processor("RecordRecycle", "wgs-2", 0),
    processor("RenderOCR", "wgs-2", 1),
    processor("RenderPDF", "wgs-2", 2),
    processor("RenderSignedCopy", "wgs-2", 1),
    processor("ScheduleTriggers", "wgs-1", 1),
    processor("StoreEventHandler", "wgs-2", 2),
    processor("Subscriptions", "wgs-1", 1),
    processor("SystemMonitor", "wgs-1", 1),
    processor("WordIndexing", "wgs-2", 3),
];

/// The event that a poisoned processor fails on.
pub struct PoisonEvent {
    pub id: i64,
    pub event_type: i64,
    pub object_type: i64,
    pub object_uri: i64,
}

/// It.
pub const POISON: PoisonEvent = PoisonEvent { id: 4711, event_type: 14, object_type: 6, object_uri: 271_828 };

/// What a backlog starts at.
const BACKLOG: i64 = 48_000;
/// A poisoned queue grows up to this, so that it does not become a backlog as well.
const POISON_QUEUE_MAX: i64 = 400;

/// Fills the table the first time.
pub async fn load(pool: &PgPool, born: DateTime<Utc>) -> Result<(), LabError> {
    sqlx::query(
        "INSERT INTO double_event_processor
         SELECT p.name, p.wgs, p.status, 0, p.rate * 100000, CASE WHEN p.rate > 0 THEN 3 ELSE 0 END, p.rate * 500, 0,
                NULL, $5, $6, p.rate * 99999, CASE WHEN p.rate > 0 THEN 3 ELSE 0 END
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[]) AS p(name, wgs, status, rate)",
    )
    .bind(PROCESSORS.iter().map(|one| one.name).collect::<Vec<_>>())
    .bind(PROCESSORS.iter().map(|one| one.wgs).collect::<Vec<_>>())
    .bind(PROCESSORS.iter().map(|one| one.status).collect::<Vec<_>>())
    .bind(PROCESSORS.iter().map(|one| one.rate).collect::<Vec<_>>())
    .bind(since(born))
    .bind(born)
    .execute(pool)
    .await
    .map_err(LabError::db("load the event processors"))
    .map(drop)
}

/// The healthy status has lasted since before the lab's birth.
fn since(born: DateTime<Utc>) -> DateTime<Utc> {
    born - Duration::days(30)
}

/// What one tick does to one processor's row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    status: String,
    since: DateTime<Utc>,
    processed: i64,
    failed: i64,
    timer: i64,
    queued_min: i64,
    queued_add: i64,
    queued_max: i64,
    error: Option<String>,
}

fn step(processor: &Processor, mode: Option<&ProcessorMode>, born: DateTime<Utc>, now: DateTime<Utc>) -> Step {
    // A healthy queue is never long and never quite the same.
    let few = if processor.rate > 0 { now.timestamp() % 3 } else { 0 };
    let healthy = Step {
        status: processor.status.to_owned(),
        since: since(born),
        processed: processor.rate,
        failed: 0,
        timer: i64::from(processor.rate > 0),
        queued_min: few,
        queued_add: 0,
        queued_max: few,
        error: None,
    };
    match mode {
        None => healthy,
        Some(ProcessorMode::Backlog) => {
            Step { processed: 1, queued_min: BACKLOG, queued_add: 12, queued_max: BACKLOG * 20, ..healthy }
        }
        Some(ProcessorMode::Poison) => Step {
            processed: 0,
            failed: 1,
            queued_min: 40,
            queued_add: 1,
            queued_max: POISON_QUEUE_MAX,
            error: Some(format!(
                "DOUBLE: event {} of type {} can not be processed: object {} does not exist",
                POISON.id, POISON.event_type, POISON.object_uri
            )),
            ..healthy
        },
        Some(ProcessorMode::Status { status, hours, queued }) => Step {
            status: status.clone(),
            // Cut to the hour: the status does not begin anew with each tick.
            since: now - Duration::hours(*hours) - Duration::seconds(now.timestamp() % 3600),
            processed: 0,
            timer: 0,
            queued_min: *queued,
            queued_max: *queued,
            ..healthy
        },
    }
}

/// One tick. What the counters were becomes `*_before`, so that one query can judge their progress.
pub async fn tick(pool: &PgPool, switches: &[Switch], born: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), LabError> {
    let mode = |name: &str| {
        switches.iter().find_map(|switch| match switch {
            Switch::Processor { name: one, mode } if one == name => Some(mode),
            _ => None,
        })
    };
    let steps: Vec<Step> = PROCESSORS.iter().map(|one| step(one, mode(one.name), born, now)).collect();
    let numbers = |of: fn(&Step) -> i64| steps.iter().map(of).collect::<Vec<i64>>();
    sqlx::query(
        "UPDATE double_event_processor p
         SET processed_before = p.processed, failed_before = p.failed, sampled_at = $1,
             processed = p.processed + s.processed, failed = p.failed + s.failed,
             timerevents = p.timerevents + s.timer, status = s.status, status_since = s.since, lasterror = s.error,
             queued = LEAST(GREATEST(p.queued, s.queued_min) + s.queued_add, s.queued_max)
         FROM UNNEST($2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
                     $9::bigint[], $10::bigint[], $11::bigint[])
              AS s(name, status, since, error, processed, failed, timer, queued_min, queued_add, queued_max)
         WHERE p.name = s.name",
    )
    .bind(now)
    .bind(PROCESSORS.iter().map(|one| one.name).collect::<Vec<_>>())
    .bind(steps.iter().map(|one| one.status.clone()).collect::<Vec<_>>())
    .bind(steps.iter().map(|one| one.since).collect::<Vec<_>>())
    .bind(steps.iter().map(|one| one.error.clone()).collect::<Vec<_>>())
    .bind(numbers(|one| one.processed))
    .bind(numbers(|one| one.failed))
    .bind(numbers(|one| one.timer))
    .bind(numbers(|one| one.queued_min))
    .bind(numbers(|one| one.queued_add))
    .bind(numbers(|one| one.queued_max))
    .execute(pool)
    .await
    .map_err(LabError::db("advance the event processors"))
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_shows_its_symptom_and_no_other() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let one = &PROCESSORS[3];
        let suspended = ProcessorMode::Status { status: "Suspended".to_owned(), hours: 50, queued: 350 };
        let cases: [(Option<&ProcessorMode>, &str, bool, bool, bool); 4] = [
            (None, "Processing", true, false, false),
            (Some(&ProcessorMode::Backlog), "Processing", true, false, true),
            (Some(&ProcessorMode::Poison), "Processing", false, true, false),
            (Some(&suspended), "Suspended", false, false, false),
        ];
        for (mode, status, proceeds, fails, backlog) in cases {
            let step = step(one, mode, now, now);
            let seen = (step.status.as_str(), step.processed > 0, step.failed > 0, step.queued_min > 10_000);
            assert_eq!(seen, (status, proceeds, fails, backlog), "{mode:?}");
            assert_eq!(step.error.is_some(), fails);
        }
    }
}
