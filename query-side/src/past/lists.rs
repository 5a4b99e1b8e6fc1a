//! Lists as they stood.
//!
//! Runs and remediations are listed by when they were asked for, deployments by name: neither ever changes, so that the
//! list is walked in today's view, over those that were there, and a page is cut from what they were like. Findings are
//! listed by when they were last seen, which changes: all that are asked for are made first.

use super::deployments::TABLE as DEPLOYMENTS;
use super::over::{Stand, Stands, Statement};
use super::rows::{FINDINGS, Folded, REMEDIATIONS, RUNS, Today};
use super::{LOOKED_AT_MAX, Past, STREAMS_MAX, too_much};
use crate::error::QueryError;
use crate::page::{Count, Keyset, Page, PageRequest};
use crate::queries::FirstFew;
use crate::views::deployments::{self, DeploymentFilter, DeploymentView};
use crate::views::findings::{self, FindingFilter, FindingView};
use crate::views::remediations::{self, RemediationFilter, RemediationView};
use crate::views::runs::{self, RunFilter, RunView};
use domain::any_event::{DEPLOYMENT, FINDING};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use std::collections::HashMap;
use uuid::Uuid;

/// The fewest rows that are looked at together.
const TOGETHER_LEAST: i64 = 50;

/// A list that is walked in today's order.
#[derive(Clone, Copy)]
struct Walked {
    table: &'static str,
    aggregate: &'static str,
    dated: Option<&'static str>,
}

impl Walked {
    const fn of(view: Folded) -> Self {
        Self { table: view.table, aggregate: view.aggregate, dated: Some("requested_at") }
    }

    const fn begun(self) -> Stand {
        Stand::Begun { aggregate: self.aggregate, dated: self.dated }
    }
}

/// How the rows of a walked list are made.
#[derive(Clone, Copy)]
enum Made {
    Folded(Folded),
    Deployments,
}

const OF_DEPLOYMENTS: Walked = Walked { table: DEPLOYMENTS, aggregate: DEPLOYMENT, dated: None };

type Built = Result<QueryBuilder<'static, Postgres>, QueryError>;

