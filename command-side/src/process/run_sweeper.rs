//! Ends runs whose deadline has passed.

use super::runner::{Process, ProcessError};
use super::{Cause, system_actor};
use crate::bus::CommandBus;
use crate::error::CommandError;
use chrono::{DateTime, Utc};
use domain::any_event::DIAGNOSTIC_RUN;
use domain::diagnostic_run::{DiagnosticRun, RunCommand, RunEvent};
use domain::{Actor, AnyEvent, CorrelationId, RunId, TenantId};
use event_store::RecordedEvent;
use sqlx::PgConnection;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// The most runs that one look ends: the others are ended by the next.
const DUE_MAX: usize = 500;

/// Remembers the runs that have not ended, by their deadline.
pub(crate) struct RunSweeper {
    hands: Arc<Hands>,
    open: HashMap<RunId, OpenRun>,
    deadlines: BTreeSet<(DateTime<Utc>, RunId)>,
    /// Since the last save.
    changed: HashSet<RunId>,
}

pub(crate) struct Hands {
    bus: CommandBus,
    actor: Actor,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenRun {
    deadline: DateTime<Utc>,
    cause: Cause,
    /// How often it was refused as being in time: the clocks of two processes differ, and a refusal is for ever.
    refused: u32,
}

/// A run to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overdue {
    run: RunId,
    open: OpenRun,
}

/// Whether an overdue run has ended, by this or otherwise.
pub(crate) struct Swept {
    run: RunId,
    has_ended: bool,
}

impl RunSweeper {
    pub fn new(bus: CommandBus) -> Self {
        let hands = Arc::new(Hands { bus, actor: system_actor("system:sweeper") });
        Self { hands, open: HashMap::new(), deadlines: BTreeSet::new(), changed: HashSet::new() }
    }

    fn add(&mut self, run: RunId, open: OpenRun) {
        self.deadlines.insert((open.deadline, run));
        self.open.insert(run, open);
    }

    fn remove(&mut self, run: RunId) {
        if let Some(open) = self.open.remove(&run) {
            self.deadlines.remove(&(open.deadline, run));
            self.changed.insert(run);
        }
    }
}

impl Process for RunSweeper {
    const NAME: &'static str = "run-sweeper";
    type Work = Overdue;
    type Done = Swept;
    type Hands = Hands;

    fn hands(&self) -> Arc<Hands> {
        Arc::clone(&self.hands)
    }

    fn react(&mut self, event: &RecordedEvent) -> Result<Vec<Overdue>, ProcessError> {
        if &*event.stream.aggregate_type != DIAGNOSTIC_RUN {
            return Ok(Vec::new());
        }
        match event.event_type.as_str() {
            "RunRequested" => {
                let decoded =
                    event.decode().map_err(|source| ProcessError::Unreadable { position: event.position, source })?;
                if let AnyEvent::Run(RunEvent::RunRequested { run, deadline, .. }) = decoded {
                    self.add(run, OpenRun { deadline, cause: Cause::of(event), refused: 0 });
                    self.changed.insert(run);
                }
            }
            "RunCompleted" | "RunCancelled" | "RunTimedOut" | "RunFailed" => {
                if let Ok(run) = event.stream.aggregate_id.parse() {
                    self.remove(run);
                }
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn due(&mut self, now: DateTime<Utc>) -> Vec<Overdue> {
        let overdue = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).take(DUE_MAX);
        overdue
            .filter_map(|(_, run)| self.open.get(run).map(|open| Overdue { run: *run, open: open.clone() }))
            .collect()
    }

    fn lane(work: &Overdue) -> Uuid {
        work.run.0
    }

    fn cause(work: &Overdue) -> &Cause {
        &work.open.cause
    }

    async fn perform(hands: &Hands, work: &Overdue) -> Result<Swept, CommandError> {
        let metadata = work.open.cause.metadata(&hands.actor, &format!("time_out:{}", work.open.refused));
        let has_ended = match hands.bus.execute::<DiagnosticRun>(work.run.0, RunCommand::TimeOut, metadata).await {
            Err(CommandError::Refused { code, .. }) => code != "deadline_not_passed",
            Ok(_) => true,
            Err(error) => return Err(error),
        };
        Ok(Swept { run: work.run, has_ended })
    }

    fn settle(&mut self, done: Swept) {
        if done.has_ended {
            self.remove(done.run);
        } else if let Some(open) = self.open.get_mut(&done.run) {
            open.refused += 1;
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        type Row = (Uuid, DateTime<Utc>, Uuid, String, Uuid, Option<String>);
        self.open.clear();
        self.deadlines.clear();
        self.changed.clear();
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT run_id, deadline, requested_by, tenant, correlation_id, traceparent FROM process_open_runs",
        )
        .fetch_all(connection)
        .await?;
        for (run, deadline, event_id, tenant, correlation, traceparent) in rows {
            let tenant = TenantId::new(tenant).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let cause = Cause { event_id, tenant, correlation_id: CorrelationId(correlation), traceparent };
            self.add(RunId(run), OpenRun { deadline, cause, refused: 0 });
        }
        Ok(())
    }

    async fn save(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (open, gone): (Vec<RunId>, Vec<RunId>) = self.changed.iter().partition(|run| self.open.contains_key(run));
        if !gone.is_empty() {
            let gone: Vec<Uuid> = gone.into_iter().map(|run| run.0).collect();
            sqlx::query("DELETE FROM process_open_runs WHERE run_id = ANY($1)")
                .bind(gone)
                .execute(&mut *connection)
                .await?;
        }
        let rows: Vec<(Uuid, &OpenRun)> =
            open.iter().filter_map(|run| self.open.get(run).map(|row| (run.0, row))).collect();
        if !rows.is_empty() {
            sqlx::query(
                "INSERT INTO process_open_runs (run_id, deadline, requested_by, tenant, correlation_id, traceparent)
                 SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::uuid[], $6::text[])
                 ON CONFLICT (run_id) DO NOTHING",
            )
            .bind(rows.iter().map(|(run, _)| *run).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.deadline).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.cause.event_id).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.cause.tenant.to_string()).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.cause.correlation_id.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.cause.traceparent.clone()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
        }
        self.changed.clear();
        Ok(())
    }
}
