//! Which fillings there are of each view, and how far they have come.

use crate::connection::Place;
use domain::Position;
use serde::Serialize;
use sqlx::PgPool;

/// One filling of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Filling {
    /// The projection's version that fills it.
    pub version: i32,
    /// How far it has come.
    pub position: i64,
    /// Filled and indexed.
    pub is_whole: bool,
    /// Before which event it stands still.
    pub failed_position: Option<i64>,
    /// Why.
    pub failure: Option<String>,
}

/// A view with its fillings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewState {
    /// The projection.
    pub name: &'static str,
    /// The version that this program writes.
    pub version: i32,
    /// What queries read; none where it was never filled.
    pub served: Option<Filling>,
    /// What is filled beside it.
    pub shadow: Option<Filling>,
    /// What was served before.
    pub previous: Option<Filling>,
    /// The newest event of the log.
    pub head: Position,
}

/// Every view of this program.
pub async fn states(pool: &PgPool, head: Position) -> Result<Vec<ViewState>, sqlx::Error> {
    let mut states = Vec::new();
    for projection in crate::all() {
        let name = projection.name();
        states.push(ViewState {
            name,
            version: projection.version(),
            served: of(pool, Place::Served, name).await?,
            shadow: of(pool, Place::Shadow, name).await?,
            previous: of(pool, Place::Previous, name).await?,
            head,
        });
    }
    Ok(states)
}

/// One filling, where there is one.
pub(super) async fn of(pool: &PgPool, place: Place, name: &str) -> Result<Option<Filling>, sqlx::Error> {
    let is_whole = if place == Place::Served { "true AS is_whole" } else { "is_whole" };
    let sql = format!(
        "SELECT version, position, {is_whole}, failed_position, failure FROM {}.projection_checkpoints WHERE name = $1",
        place.schema()
    );
    sqlx::query_as(&sql).bind(name).fetch_optional(pool).await
}