impl Past<'_> {
    /// Runs, newest first.
    pub(crate) async fn runs(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<RunView>, QueryError> {
        let open = RunFilter { statuses: Vec::new(), ..filter.clone() };
        let lists = (|page: &PageRequest| runs::page(&open, page), |page: &PageRequest| runs::page(filter, page));
        self.walk(Walked::of(RUNS), page, lists, Made::Folded(RUNS)).await
    }

    /// Remediations, newest first.
    pub(crate) async fn remediations(
        &self,
        filter: &RemediationFilter,
        page: &PageRequest,
    ) -> Result<Page<RemediationView>, QueryError> {
        let open = RemediationFilter { phases: Vec::new(), at_rest: None, ..filter.clone() };
        let lists = (
            |page: &PageRequest| remediations::page(&open, page),
            |page: &PageRequest| remediations::page(filter, page),
        );
        self.walk(Walked::of(REMEDIATIONS), page, lists, Made::Folded(REMEDIATIONS)).await
    }

    /// Deployments by name.
    pub(crate) async fn deployments(
        &self,
        filter: &DeploymentFilter,
        page: &PageRequest,
    ) -> Result<Page<DeploymentView>, QueryError> {
        let open = DeploymentFilter { tenant: filter.tenant.clone(), include_retired: true, healths: Vec::new() };
        let lists =
            (|page: &PageRequest| deployments::page(&open, page), |page: &PageRequest| deployments::page(filter, page));
        self.walk(OF_DEPLOYMENTS, page, lists, Made::Deployments).await
    }

    async fn deployments_of(&self, today: Today) -> Result<Stands, QueryError> {
        let mut ids = today.changed.clone();
        for same in &today.same {
            // A row of ours is an object with an id.
            let row: WithId = serde_json::from_str(same).map_err(|error| sqlx::Error::Decode(error.into()))?;
            ids.push(row.id);
        }
        self.deployments_then(today, &ids).await
    }

    /// The deployment of this name or id: those under care then before retired ones, then the newest.
    pub(crate) async fn deployment_named(
        &self,
        name_or_id: &str,
        tenant: Option<&str>,
    ) -> Result<Option<DeploymentView>, QueryError> {
        let mut today = Statement::of(deployments::named(name_or_id, tenant))?;
        today.sql = today.sql.replace(" ORDER BY d.retired_at IS NOT NULL, d.registered_at DESC LIMIT 1", " LIMIT 500");
        let stands = self.deployments_of(self.look(today, OF_DEPLOYMENTS).await?.0).await?;
        Ok(self.views(Statement::of(deployments::named(name_or_id, tenant))?, stands).await?.pop())
    }

    /// Findings, last seen first.
    pub(crate) async fn findings(
        &self,
        filter: &FindingFilter,
        page: &PageRequest,
    ) -> Result<Page<FindingView>, QueryError> {
        let sql = Statement::of(findings::page(filter, page)?)?;
        Ok(Page::of(self.views(sql, self.all_findings(filter).await?).await?, page))
    }

    /// All findings that may be in a list, as they stood.
    async fn all_findings(&self, filter: &FindingFilter) -> Result<Stands, QueryError> {
        let FindingFilter { tenant, deployment, check, .. } = filter.clone();
        let open = FindingFilter { tenant, deployment, check, ..FindingFilter::default() };
        let mut sql = self.findings_today();
        findings::conditions(&mut sql, &open);
        self.made_of(sql).await
    }

    fn findings_today(&self) -> QueryBuilder<'static, Postgres> {
        let mut sql = QueryBuilder::new("SELECT id, CASE WHEN last_position <= ");
        sql.push_bind(self.position()).push(" THEN to_json(view_findings)::text END AS same FROM view_findings");
        sql
    }

    async fn made_of(&self, mut today: QueryBuilder<'static, Postgres>) -> Result<Stands, QueryError> {
        today.push(format!(" LIMIT {}", STREAMS_MAX + 1));
        let begun = Stand::Begun { aggregate: FINDING, dated: None };
        let found = self.over(Statement::of(today)?, vec![(FINDINGS.table, begun)]).await?;
        if found.len() > STREAMS_MAX {
            return Err(too_much("findings", STREAMS_MAX));
        }
        Ok(vec![(FINDINGS.table, Stand::Rows(self.then(FINDINGS, Today::of(&found)?).await?))])
    }

    /// The findings that were present of each of several deployments.
    pub(crate) async fn findings_of_deployments<T>(
        &self,
        ids: &[Uuid],
        each: i64,
    ) -> Result<HashMap<Uuid, FirstFew<T>>, QueryError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let mut sql = self.findings_today();
        sql.push(" WHERE deployment_id = ANY(").push_bind(ids.to_vec()).push(")");
        let stands = self.made_of(sql).await?;
        self.of_each(ids, each, &findings::of_deployments(), stands).await
    }

    /// How many runs.
    pub(crate) async fn count_runs(&self, filter: &RunFilter, sql: Statement) -> Result<Count, QueryError> {
        if filter.statuses.is_empty() {
            return self.count(sql, vec![(RUNS.table, Walked::of(RUNS).begun())]).await;
        }
        let mut all = QueryBuilder::new("SELECT id, last_position FROM view_runs");
        runs::conditions(&mut all, &RunFilter { statuses: Vec::new(), ..filter.clone() });
        let today = self.all(all, Walked::of(RUNS)).await?;
        let rows = self.then(RUNS, today).await?;
        self.count(sql, vec![(RUNS.table, Stand::Rows(rows))]).await
    }

    /// How many findings.
    pub(crate) async fn count_findings(&self, filter: &FindingFilter, sql: Statement) -> Result<Count, QueryError> {
        self.count(sql, self.all_findings(filter).await?).await
    }

    /// How many deployments.
    pub(crate) async fn count_deployments(
        &self,
        filter: &DeploymentFilter,
        sql: Statement,
    ) -> Result<Count, QueryError> {
        let mut all = QueryBuilder::new("SELECT d.id, d.last_position FROM view_deployments d");
        let open = DeploymentFilter { tenant: filter.tenant.clone(), include_retired: true, healths: Vec::new() };
        deployments::conditions(&mut all, &open);
        let stands = self.deployments_of(self.all(all, OF_DEPLOYMENTS).await?).await?;
        self.count(sql, stands).await
    }

    async fn count(&self, sql: Statement, stands: Stands) -> Result<Count, QueryError> {
        let rows = self.over(sql, stands).await?;
        Ok(Count::of(rows.first().map_or(Ok(0), |row| row.try_get(0))?))
    }

    /// All rows of a statement without a bound of its own, as today has them.
    async fn all(&self, mut sql: QueryBuilder<'static, Postgres>, walked: Walked) -> Result<Today, QueryError> {
        sql.push(format!(" LIMIT {}", LOOKED_AT_MAX + 1));
        let (today, found) = self.look(Statement::of(sql)?, walked).await?;
        if found.len() > LOOKED_AT_MAX { Err(too_much("rows", LOOKED_AT_MAX)) } else { Ok(today) }
    }

    /// What today has of the rows of a statement that were there then; in the order of the statement.
    async fn look(&self, sql: Statement, walked: Walked) -> Result<(Today, Vec<PgRow>), QueryError> {
        let found = self.over(self.looking(sql, walked)?, vec![(walked.table, walked.begun())]).await?;
        Ok((Today::of(&found)?, found))
    }

    fn looking(&self, mut sql: Statement, walked: Walked) -> Result<Statement, QueryError> {
        let until = sql.bind(self.position())?;
        sql.sql = format!(
            "SELECT p.*, CASE WHEN p.last_position <= ${until} THEN (SELECT to_json(v)::text FROM cmdiag.{} v \
             WHERE v.id = p.id) END AS same FROM ({}) p",
            walked.table, sql.sql
        );
        Ok(sql)
    }

    /// A page of a list whose order never changes. `open` lists all that could be on it, `list` what is.
    async fn walk<T>(
        &self,
        walked: Walked,
        page: &PageRequest,
        (open, list): (impl Fn(&PageRequest) -> Built, impl Fn(&PageRequest) -> Built),
        made: Made,
    ) -> Result<Page<T>, QueryError>
    where
        T: Keyset + for<'r> FromRow<'r, PgRow>,
    {
        let wanted = usize::try_from(page.limit()?).unwrap_or_default();
        let first = page.first.clamp(TOGETHER_LEAST, PageRequest::MAX);
        let (mut found, mut looked_at) = (Vec::new(), 0);
        let mut request = PageRequest { first, after: page.after.clone() };
        loop {
            let (today, rows) = self.look(Statement::of(open(&request)?)?, walked).await?;
            let next = rows.last().map(T::from_row).transpose()?.map(|row| row.cursor());
            let stands = match made {
                Made::Folded(view) => vec![(view.table, Stand::Rows(self.then(view, today).await?))],
                Made::Deployments => self.deployments_of(today).await?,
            };
            found.extend(self.views::<T>(Statement::of(list(&PageRequest::first(PageRequest::MAX))?)?, stands).await?);
            looked_at += rows.len();
            if found.len() >= wanted || rows.len() as i64 <= first {
                return Ok(Page::of(found, page));
            }
            if looked_at >= LOOKED_AT_MAX {
                return Err(too_much("rows", LOOKED_AT_MAX));
            }
            request.after = next;
        }
    }
}

