//! Which findings may be unresolved, by what a check must measure to see them gone.

use domain::finding::Fingerprint;
use domain::{CheckCode, ComponentName, DeploymentId, FindingId, ResourceName};
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// Where a check looks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub deployment: DeploymentId,
    pub check: CheckCode,
    pub component: ComponentName,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    resource: ResourceName,
    paused: bool,
}

/// The findings that may be unresolved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenFindings {
    // In order of their ids: the same memory gives the same commands in the same order.
    at: HashMap<Place, BTreeMap<FindingId, Row>>,
    places: HashMap<FindingId, Place>,
    /// Since the last save.
    changed: HashSet<FindingId>,
}

impl OpenFindings {
    /// The findings at a place for which a good measurement is of use.
    pub fn waiting_at(&self, place: &Place) -> impl Iterator<Item = (FindingId, &ResourceName)> {
        let rows = self.at.get(place).into_iter().flatten();
        rows.filter(|(_, row)| !row.paused).map(|(finding, row)| (*finding, &row.resource))
    }

    /// A problem is observed: it may be unresolved from now on, and is looked for where it was last seen.
    pub fn insert(&mut self, finding: FindingId, place: &Place, resource: &ResourceName) {
        if self.places.get(&finding) == Some(place) {
            return;
        }
        let paused = self.take(finding).is_some_and(|row| row.paused);
        let row = Row { resource: resource.clone(), paused };
        self.at.entry(place.clone()).or_default().insert(finding, row);
        self.places.insert(finding, place.clone());
        self.changed.insert(finding);
    }

    /// It is gone.
    pub fn remove(&mut self, finding: FindingId) {
        if self.take(finding).is_some() {
            self.changed.insert(finding);
        }
    }

    /// Good measurements are of no use to it just now, or are again.
    pub fn pause(&mut self, finding: FindingId, paused: bool) {
        let Some(place) = self.places.get(&finding) else { return };
        let row = self.at.get_mut(place).and_then(|rows| rows.get_mut(&finding));
        if let Some(row) = row.filter(|row| row.paused != paused) {
            row.paused = paused;
            self.changed.insert(finding);
        }
    }

    fn take(&mut self, finding: FindingId) -> Option<Row> {
        let place = self.places.remove(&finding)?;
        let rows = self.at.get_mut(&place)?;
        let row = rows.remove(&finding);
        if rows.is_empty() {
            self.at.remove(&place);
        }
        row
    }

    /// As saved at the checkpoint.
    pub async fn load(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        type Stored = (Uuid, Uuid, String, String, String, bool);
        let rows: Vec<Stored> = sqlx::query_as(
            "SELECT finding_id, deployment_id, check_code, component, resource, paused FROM process_open_findings",
        )
        .fetch_all(connection)
        .await?;
        let mut open = Self::default();
        for (finding, deployment, check, component, resource, paused) in rows {
            let finding = FindingId(finding);
            let check = CheckCode::new(check).map_err(malformed)?;
            let component = ComponentName::new(component).map_err(malformed)?;
            let place = Place { deployment: DeploymentId(deployment), check, component };
            open.insert(finding, &place, &ResourceName::new(resource).map_err(malformed)?);
            open.pause(finding, paused);
        }
        open.changed.clear();
        Ok(open)
    }

    /// Saves what has changed.
    pub async fn save(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let gone: Vec<Uuid> =
            self.changed.iter().filter(|finding| !self.places.contains_key(finding)).map(|finding| finding.0).collect();
        if !gone.is_empty() {
            sqlx::query("DELETE FROM process_open_findings WHERE finding_id = ANY($1)")
                .bind(gone)
                .execute(&mut *connection)
                .await?;
        }
        let rows: Vec<(FindingId, &Place, &Row)> = self
            .changed
            .iter()
            .filter_map(|finding| {
                let place = self.places.get(finding)?;
                Some((*finding, place, self.at.get(place)?.get(finding)?))
            })
            .collect();
        if !rows.is_empty() {
            sqlx::query(
                "INSERT INTO process_open_findings
                        (finding_id, deployment_id, check_code, component, resource, paused)
                 SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::boolean[])
                 ON CONFLICT (finding_id) DO UPDATE SET component = excluded.component, paused = excluded.paused",
            )
            .bind(rows.iter().map(|(finding, ..)| finding.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, place, _)| place.deployment.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, place, _)| place.check.to_string()).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, place, _)| place.component.to_string()).collect::<Vec<_>>())
            .bind(rows.iter().map(|(.., row)| row.resource.to_string()).collect::<Vec<_>>())
            .bind(rows.iter().map(|(.., row)| row.paused).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
        }
        self.changed.clear();
        Ok(())
    }
}

impl Place {
    /// The fingerprint of a finding seen here.
    pub fn fingerprint(&self, resource: &ResourceName) -> Fingerprint {
        Fingerprint { deployment: self.deployment, check: self.check.clone(), resource: resource.clone() }
    }
}

fn malformed(error: domain::ids::InvalidName) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
