//! A log of millions of events, made by the server itself: each event's JSON is the domain's own, with the ids, times
//! and numbers put in by SQL.

use crate::commands::{planned_check, result};
use crate::events;
use crate::replay_story::sighting;
use crate::results::{host, register};
use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use domain::deployment::{DeploymentCommand, DeploymentEvent};
use domain::diagnostic_run::{Priority, RunEvent, Tally};
use domain::finding::{FindingEvent, Fingerprint, Sighting};
use domain::{DeploymentId, FindingId, Outcome, RunId};
use futures::{StreamExt, TryStreamExt};
use rand::Rng;
use serde::Serialize;
use sqlx::PgPool;
use std::fmt::Write as _;
use uuid::Uuid;

/// Events that one run brings about: six of its own, and one each of the findings that it sees.
const OF_A_RUN: i64 = 6;
const SEEN_BY_A_RUN: i64 = 4;
const TOGETHER: i64 = OF_A_RUN + SEEN_BY_A_RUN;
/// How often each finding is seen.
const SEEN: i64 = 40;
/// Runs of one statement.
const BLOCK: i64 = 25_000;

/// What stands in an event where SQL puts something in.
const RUN: Uuid = Uuid::from_u128(0x1111_1111_1111_1111_1111_1111_1111_1111);
const DEPLOYMENT: Uuid = Uuid::from_u128(0x2222_2222_2222_2222_2222_2222_2222_2222);
const FINDING: Uuid = Uuid::from_u128(0x3333_3333_3333_3333_3333_3333_3333_3333);
const RESOURCE: &str = "store-1/the-resource.docx";
const TIMES: u32 = 987_654_321;

/// A long log and what is in it.
pub struct LongLog {
    /// How many events.
    pub events: i64,
    /// How many runs.
    pub runs: i64,
    deployments: i64,
}

impl LongLog {
    /// Makes one in an empty log.
    pub async fn make(pool: &PgPool, runs: i64, deployments: i64) -> Result<Self> {
        let told = Self { events: deployments + runs * TOGETHER, runs, deployments };
        sqlx::raw_sql(FUNCTIONS).execute(pool).await.context("make the functions")?;
        told.registered(pool).await.context("register deployments")?;
        let sql = told.sql()?;
        let blocks = (0..runs).step_by(BLOCK as usize).map(|from| {
            let made = sqlx::query(&sql).bind(from).bind((from + BLOCK).min(runs) - 1).execute(pool);
            async move { made.await.context("make events") }
        });
        // One for each core.
        futures::stream::iter(blocks).buffer_unordered(2).try_collect::<Vec<_>>().await?;
        sqlx::raw_sql("VACUUM ANALYZE cmdiag.events").execute(pool).await.context("vacuum the log")?;
        Ok(told)
    }

    /// How many findings a deployment has.
    pub fn findings_each(&self) -> i64 {
        (self.runs / self.deployments * SEEN_BY_A_RUN / SEEN).max(SEEN_BY_A_RUN)
    }

    /// A run that had been asked for by then.
    pub fn run_before(&self, position: i64) -> RunId {
        let last = ((position - self.deployments - 1) / TOGETHER).min(self.runs - 1);
        RunId(numbered(2, rand::rng().random_range(0..=last)))
    }

    /// A finding that had been seen by then.
    pub fn finding_before(&self, position: i64) -> FindingId {
        let last = (position - self.deployments) / TOGETHER - 1;
        let run = rand::rng().random_range(0..=last);
        let seen = run / self.deployments * SEEN_BY_A_RUN + rand::rng().random_range(0..SEEN_BY_A_RUN);
        let of = run % self.deployments * self.findings_each() + seen % self.findings_each();
        FindingId(numbered(3, of))
    }

    /// Any deployment.
    pub fn deployment(&self) -> DeploymentId {
        DeploymentId(numbered(1, rand::rng().random_range(0..self.deployments)))
    }