#[derive(serde::Deserialize)]
struct WithId {
    id: Uuid,
}

#[cfg(test)]
mod tests {
    use super::super::deployments::{FINDINGS_TODAY, LAST_ENDED};
    use super::super::figures::FIRST_CHANGED;
    use super::super::rows::today_by_ids;
    use super::super::{AsOf, Past};
    use super::*;
    use crate::cache::Cache;
    use crate::plans::filled;
    use crate::queries::Queries;
    use crate::views::{check_results, finding_history};
    use chrono::{NaiveDate, Utc};
    use domain::{DeploymentId, FindingId, Position, RunId};
    use private_servers::testing::TestDatabase;
    use sqlx::PgPool;

    /// The first events of all that the views hold.
    const EVENTS: &str = "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, \
            payload, metadata, position) \
        SELECT kind, id(n)::text, 1, 'Happened', '1', '{}', '{}', 4 * n + place FROM generate_series(1, 20000) n, \
            (VALUES ('Deployment', -3), ('DiagnosticRun', -2), ('Finding', -1), ('Remediation', 0)) AS k (kind, \
            place); \
        ANALYZE cmdiag.events;";

    async fn world() -> (TestDatabase, PgPool, Queries) {
        let (database, pool) = filled().await;
        sqlx::raw_sql(EVENTS).execute(&pool).await.unwrap();
        let now = Utc::now();
        let as_of = AsOf { position: Position(10_000), recorded_at: Some(now), now };
        let queries = Queries::new(pool.clone(), Cache::off()).at(as_of);
        (database, pool, queries)
    }

