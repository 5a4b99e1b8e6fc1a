//! Document stores: the folder beside what the dataset says of it.
//!
//! The checks of one run share one walk of the folder and one reading of the dataset's list ([`StoreViews`]).
//! A store's folder is `<path>/<dbid>/<store_number>`, with numbered folders below.

mod access;
mod compare;
mod hashes;
mod listing;
pub(crate) mod walk;

use super::rows::Measured;
use super::sql::SqlTargets;
use super::{ProbeError, Run, Target};
use crate::check::{StoreMode, StoreSpec};
use domain::{ComponentName, DeploymentId, RunId};
use listing::Listing;
use moka::future::Cache;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use walk::Walk;

/// The most files that one store's comparison holds in memory; a larger store is to be measured in parts.
const MAX_FILES: usize = 2_000_000;
/// The most files of all stores together that are kept for the other checks of a run, and for how long.
const MAX_KEPT_FILES: u64 = 3_000_000;
const KEPT: Duration = Duration::from_mins(1);

type ViewKey = (RunId, DeploymentId, ComponentName);

/// What the checks of one run read alike, read once.
pub(crate) struct StoreViews {
    walks: Cache<ViewKey, Arc<Walk>>,
    listings: Cache<ViewKey, Arc<Listing>>,
}

impl Default for StoreViews {
    fn default() -> Self {
        let weigh = |files: usize| u32::try_from(files + 1).unwrap_or(u32::MAX);
        Self {
            walks: Cache::builder()
                .max_capacity(MAX_KEPT_FILES)
                .weigher(move |_, walk: &Arc<Walk>| weigh(walk.files.len()))
                .time_to_live(KEPT)
                .build(),
            listings: Cache::builder()
                .max_capacity(MAX_KEPT_FILES)
                .weigher(move |_, listing: &Arc<Listing>| weigh(listing.files.len()))
                .time_to_live(KEPT)
                .build(),
        }
    }
}

impl StoreViews {
    async fn walk(&self, run: &Run<'_>) -> Result<Arc<Walk>, ProbeError> {
        let root = folder(run.target)?;
        let work = async move { run.blocking(move |stop| walk::walk(&root, MAX_FILES, stop)).await.map(Arc::new) };
        self.walks.try_get_with(key(run.target), work).await.map_err(|error| ProbeError::clone(&error))
    }

    async fn listing(&self, sql: &SqlTargets, run: &Run<'_>) -> Result<Arc<Listing>, ProbeError> {
        let work = async { listing::read(sql, run, MAX_FILES).await.map(Arc::new) };
        self.listings.try_get_with(key(run.target), work).await.map_err(|error| ProbeError::clone(&error))
    }

    /// Both at the same time: one waits for the disk, the other for the server.
    async fn both(&self, sql: &SqlTargets, run: &Run<'_>) -> Result<(Arc<Walk>, Arc<Listing>), ProbeError> {
        tokio::try_join!(self.walk(run), self.listing(sql, run))
    }
}

fn key(target: &Target) -> ViewKey {
    (target.run, target.deployment, target.component.name.clone())
}

/// The store's folder.
fn folder(target: &Target) -> Result<PathBuf, ProbeError> {
    let number = target.setting("store_number")?;
    let dbid = target.setting("dbid")?;
    // What comes from settings must not lead out of the store's root.
    if [number, dbid].iter().any(|part| part.contains(['/', '\\']) || part.starts_with('.')) {
        return Err(ProbeError::configuration("settings store_number and dbid must be names, not paths"));
    }
    Ok(PathBuf::from(target.setting("path")?).join(dbid).join(number))
}

pub(super) async fn measure(
    views: &StoreViews,
    sql: &SqlTargets,
    spec: &StoreSpec,
    run: &Run<'_>,
) -> Result<Measured, ProbeError> {
    let now = run.target.now;
    match spec.mode {
        StoreMode::Access => {
            let root = folder(run.target)?;
            run.blocking(move |stop| access::access(&root, stop)).await
        }
        StoreMode::Space => {
            let root = folder(run.target)?;
            run.blocking(move |_| access::space(&root)).await
        }
        StoreMode::Layout => {
            let walk = views.walk(run).await?;
            Ok(compare::layout(&walk, spec.max_rows))
        }
        StoreMode::Counters => {
            let (walk, counters) = tokio::try_join!(views.walk(run), listing::counters(sql, run))?;
            Ok(compare::counters(&walk, counters))
        }
        StoreMode::Missing => {
            let (walk, listing) = views.both(sql, run).await?;
            let max_rows = spec.max_rows;
            run.blocking(move |_| Ok(compare::missing(&walk, &listing, now, max_rows))).await
        }
        StoreMode::Orphans => {
            let (walk, listing) = views.both(sql, run).await?;
            let (max_rows, min_age) = (spec.max_rows, spec.min_age);
            run.blocking(move |_| Ok(compare::orphans(&walk, &listing, now, min_age, max_rows))).await
        }
        StoreMode::Corrupt => {
            let (walk, listing) = views.both(sql, run).await?;
            let (spec, seed) = (spec.clone(), run.target.run.0.as_u128() as u64);
            run.blocking(move |stop| hashes::corrupt(&walk, &listing, &spec, seed, stop)).await
        }
    }
}