    async fn registered(&self, pool: &PgPool) -> Result<()> {
        let command = register("bench", vec![host("store-1")?]);
        let DeploymentCommand::Register { name, product_version, is_double, labels, components } = command else {
            anyhow::bail!("it registers nothing");
        };
        let id = DeploymentId(DEPLOYMENT);
        let event = DeploymentEvent::DeploymentRegistered {
            id,
            name,
            product_version,
            is_double,
            labels,
            components,
            at: moment(),
        };
        let sql = format!(
            "{INSERT} SELECT 'Deployment', d.deployment, 1, 'DeploymentRegistered', '1', {}, '{}', n + 1, \
             gen_random_uuid(), d.recorded FROM generate_series(0, $1::bigint - 1) n, \
             LATERAL (SELECT numbered(1, n)::text AS deployment, recorded(n) AS recorded, shown(n) AS at) d",
            json(&event, "d")?,
            metadata()?
        );
        sqlx::query(&sql).bind(self.deployments).execute(pool).await?;
        Ok(())
    }

    /// The statement that makes what runs `$1` to `$2` bring about, in the order of the log.
    fn sql(&self) -> Result<String> {
        let mut events = String::new();
        for (at, event) in run_events()?.iter().enumerate() {
            let (name, json) = (event.name(), json(event, "v")?);
            let _ = write!(events, "({at}, 'DiagnosticRun', v.run, {}::bigint, '{name}', {json}), ", at + 1);
        }
        let (opened, again) = finding_events()?;
        for number in 0..SEEN_BY_A_RUN {
            let at = OF_A_RUN + number;
            let of = format!("f{number}");
            let _ = write!(
                events,
                "({at}, 'Finding', {of}.finding, {of}.times, CASE WHEN {of}.times = 1 THEN 'FindingOpened' ELSE \
                 'FindingSeenAgain' END, CASE WHEN {of}.times = 1 THEN {} ELSE {} END){}",
                json(&opened, &of)?,
                json(&again, &of)?,
                if number + 1 < SEEN_BY_A_RUN { ", " } else { "" }
            );
        }
        let (deployments, each) = (self.deployments, self.findings_each());
        let mut findings = String::new();
        for number in 0..SEEN_BY_A_RUN {
            let seen = format!("(k / {deployments} * {SEEN_BY_A_RUN} + {number})");
            let _ = write!(
                findings,
                " CROSS JOIN LATERAL (SELECT v.run, v.deployment, v.at, \
                 numbered(3, k % {deployments} * {each} + {seen} % {each})::text AS finding, \
                 'store-1/' || {seen} % {each} || '.docx' AS resource, {seen} / {each} + 1 AS times) f{number}"
            );
        }
        Ok(format!(
            "{INSERT} SELECT e.kind, e.id, e.sequence, e.event_type, '1', e.payload::json, '{}', \
             {deployments} + k * {TOGETHER} + e.number + 1, gen_random_uuid(), v.recorded \
             FROM generate_series($1::bigint, $2::bigint) k \
             CROSS JOIN LATERAL (SELECT numbered(2, k)::text AS run, numbered(1, k % {deployments})::text AS \
             deployment, \
                 recorded({deployments} + k) AS recorded, shown({deployments} + k) AS at) v{findings} \
             CROSS JOIN LATERAL (VALUES {events}) AS e (number, kind, id, sequence, event_type, payload) \
             ORDER BY k, e.number",
            metadata()?
        ))
    }
}

const INSERT: &str = "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, \
    payload, metadata, position, event_id, recorded_at)";

