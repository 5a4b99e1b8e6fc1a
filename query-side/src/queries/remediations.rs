//! Remediations, policies and the emergency stop. They change with every step: none of it is cached.

use super::Queries;
use crate::error::QueryError;
use crate::page::{Page, PageRequest, bounded};
use crate::views::policies::{self, EmergencyStopView, PolicyView, StatisticView};
use crate::views::remediations::{self, RemediationFilter, RemediationView};
use domain::emergency_stop::EmergencyStop;
use domain::{RemediationId, TenantId};
use uuid::Uuid;

/// The most policies, and the most runbooks of one, that are listed.
const LISTED_MAX: i64 = 1_000;

impl Queries {
    /// One remediation.
    pub async fn remediation(&self, id: RemediationId) -> Result<Option<RemediationView>, QueryError> {
        if let Some(past) = self.past() {
            return past.remediation(id.0).await;
        }
        self.note(None);
        let sql = super::by_ids_of("remediations", remediations::COLUMNS);
        Ok(sqlx::query_as(&sql).bind([id.0].as_slice()).fetch_optional(&self.pool).await?)
    }

    /// Remediations, newest first.
    pub async fn remediations(
        &self,
        filter: &RemediationFilter,
        page: &PageRequest,
    ) -> Result<Page<RemediationView>, QueryError> {
        match self.past() {
            Some(past) => past.remediations(filter, page).await,
            None => self.page(remediations::page(filter, page)?, page, None).await,
        }
    }

    /// A tenant's policies, by name.
    pub async fn policies(&self, tenant: &TenantId) -> Result<Vec<PolicyView>, QueryError> {
        if let Some(past) = self.past() {
            return past.policies(tenant.as_str(), LISTED_MAX).await;
        }
        self.note(None);
        Ok(sqlx::query_as(policies::LIST).bind(tenant.as_str()).bind(LISTED_MAX).fetch_all(&self.pool).await?)
    }

    /// What a policy has learned, by runbook; at most `limit` (1,000).
    pub async fn policy_statistics(&self, policy: Uuid, limit: i64) -> Result<Vec<StatisticView>, QueryError> {
        self.note(None);
        let limit = bounded("limit", limit, LISTED_MAX)?;
        if let Some(past) = self.past() {
            return past.policy_statistics(policy, limit).await;
        }
        Ok(sqlx::query_as(policies::STATISTICS).bind(policy).bind(limit).fetch_all(&self.pool).await?)
    }

    /// A tenant's emergency stop; `None` where it never had one.
    pub async fn emergency_stop(&self, tenant: &TenantId) -> Result<Option<EmergencyStopView>, QueryError> {
        self.note(None);
        let id = EmergencyStop::of(tenant);
        if let Some(past) = self.past() {
            return past.emergency_stop(id).await;
        }
        Ok(sqlx::query_as(policies::STOP).bind(id).fetch_optional(&self.pool).await?)
    }
}
