//! One session of the server, named by its process id and its start: an id alone is soon somebody else's.

use crate::action::ActionError;
use crate::action::sql::{Bind, Session};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which session.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendName {
    /// Its process id.
    pub pid: i32,
    /// When it began, to the microsecond (`pg_stat_activity.backend_start`).
    #[schemars(with = "String")]
    pub backend_start: DateTime<Utc>,
}

impl BackendName {
    pub(super) fn values(&self) -> [Bind; 2] {
        [self.pid.into(), self.backend_start.into()]
    }
}

/// What it is at. None of it moves while the same statement runs, or while the same transaction idles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    pub(super) pid: i32,
    pub(super) user: Option<String>,
    pub(super) application: Option<String>,
    pub(super) state: Option<String>,
    pub(super) query: Option<String>,
    pub(super) query_start: Option<DateTime<Utc>>,
    pub(super) xact_start: Option<DateTime<Utc>>,
}

impl Backend {
    /// For people.
    pub(super) fn shown(&self) -> String {
        let of = |text: &Option<String>| text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "?".to_owned());
        format!("session {} of {} ({})", self.pid, of(&self.user), of(&self.application))
    }

    pub(super) fn is_active(&self) -> bool {
        self.state.as_deref() == Some("active")
    }

    pub(super) fn is_idle_in_transaction(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state.starts_with("idle in transaction"))
    }
}

/// Sessions of clients on this database only: the server's own processes are nobody's to end.
const FIND: &str = "
    SELECT a.pid, CAST(a.usename AS text) AS \"user\", a.application_name AS application, a.state,
           left(a.query, 1000) AS query, a.query_start, a.xact_start
    FROM pg_catalog.pg_stat_activity a
    WHERE a.pid = $1 AND a.backend_start = $2 AND a.datname = current_database()
      AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()";

/// The session, where it is still there.
pub(super) async fn find(session: &mut Session, name: &BackendName) -> Result<Option<Backend>, ActionError> {
    let found: Option<Backend> = session.row(FIND, &name.values()).await?;
    // Who may not see what others are at is told nothing of it: then nothing is known, and nothing is done.
    if found.as_ref().is_some_and(|backend| backend.state.is_none()) {
        let text = "the role of action_user may not see what sessions are at: grant it pg_read_all_stats";
        return Err(ActionError::configuration(text));
    }
    Ok(found)
}
