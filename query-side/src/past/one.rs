//! Things by their ids, and what belongs to them, as they stood.

use super::Past;
use super::over::{Stand, Stands, Statement};
use super::rows::{FINDINGS, Folded, POLICIES, REMEDIATIONS, RUNS, STOPS, Today, rows_of, today_by_ids};
use crate::cache::{Cached, Kind};
use crate::error::QueryError;
use crate::page::{Keyset, Page, PageRequest};
use crate::queries::{FirstFew, by_ids_of, first_few};
use crate::views::policies::{self, EmergencyStopView, PolicyView, StatisticView};
use crate::views::remediations::{self, RemediationView};
use crate::views::{check_results, findings};
use domain::any_event::POLICY;
use event_store::{RecordedEvent, StreamId, StreamVersion};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

const RESULTS: &str = "view_check_results";
const HISTORY: &str = "view_finding_history";

impl Past<'_> {
    /// Deployments, runs or findings by id; those that were not there yet are left out.
    pub(crate) async fn by_ids<T>(&self, ids: &[Uuid], sql: &str) -> Result<HashMap<Uuid, Arc<T>>, QueryError>
    where
        T: Cached + for<'r> FromRow<'r, PgRow>,
    {
        let stands = match T::KIND {
            Kind::Run => vec![(RUNS.table, Stand::Rows(self.rows(RUNS, ids).await?))],
            Kind::Finding => vec![(FINDINGS.table, Stand::Rows(self.rows(FINDINGS, ids).await?))],
            Kind::Deployment => self.deployments_by_ids(ids).await?,
        };
        let mut statement = Statement::new(sql);
        statement.bind(ids.to_vec())?;
        let rows = self.over(statement, stands).await?;
        rows.iter().map(|row| Ok((row.try_get("id")?, Arc::new(T::from_row(row)?)))).collect()
    }

    /// One remediation.
    pub(crate) async fn remediation(&self, id: Uuid) -> Result<Option<RemediationView>, QueryError> {
        let mut statement = Statement::new(&by_ids_of("remediations", remediations::COLUMNS));
        statement.bind(vec![id])?;
        let rows = self.rows(REMEDIATIONS, &[id]).await?;
        Ok(self.views(statement, vec![(REMEDIATIONS.table, Stand::Rows(rows))]).await?.pop())
    }

    /// A tenant's emergency stop.
    pub(crate) async fn emergency_stop(&self, id: Uuid) -> Result<Option<EmergencyStopView>, QueryError> {
        let mut statement = Statement::new(policies::STOP);
        statement.bind(id)?;
        let rows = self.rows(STOPS, &[id]).await?;
        Ok(self.views(statement, vec![(STOPS.table, Stand::Rows(rows))]).await?.pop())
    }

    /// A tenant's policies.
    pub(crate) async fn policies(&self, tenant: &str, limit: i64) -> Result<Vec<PolicyView>, QueryError> {
        let Folded { table, aggregate, .. } = POLICIES;
        let mut today = Statement::new(&format!(
            "SELECT v.id, CASE WHEN v.last_position <= $1 THEN to_json(v)::text END AS same FROM {table} v \
             WHERE v.tenant = $2 LIMIT $3"
        ));
        today.bind(self.position())?;
        today.bind(tenant.to_owned())?;
        today.bind(limit)?;
        let today = self.over(today, vec![(table, Stand::Begun { aggregate, dated: None })]).await?;
        let rows = self.then(POLICIES, Today::of(&today)?).await?;
        let mut list = Statement::new(policies::LIST);
        list.bind(tenant.to_owned())?;
        list.bind(limit)?;
        self.views(list, vec![(table, Stand::Rows(rows))]).await
    }

    /// What a policy had learned. All of it is of one stream: as soon as one row has changed, all are made from it.
    pub(crate) async fn policy_statistics(&self, policy: Uuid, limit: i64) -> Result<Vec<StatisticView>, QueryError> {
        const TABLE: &str = "view_policy_statistics";
        let sql = today_by_ids(TABLE).replace("v.id = ANY($1)", "v.policy_id = $1 LIMIT 10000");
        let found = sqlx::query(&sql).bind(policy).bind(self.position()).fetch_all(self.queries.pool()).await?;
        let mut today = Today::of(&found)?;
        if !today.changed.is_empty() {
            let stream = StreamId::new(POLICY, &policy.to_string());
            today.same = rows_of(self.fold(POLICIES.projection, vec![stream]).await?, TABLE);
        }
        let mut list = Statement::new(policies::STATISTICS);
        list.bind(policy)?;
        list.bind(limit)?;
        self.views(list, vec![(TABLE, Stand::Rows(today.same))]).await
    }

    /// A page of check results, or of a finding's life: what was recorded by then.
    pub(crate) async fn results<T>(
        &self,
        sql: QueryBuilder<'static, Postgres>,
        page: &PageRequest,
    ) -> Result<Page<T>, QueryError>
    where
        T: Keyset + for<'r> FromRow<'r, PgRow>,
    {
        let stands = vec![(RESULTS, Stand::Added), (HISTORY, Stand::Added)];
        Ok(Page::of(self.views(Statement::of(sql)?, stands).await?, page))
    }

    /// The first results of each of several runs.
    pub(crate) async fn results_of_runs<T>(
        &self,
        runs: &[Uuid],
        each: i64,
    ) -> Result<HashMap<Uuid, FirstFew<T>>, QueryError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        self.of_each(runs, each, &check_results::of_runs(), vec![(RESULTS, Stand::Added)]).await
    }

    /// The findings that each of several runs saw.
    pub(crate) async fn findings_of_runs<T>(
        &self,
        runs: &[Uuid],
        each: i64,
    ) -> Result<HashMap<Uuid, FirstFew<T>>, QueryError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let seen: Vec<Uuid> = sqlx::query_scalar(
            "SELECT DISTINCT finding_id FROM view_finding_history WHERE run_id = ANY($1) AND last_position <= $2 \
             LIMIT $3",
        )
        .bind(runs)
        .bind(self.position())
        .bind(super::STREAMS_MAX as i64 + 1)
        .fetch_all(self.queries.pool())
        .await?;
        let rows = self.rows(FINDINGS, &seen).await?;
        let stands = vec![(FINDINGS.table, Stand::Rows(rows)), (HISTORY, Stand::Added)];
        self.of_each(runs, each, &findings::of_runs(), stands).await
    }

    /// The first rows of each of several owners.
    pub(super) async fn of_each<T>(
        &self,
        ids: &[Uuid],
        each: i64,
        sql: &str,
        stands: Stands,
    ) -> Result<HashMap<Uuid, FirstFew<T>>, QueryError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let mut statement = Statement::new(sql);
        statement.bind(ids.to_vec())?;
        statement.bind(each + 1)?;
        first_few(&self.over(statement, stands).await?, each)
    }

    /// A stream's events after a version.
    pub(crate) async fn stream_history(
        &self,
        stream: StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, QueryError> {
        let mut events = self.queries.the_log()?.read_stream(stream, after, limit).await?;
        events.retain(|event| event.position <= self.as_of.position);
        Ok(events)
    }
}