    fn assert_indexed(what: &str, plan: &str) {
        assert!(plan.contains("Index"), "{what}:\n{plan}");
        assert!(!plan.contains("Seq Scan on view") && !plan.contains("Seq Scan on events"), "{what}:\n{plan}");
    }

    fn deployment() -> DeploymentId {
        DeploymentId(Uuid::from_u128(7))
    }

    #[tokio::test]
    async fn lists_of_the_past_are_walked_in_the_order_of_an_index() {
        let (_database, pool, queries) = world().await;
        let past = Past::new(&queries, *queries.looks_at().unwrap());
        let page = PageRequest::first(50);
        let runs = RunFilter::default();
        let of_deployment = RunFilter { deployment: Some(deployment()), ..RunFilter::default() };
        let remediations = RemediationFilter::default();
        let cases = [
            ("runs", runs::page(&runs, &page), Walked::of(RUNS)),
            ("runs of a deployment", runs::page(&of_deployment, &page), Walked::of(RUNS)),
            ("remediations", remediations::page(&remediations, &page), Walked::of(REMEDIATIONS)),
            ("deployments", deployments::page(&DeploymentFilter::default(), &page), OF_DEPLOYMENTS),
            ("a name", Ok(deployments::named("Deployment 12", Some("default"))), OF_DEPLOYMENTS),
        ];
        for (what, sql, walked) in cases {
            let looking = past.looking(Statement::of(sql.unwrap()).unwrap(), walked).unwrap();
            let stands = vec![(walked.table, walked.begun())];
            let plan = looking.over(stands, &past.as_of).unwrap().plan(&pool).await.unwrap();
            assert_indexed(what, &plan);
            assert!(plan.contains("events_pkey"), "{what}:\n{plan}");
        }
        let mut findings = past.findings_today();
        let filter = FindingFilter { deployment: Some(deployment()), ..FindingFilter::default() };
        findings::conditions(&mut findings, &filter);
        let begun = Stand::Begun { aggregate: FINDING, dated: None };
        let findings = Statement::of(findings).unwrap().over(vec![(FINDINGS.table, begun)], &past.as_of).unwrap();
        assert_indexed("findings", &findings.plan(&pool).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_asked_of_the_past_by_ids_and_owners_comes_from_an_index() {
        let (_database, pool, queries) = world().await;
        let past = Past::new(&queries, *queries.looks_at().unwrap());
        let ids: Vec<Uuid> = (1..=50).map(Uuid::from_u128).collect();
        for table in ["view_runs", "view_findings", "view_deployments", "view_remediations", "view_policies"] {
            let mut sql = Statement::new(&today_by_ids(table));
            sql.bind(ids.clone()).unwrap();
            sql.bind(10_000_i64).unwrap();
            assert_indexed(table, &sql.plan(&pool).await.unwrap());
        }
        for (what, sql, limit) in [("findings", FINDINGS_TODAY, Some(100_i64)), ("last runs", LAST_ENDED, None)] {
            let mut sql = Statement::new(sql);
            sql.bind(ids[..2].to_vec()).unwrap();
            sql.bind(10_000_i64).unwrap();
            if let Some(limit) = limit {
                sql.bind(limit).unwrap();
            }
            assert_indexed(what, &sql.plan(&pool).await.unwrap());
        }
        let day = |day| NaiveDate::from_ymd_opt(2026, 2, day).unwrap();
        let mut changed = Statement::new(FIRST_CHANGED);
        changed.bind(day(1)).unwrap();
        changed.bind(day(7)).unwrap();
        changed.bind(10_000_i64).unwrap();
        assert_indexed("figures", &changed.plan(&pool).await.unwrap());
        let page = PageRequest::first(20);
        let results = check_results::of_run(RunId(ids[3]), &[], &page).unwrap();
        let life = finding_history::page(FindingId(ids[3]), &page).unwrap();
        for (what, sql) in [("view_check_results", results), ("view_finding_history", life)] {
            let stands = vec![(what, Stand::Added)];
            let sql = Statement::of(sql).unwrap().over(stands, &past.as_of).unwrap();
            assert_indexed(what, &sql.plan(&pool).await.unwrap());
        }
    }
}
