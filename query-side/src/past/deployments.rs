//! Deployments as they stood: a deployment's row is made of its own events, of those of its findings, and of how its
//! last run ended.

use super::over::{Stand, Stands};
use super::rows::{Today, today_by_ids};
use super::{Past, STREAMS_MAX, too_much};
use crate::error::QueryError;
use domain::any_event::{DEPLOYMENT, DIAGNOSTIC_RUN, FINDING};
use event_store::StreamId;
use sqlx::Row;
use std::collections::HashSet;
use uuid::Uuid;

pub(super) const TABLE: &str = "view_deployments";
const FINDINGS: &str = "view_deployment_findings";
const PROJECTION: &str = "deployments";

/// The findings of deployments, and what each counted for then where nothing has changed that. `$1` deployments, `$2`
/// position, `$3` how many.
pub(crate) const FINDINGS_TODAY: &str = "SELECT f.id, f.deployment_id, \
    CASE WHEN d.last_position <= $2 THEN to_json(d)::text END AS same \
    FROM view_findings f LEFT JOIN view_deployment_findings d ON d.finding_id = f.id \
    WHERE f.deployment_id = ANY($1) LIMIT $3";

/// The last runs that had ended: nothing happens to a run after its end, so that its row's position is that of its end.
/// Each end says all that a deployment keeps of its runs; the ends before it need not be told. `$1` deployments, `$2`
/// position.
pub(crate) const LAST_ENDED: &str = "SELECT r.id FROM unnest($1::uuid[]) AS k(id) CROSS JOIN LATERAL ( \
        SELECT v.id FROM view_runs v WHERE v.deployment_id = k.id AND v.last_position <= $2 \
            AND v.status IN ('completed', 'timed_out', 'failed') \
        ORDER BY v.last_position DESC LIMIT 1) r";

impl Past<'_> {
    /// What stands in the place of the tables of these deployments.
    pub(super) async fn deployments_by_ids(&self, ids: &[Uuid]) -> Result<Stands, QueryError> {
        let sql = today_by_ids(TABLE);
        let found = sqlx::query(&sql).bind(ids).bind(self.position()).fetch_all(self.queries.pool()).await?;
        self.deployments_then(Today::of(&found)?, ids).await
    }

    /// [`Self::deployments_by_ids`], once today's rows are known.
    pub(super) async fn deployments_then(&self, today: Today, ids: &[Uuid]) -> Result<Stands, QueryError> {
        let Today { same: mut deployments, changed } = today;
        let (mut findings, mut streams) = (Vec::new(), Vec::new());
        let anew: HashSet<Uuid> = changed.iter().copied().collect();
        let found = sqlx::query(FINDINGS_TODAY)
            .bind(ids)
            .bind(self.position())
            .bind(STREAMS_MAX as i64 + 1)
            .fetch_all(self.queries.pool())
            .await?;
        if found.len() > STREAMS_MAX {
            return Err(too_much("findings", STREAMS_MAX));
        }
        for row in &found {
            let same: Option<String> = row.try_get("same")?;
            match same.filter(|_| row.try_get("deployment_id").is_ok_and(|id: Uuid| !anew.contains(&id))) {
                Some(same) => findings.push(same),
                None => streams.push(StreamId::new(FINDING, &row.try_get::<Uuid, _>("id")?.to_string())),
            }
        }
        streams.extend(changed.iter().map(|id| StreamId::new(DEPLOYMENT, &id.to_string())));
        streams.extend(self.last_ended(&changed).await?);
        for one in self.fold(PROJECTION, streams).await? {
            match one.table {
                TABLE => deployments.extend(one.rows),
                FINDINGS => findings.extend(one.rows),
                _ => {}
            }
        }
        Ok(vec![(TABLE, Stand::Rows(deployments)), (FINDINGS, Stand::Rows(findings))])
    }

    async fn last_ended(&self, deployments: &[Uuid]) -> Result<Vec<StreamId>, QueryError> {
        if deployments.is_empty() {
            return Ok(Vec::new());
        }
        let query = sqlx::query_scalar::<_, Uuid>(LAST_ENDED).bind(deployments).bind(self.position());
        let runs = query.fetch_all(self.queries.pool()).await?;
        Ok(runs.iter().map(|id| StreamId::new(DIAGNOSTIC_RUN, &id.to_string())).collect())
    }
}