/// Ids that grow, as those of new streams do; but those of findings come from what they are about, and lie anywhere.
/// Times lie 2.6 s apart: a month for a million.
const FUNCTIONS: &str = "
    CREATE FUNCTION numbered(kind integer, n bigint) RETURNS uuid IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
        SELECT (CASE WHEN kind = 3 THEN lpad(to_hex(n * 2654435761 % 4294967296), 8, '0') ELSE '0190000' || kind END
            || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    CREATE FUNCTION recorded(n bigint) RETURNS timestamptz IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
        SELECT '2026-01-01T00:00:00Z'::timestamptz + n * interval '2.6 seconds' $$;
    CREATE FUNCTION shown(n bigint) RETURNS text STABLE PARALLEL SAFE LANGUAGE sql AS $$
        SELECT to_char(recorded(n) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') $$;";

/// The same as `numbered`.
fn numbered(kind: u128, n: i64) -> Uuid {
    let first = if kind == 3 { (n as u128 * 2_654_435_761) % (1 << 32) } else { 0x0190_0000 + kind };
    Uuid::from_u128(first << 96 | 0x7000 << 64 | 0x8000 << 48 | n as u128)
}

fn moment() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(7_777)
}

fn metadata() -> Result<String> {
    Ok(serde_json::to_string(&events::metadata()?)?.replace('\'', "''"))
}

/// An SQL expression that gives the event's JSON, with what the columns of `of` say put in.
fn json(event: &impl Serialize, of: &str) -> Result<String> {
    let mut text = serde_json::to_string(event)?.replace('\'', "''");
    let at = serde_json::to_string(&moment())?;
    for (place, column) in [
        (RUN.to_string(), "run"),
        (DEPLOYMENT.to_string(), "deployment"),
        (FINDING.to_string(), "finding"),
        (at.trim_matches('"').to_owned(), "at"),
        (RESOURCE.to_owned(), "resource"),
        (TIMES.to_string(), "times"),
    ] {
        text = text.replace(&place, &format!("' || {of}.{column} || '"));
    }
    Ok(format!("('{text}')::json"))
}

fn run_events() -> Result<Vec<RunEvent>> {
    let (run, deployment, at) = (RunId(RUN), DeploymentId(DEPLOYMENT), moment());
    let planned = [planned_check(0)?, planned_check(1)?];
    let recorded = |number: usize| {
        let mut result = result(planned[number].key.clone());
        result.measured_at = at;
        RunEvent::ChecksCompleted { deployment, results: vec![result], done: number as u32 + 1, planned: 2, at }
    };
    let tally = Tally { ok: 2, ..Tally::default() };
    let (profile, checks, priority) = ("full".to_owned(), Vec::new(), Priority::Normal);
    let deadline = at;
    Ok(vec![
        RunEvent::RunRequested { run, deployment, profile, checks, priority, deadline, at },
        RunEvent::RunPlanned { checks: planned.to_vec(), at },
        RunEvent::RunStarted { at },
        recorded(0),
        recorded(1),
        RunEvent::RunCompleted { deployment, outcome: Outcome::Ok, tally, at },
    ])
}

fn finding_events() -> Result<(FindingEvent, FindingEvent)> {
    let (id, at) = (FindingId(FINDING), moment());
    let fingerprint =
        Fingerprint { deployment: DeploymentId(DEPLOYMENT), check: "BENCH-1".parse()?, resource: RESOURCE.parse()? };
    // Short ones: it is the number of events that matters here, and the disk is to hold them.
    let (cause, impact, advice) = ("deleted".to_owned(), "no document".to_owned(), "restore it".to_owned());
    let sighting = Sighting { cause, impact, advice, ..sighting(3, RunId(RUN), at)? };
    let opened = FindingEvent::FindingOpened { id, fingerprint, sighting: sighting.clone(), at };
    Ok((opened, FindingEvent::FindingSeenAgain { sighting, occurrences: TIMES, at }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_said_by_columns() {
        let (opened, again) = finding_events().unwrap();
        let sql = json(&opened, "f0").unwrap();
        for column in ["run", "deployment", "finding", "at", "resource"] {
            assert!(sql.contains(&format!("|| f0.{column} ||")), "{column}: {sql}");
        }
        assert!(json(&again, "f1").unwrap().contains("|| f1.times ||"));
    }
}
