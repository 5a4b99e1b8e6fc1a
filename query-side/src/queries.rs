//! [`Queries`]: the one door to the views.

mod moments;
mod plan;
mod remediations;

use crate::basis;
use crate::cache::reads::{Basis, Reads};
use crate::cache::{Cache, Cached, Topic};
use crate::error::QueryError;
use crate::page::{Count, Keyset, Page, PageRequest, bounded};
use crate::past::AsOf;
use crate::views::Timed;
use crate::views::{check_results, daily_figures, deployments, finding_history, findings, runs};
use crate::views::{
    check_results::{CheckResultFilter, CheckResultView},
    daily_figures::{DailyFigure, DailyFigureFilter},
    deployments::{DeploymentFilter, DeploymentView},
    finding_history::FindingHistoryEntry,
    findings::{FindingFilter, FindingView},
    runs::{RunFilter, RunView},
};
use crate::wait::{self, Behind, LeastPosition, Watches};
use crate::why::EvidenceReader;
use chrono::{DateTime, Utc};
use domain::{DeploymentId, FindingId, Outcome, Position, RunId, StreamVersion};
use event_store::{EventLog, RecordedEvent, StreamId};
pub(crate) use moments::first_few;
use moments::{COUNTED, counted};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder, Row};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A pool for queries: every statement has a time limit, and so has the wait for a connection.
pub fn query_pool(options: PgConnectOptions, connections: u32, statement_timeout: Duration) -> PgPool {
    let timeout = statement_timeout.as_millis().to_string();
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(statement_timeout)
        .connect_lazy_with(options.options([("statement_timeout", timeout)]))
}

/// The most ids asked for at once.
pub const IDS_MAX: usize = 1_000;
/// The most rows of each owner in a list by owner (results of a run, findings of a deployment).
pub const EACH_MAX: i64 = 200;
/// The most events of a stream read at once.
pub const HISTORY_MAX: usize = 1_000;

/// Typed, bounded queries over the views. Cheap to clone.
#[derive(Clone)]
pub struct Queries {
    pool: PgPool,
    cache: Cache,
    log: Option<Arc<dyn EventLog>>,
    watches: Arc<Watches>,
    positions: Arc<LeastPosition>,
    reads: Option<Arc<Reads>>,
    as_of: Option<AsOf>,
    evidence: Option<Arc<dyn EvidenceReader>>,
}

/// How far a projection has come, from its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectionPosition {
    /// Its name.
    pub name: String,
    /// How far it has come.
    pub position: i64,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// The event that it can not take, and why: it stands still.
    pub failure: Option<(i64, String)>,
}

/// The rows of one owner, at most as many as asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstFew<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Whether there are more.
    pub has_more: bool,
}

impl Queries {
    /// Over a pool (see [`query_pool`]) and a cache ([`Cache::off`] where there is none).
    pub fn new(pool: PgPool, cache: Cache) -> Self {
        let (watches, positions) = (Arc::new(Watches::new()), Arc::default());
        Self { pool, cache, log: None, watches, positions, reads: None, as_of: None, evidence: None }
    }

    /// Lets [`Self::stream_history`] read the log.
    #[must_use]
    pub fn with_log(mut self, log: Arc<dyn EventLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// Lets [`Self::why`] show what was measured.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Arc<dyn EvidenceReader>) -> Self {
        self.evidence = Some(evidence);
        self
    }

    /// Lets [`Self::wait_for`] follow the projections that run in this process.
    #[must_use]
    pub fn with_watches(mut self, watches: Watches) -> Self {
        self.watches = Arc::new(watches);
        self
    }

    /// The pool, for a check of the database's health.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The cache, for its figures.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The same queries, which write down what their answers rest on. Of what is read from now on.
    pub async fn recording(&self) -> (Self, Arc<Reads>) {
        let reads = Arc::new(Reads::from(self.shown().await));
        (Self { reads: Some(Arc::clone(&reads)), ..self.clone() }, reads)
    }

    /// What has been read through queries that record rests on this; none where it can not be told.
    pub fn basis(&self) -> Option<Basis> {
        self.reads.as_ref().and_then(|reads| reads.basis())
    }

