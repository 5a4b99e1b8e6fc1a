//! What a policy remembers of the recent past, within bounds: admissions, and that it has said no.

use super::definition::PolicyDefinition;
use crate::ids::{DeploymentId, ResourceName};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use uuid::Uuid;

/// The most admissions remembered. Where there is no room for one more, nothing is admitted: a forgotten admission
/// would loosen the guards that count them.
pub const ADMISSIONS_MAX: usize = 20_000;
/// The most refusals remembered. Where there is no room for one more, it is not recorded: the answer is the same.
pub const NOTES_MAX: usize = 256;
/// The namespace of resources, for [`ResourceId`] (a random constant, fixed for ever).
const RESOURCE_NAMESPACE: Uuid = Uuid::from_u128(0xb8f5_0c11_7a9e_4d35_a6c4_25d0_91e3_6f7c);

/// A resource of a deployment, in little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(Uuid);

impl ResourceId {
    /// The id of this resource.
    pub fn of(deployment: DeploymentId, resource: &ResourceName) -> Self {
        Self(Uuid::new_v5(&RESOURCE_NAMESPACE, format!("{deployment}|{resource}").as_bytes()))
    }
}

/// One admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Admitted {
    at: DateTime<Utc>,
    deployment: DeploymentId,
    resource: ResourceId,
}

/// That a plan about a resource was held back or forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    resource: ResourceId,
    forbidden: bool,
    until: DateTime<Utc>,
}

/// The recent past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Memory {
    admissions: VecDeque<Admitted>,
    notes: Vec<Note>,
}

/// How far back admissions count under a definition.
fn reach(definition: &PolicyDefinition) -> TimeDelta {
    definition.rate.per.delta().max(TimeDelta::minutes(1))
}

impl Memory {
    /// When there have been fewer than `limit` admissions of this resource within `span` again; `None` where there have
    /// not been so many.
    pub fn resource_free_at(
        &self,
        resource: ResourceId,
        limit: u32,
        span: TimeDelta,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        self.free_at(|admitted| admitted.resource == resource, limit, span, now)
    }

    /// The same for a deployment.
    pub fn deployment_free_at(
        &self,
        deployment: DeploymentId,
        limit: u32,
        span: TimeDelta,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        self.free_at(|admitted| admitted.deployment == deployment, limit, span, now)
    }

    fn free_at(
        &self,
        of: impl Fn(&Admitted) -> bool,
        limit: u32,
        span: TimeDelta,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let counting = |admitted: &&Admitted| of(admitted) && admitted.at + span > now;
        let mut newest_first: Vec<_> = self.admissions.iter().filter(counting).map(|admitted| admitted.at).collect();
        newest_first.sort_unstable_by(|one, other| other.cmp(one));
        // Once the oldest of the newest `limit` no longer counts, one less than the limit do.
        newest_first.get((limit as usize).saturating_sub(1)).map(|oldest| *oldest + span)
    }

    /// When there is room for one more admission; `None` where there is.
    pub(super) fn room_at(&self, definition: &PolicyDefinition, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let reach = reach(definition);
        if self.admissions.len() < ADMISSIONS_MAX {
            return None;
        }
        let oldest = self.admissions.iter().map(|admitted| admitted.at).min()?;
        (oldest + reach > now).then(|| oldest + reach)
    }

    /// Whether it was recorded that a plan about this resource was told no, and still holds.
    pub(super) fn is_noted(&self, resource: ResourceId, forbidden: bool, now: DateTime<Utc>) -> bool {
        self.notes.iter().any(|note| note.resource == resource && note.forbidden == forbidden && note.until > now)
    }

    /// Whether one more note has room.
    pub(super) fn has_room_for_note(&self, now: DateTime<Utc>) -> bool {
        self.notes.iter().filter(|note| note.until > now).count() < NOTES_MAX
    }

    pub(super) fn admit(
        &mut self,
        deployment: DeploymentId,
        resource: ResourceId,
        definition: &PolicyDefinition,
        at: DateTime<Utc>,
    ) {
        let reach = reach(definition);
        self.admissions.retain(|admitted| admitted.at + reach > at);
        self.admissions.push_back(Admitted { at, deployment, resource });
    }

    pub(super) fn note(&mut self, resource: ResourceId, forbidden: bool, until: DateTime<Utc>, at: DateTime<Utc>) {
        self.notes.retain(|note| note.until > at && (note.resource != resource || note.forbidden != forbidden));
        if self.notes.len() < NOTES_MAX {
            self.notes.push(Note { resource, forbidden, until });
        }
    }

    /// How much is remembered.
    pub fn len(&self) -> usize {
        self.admissions.len() + self.notes.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