    /// A position that all views show by now, and that the cache knows all changes up to.
    async fn shown(&self) -> Option<Position> {
        let followed = self.cache.followed()?;
        Some(followed.min(self.positions.of(&self.watches, &self.pool).await?))
    }

    // ---- deployments

    /// One deployment.
    pub async fn deployment(&self, id: DeploymentId) -> Result<Option<Arc<DeploymentView>>, QueryError> {
        Ok(self.by_ids(&[id.0], &deployments::by_ids()).await?.remove(&id.0))
    }

    /// Several deployments; those that do not exist are left out.
    pub async fn deployments_by_ids(
        &self,
        ids: &[DeploymentId],
    ) -> Result<HashMap<DeploymentId, Arc<DeploymentView>>, QueryError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        Ok(keyed(self.by_ids(&ids, &deployments::by_ids()).await?))
    }

    /// Deployments by name.
    pub async fn deployments(
        &self,
        filter: &DeploymentFilter,
        page: &PageRequest,
    ) -> Result<Page<DeploymentView>, QueryError> {
        if let Some(past) = self.past() {
            return past.deployments(filter, page).await;
        }
        self.page(deployments::page(filter, page)?, page, Some(Topic::Deployments)).await
    }

    /// Deployments whose name begins with a text, whatever its case, or whose id it is; at most `limit` (100).
    pub async fn search_deployments(
        &self,
        text: &str,
        filter: &DeploymentFilter,
        limit: i64,
    ) -> Result<Vec<DeploymentView>, QueryError> {
        if self.as_of.is_some() {
            return Err(QueryError::PresentOnly("a search"));
        }
        self.rows(deployments::search(text, filter, bounded("limit", limit, 100)?), Some(Topic::Deployments)).await
    }

    /// The deployment that a person means by a name or an id: those under care before retired ones, then the newest.
    pub async fn deployment_named(
        &self,
        name_or_id: &str,
        tenant: Option<&str>,
    ) -> Result<Option<DeploymentView>, QueryError> {
        if let Some(past) = self.past() {
            return past.deployment_named(name_or_id, tenant).await;
        }
        Ok(self.rows(deployments::named(name_or_id, tenant), Some(Topic::Deployments)).await?.pop())
    }

    /// How many deployments.
    pub async fn count_deployments(&self, filter: &DeploymentFilter) -> Result<Count, QueryError> {
        let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM view_deployments d");
        deployments::conditions(&mut sql, filter);
        if let Some(past) = self.past() {
            return past.count_deployments(filter, counted(sql)?).await;
        }
        self.count(sql, Some(Topic::Deployments)).await
    }

    // ---- runs

    /// One run.
    pub async fn run(&self, id: RunId) -> Result<Option<Arc<RunView>>, QueryError> {
        Ok(self.by_ids(&[id.0], &by_ids_of("runs", runs::COLUMNS)).await?.remove(&id.0))
    }

    /// Several runs; those that do not exist are left out.
    pub async fn runs_by_ids(&self, ids: &[RunId]) -> Result<HashMap<RunId, Arc<RunView>>, QueryError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        Ok(keyed(self.by_ids(&ids, &by_ids_of("runs", runs::COLUMNS)).await?))
    }

    /// Runs, newest first.
    pub async fn runs(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<RunView>, QueryError> {
        if let Some(past) = self.past() {
            return past.runs(filter, page).await;
        }
        self.page(runs::page(filter, page)?, page, Some(basis::of_runs(filter))).await
    }

    /// Runs, oldest first, after one that was asked for at that time; at most `limit` ([`PageRequest::MAX`]).
    pub async fn runs_oldest_first(
        &self,
        filter: &RunFilter,
        after: Option<(DateTime<Utc>, RunId)>,
        limit: i64,
    ) -> Result<Vec<RunView>, QueryError> {
        let limit = bounded("limit", limit, PageRequest::MAX)?;
        self.rows(runs::oldest_first(filter, after, limit), Some(basis::of_runs(filter))).await
    }

    /// How many runs.
    pub async fn count_runs(&self, filter: &RunFilter) -> Result<Count, QueryError> {
        let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM view_runs");
        runs::conditions(&mut sql, filter);
        if let Some(past) = self.past() {
            return past.count_runs(filter, counted(sql)?).await;
        }
        self.count(sql, Some(basis::of_runs(filter))).await
    }

    // ---- check results

    /// The results of a run, by check and component; `outcomes` narrows them, empty means any.
    pub async fn check_results(
        &self,
        run: RunId,
        outcomes: &[Outcome],
        page: &PageRequest,
    ) -> Result<Page<CheckResultView>, QueryError> {
        let sql = check_results::of_run(run, outcomes, page)?;
        match self.past() {
            Some(past) => past.results(sql, page).await,
            None => self.page(sql, page, Some(Topic::Run(run.0))).await,
        }
    }

    /// The results of one check on one component over time, newest first.
    pub async fn check_result_history(
        &self,
        filter: &CheckResultFilter,
        page: &PageRequest,
    ) -> Result<Page<CheckResultView>, QueryError> {
        let sql = check_results::over_time(filter, page)?;
        let mut found = match self.past() {
            Some(past) => past.results(sql, page).await?,
            None => self.page(sql, page, Some(Topic::RunsOf(filter.deployment.0))).await?,
        };
        found.end_cursor = found.items.last().map(CheckResultView::cursor_over_time);
        Ok(found)
    }

    /// The first results of each of several runs.
    pub async fn results_of_runs(
        &self,
        runs: &[RunId],
        each: i64,
    ) -> Result<HashMap<RunId, FirstFew<CheckResultView>>, QueryError> {
        let ids: Vec<Uuid> = runs.iter().map(|run| run.0).collect();
        if let Some(past) = self.past_of_each(&ids, each)? {
            return Ok(keyed(past.results_of_runs(&ids, each).await?));
        }
        let lists = self.of_each(&ids, each, &check_results::of_runs()).await?;
        self.on(ids.into_iter().map(Topic::Run));
        Ok(keyed(lists))
    }

    // ---- findings

    /// One finding.
    pub async fn finding(&self, id: FindingId) -> Result<Option<Arc<FindingView>>, QueryError> {
        Ok(self.by_ids(&[id.0], &by_ids_of("findings", findings::COLUMNS)).await?.remove(&id.0))
    }

    /// Several findings; those that do not exist are left out.
    pub async fn findings_by_ids(&self, ids: &[FindingId]) -> Result<HashMap<FindingId, Arc<FindingView>>, QueryError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        Ok(keyed(self.by_ids(&ids, &by_ids_of("findings", findings::COLUMNS)).await?))
    }

    /// Findings, last seen first.
    pub async fn findings(&self, filter: &FindingFilter, page: &PageRequest) -> Result<Page<FindingView>, QueryError> {
        if let Some(past) = self.past() {
            return past.findings(filter, page).await;
        }
        self.page(findings::page(filter, page)?, page, basis::of_findings(filter)).await
    }

    /// How many findings.
    pub async fn count_findings(&self, filter: &FindingFilter) -> Result<Count, QueryError> {
        let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM view_findings");
        findings::conditions(&mut sql, filter);
        if let Some(past) = self.past() {
            return past.count_findings(filter, counted(sql)?).await;
        }
        self.count(sql, basis::of_findings(filter)).await
    }

    /// The findings that each of several runs saw, as they are now, critical ones first.
    pub async fn findings_of_runs(
        &self,
        runs: &[RunId],
        each: i64,
    ) -> Result<HashMap<RunId, FirstFew<FindingView>>, QueryError> {
        let ids: Vec<Uuid> = runs.iter().map(|run| run.0).collect();
        if let Some(past) = self.past_of_each(&ids, each)? {
            return Ok(keyed(past.findings_of_runs(&ids, each).await?));
        }
        let lists = self.of_each(&ids, each, &findings::of_runs()).await?;
        self.on(ids.into_iter().map(Topic::SeenBy).chain(lists.values().flat_map(basis::of_seen)));
        Ok(keyed(lists))
    }

    /// The present findings of each of several deployments, critical ones first.
    pub async fn findings_of_deployments(
        &self,
        deployments: &[DeploymentId],
        each: i64,
    ) -> Result<HashMap<DeploymentId, FirstFew<FindingView>>, QueryError> {
        let ids: Vec<Uuid> = deployments.iter().map(|deployment| deployment.0).collect();
        if let Some(past) = self.past_of_each(&ids, each)? {
            return Ok(keyed(past.findings_of_deployments(&ids, each).await?));
        }
        let lists = self.of_each(&ids, each, &findings::of_deployments()).await?;
        self.on(ids.into_iter().map(Topic::FindingsOf));
        Ok(keyed(lists))
    }

    /// A finding's life, oldest first.
    pub async fn finding_history(
        &self,
        finding: FindingId,
        page: &PageRequest,
    ) -> Result<Page<FindingHistoryEntry>, QueryError> {
        let sql = finding_history::page(finding, page)?;
        match self.past() {
            Some(past) => past.results(sql, page).await,
            None => self.page(sql, page, Some(Topic::Finding(finding.0))).await,
        }
    }

    // ---- figures, history, positions

    /// Daily figures, by day, deployment, check and severity.
    pub async fn daily_figures(
        &self,
        filter: &DailyFigureFilter,
        page: &PageRequest,
    ) -> Result<Page<DailyFigure>, QueryError> {
        if let Some(past) = self.past() {
            return past.daily_figures(filter, page).await;
        }
        self.page(daily_figures::page(filter, page)?, page, None).await
    }

    /// A stream's events after a version, at most `limit` ([`HISTORY_MAX`]).
    pub async fn stream_history(
        &self,
        stream: StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, QueryError> {
        bounded("limit", limit as i64, HISTORY_MAX as i64)?;
        self.note(None);
        match self.past() {
            Some(past) => past.stream_history(stream, after, limit).await,
            None => Ok(self.the_log()?.read_stream(stream, after, limit).await?),
        }
    }

    /// Waits until every view (and what caches know) has come as far as the position.
    pub async fn wait_for(&self, position: Position, bound: Duration) -> Result<(), Behind> {
        self.wait_for_named(wait::all(), position, bound).await
    }

    /// Waits until the named projections have come as far as the position.
    pub async fn wait_for_named(&self, names: &[&str], position: Position, bound: Duration) -> Result<(), Behind> {
        let started = tokio::time::Instant::now();
        wait::wait_for(&self.pool, &self.watches, names, position, bound).await?;
        if self.cache.has_seen(position, bound.saturating_sub(started.elapsed())).await {
            Ok(())
        } else {
            Err(Behind::Late { position, waiting: vec![("cache".to_owned(), Position::START)] })
        }
    }

    /// How far every projection has come, from the checkpoints.
    pub async fn projection_positions(&self) -> Result<Vec<ProjectionPosition>, QueryError> {
        self.note(None);
        let rows = sqlx::query(
            "SELECT name, position, updated_at, failed_position, failure FROM projection_checkpoints ORDER BY name",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(position_of(row)?)).collect()
    }

    // ---- how they are all run

    /// The event log, where there is one to read.
    pub(crate) fn log(&self) -> Option<&Arc<dyn EventLog>> {
        self.log.as_ref()
    }

    /// Where evidence is read, where it can be.
    pub(crate) fn evidence(&self) -> Option<&Arc<dyn EvidenceReader>> {
        self.evidence.as_ref()
    }

    /// What is read rests on this topic; on nothing that can be told where there is none.
    pub(crate) fn note(&self, topic: Option<Topic>) {
        if let Some(reads) = &self.reads {
            match topic {
                Some(topic) => reads.on([topic]),
                None => reads.give_up(),
            }
        }
    }

    fn on(&self, topics: impl IntoIterator<Item = Topic>) {
        if let Some(reads) = &self.reads {
            reads.on(topics);
        }
    }

    /// Some rows change by the clock alone.
    fn note_clock<'a, T: Timed + 'a>(&self, rows: impl IntoIterator<Item = &'a T>) {
        let Some(reads) = &self.reads else { return };
        let now = self.cache.now();
        for at in rows.into_iter().filter_map(Timed::changes_at).filter(|at| *at > now) {
            reads.until(at);
        }
    }

    async fn rows<T>(
        &self,
        mut sql: QueryBuilder<'static, Postgres>,
        topic: Option<Topic>,
    ) -> Result<Vec<T>, QueryError>
    where
        T: Timed + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.note(topic);
        let rows = sql.build_query_as::<T>().fetch_all(&self.pool).await?;
        self.note_clock(&rows);
        Ok(rows)
    }

    async fn page<T>(
        &self,
        sql: QueryBuilder<'static, Postgres>,
        page: &PageRequest,
        topic: Option<Topic>,
    ) -> Result<Page<T>, QueryError>
    where
        T: Keyset + Timed + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        Ok(Page::of(self.rows(sql, topic).await?, page))
    }

    async fn count(&self, mut sql: QueryBuilder<'static, Postgres>, topic: Option<Topic>) -> Result<Count, QueryError> {
        self.note(topic);
        sql.push(COUNTED);
        Ok(Count::of(sql.build_query_scalar::<i64>().fetch_one(&self.pool).await?))
    }

    async fn by_ids<T>(&self, ids: &[Uuid], sql: &str) -> Result<HashMap<Uuid, Arc<T>>, QueryError>
    where
        T: Cached + Timed + for<'r> FromRow<'r, PgRow>,
    {
        bounded("ids", ids.len().max(1) as i64, IDS_MAX as i64)?;
        if let Some(past) = self.past() {
            return past.by_ids(ids, sql).await;
        }
        // Also of those that do not exist: they may come to.
        self.on(ids.iter().map(|id| T::KIND.topic(*id)));
        let mut found = self.cache.get_many::<T>(ids).await;
        let missing: Vec<Uuid> = ids.iter().filter(|id| !found.contains_key(*id)).copied().collect();
        if missing.is_empty() {
            self.note_clock(found.values().map(Arc::as_ref));
            return Ok(found);
        }
        let rows = sqlx::query(sql).bind(&missing).fetch_all(&self.pool).await?;
        let mut fresh = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: Uuid = row.try_get("id")?;
            let as_of = row.try_get::<Option<i64>, _>("as_of")?.unwrap_or(0);
            let value = Arc::new(T::from_row(row)?);
            found.insert(id, Arc::clone(&value));
            fresh.push((id, Position(as_of), value));
        }
        self.cache.put_many(fresh).await;
        self.note_clock(found.values().map(Arc::as_ref));
        Ok(found)
    }

    async fn of_each<T>(&self, ids: &[Uuid], each: i64, sql: &str) -> Result<HashMap<Uuid, FirstFew<T>>, QueryError>
    where
        T: Timed + for<'r> FromRow<'r, PgRow>,
    {
        bounded("ids", ids.len().max(1) as i64, IDS_MAX as i64)?;
        bounded("first", each, EACH_MAX)?;
        let rows = sqlx::query(sql).bind(ids).bind(each + 1).fetch_all(&self.pool).await?;
        let lists = first_few::<T>(&rows, each)?;
        self.note_clock(lists.values().flat_map(|list| &list.items));
        Ok(lists)
    }
}

/// Rows by id with the position that the view had come to in the same snapshot: what a cached row is judged by.
pub(crate) fn by_ids_of(view: &str, columns: &str) -> String {
    format!(
        "SELECT {columns}, (SELECT position FROM projection_checkpoints WHERE name = '{view}') AS as_of \
         FROM view_{view} WHERE id = ANY($1)"
    )
}

fn keyed<K: From<Uuid> + std::hash::Hash + Eq, V>(map: HashMap<Uuid, V>) -> HashMap<K, V> {
    map.into_iter().map(|(id, value)| (K::from(id), value)).collect()
}

fn position_of(row: &PgRow) -> Result<ProjectionPosition, sqlx::Error> {
    let failed: Option<i64> = row.try_get("failed_position")?;
    let failure: Option<String> = row.try_get("failure")?;
    Ok(ProjectionPosition {
        name: row.try_get("name")?,
        position: row.try_get("position")?,
        updated_at: row.try_get("updated_at")?,
        failure: failed.zip(failure),
    })
}
