//! Disables logins that nobody has used for long, so that their licences are free.

use super::{bounded, change, change_rows, count};
use crate::action::sql::Bind;
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct DisableLogin;

/// Which logins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Those without a logon for so many days; 180 where absent, at least 30.
    #[serde(default = "half_a_year")]
    pub inactive_days: u32,
    /// Logins that stay, whatever their last logon is: service accounts, people on leave.
    #[serde(default)]
    pub except: Vec<String>,
    /// The most logins; more than that are refused. 100 where absent, at most 10,000.
    #[serde(default = "a_hundred")]
    pub limit: u32,
}

const fn half_a_year() -> u32 {
    180
}

const fn a_hundred() -> u32 {
    100
}

/// The shortest absence that can be asked for: a holiday is no leave.
const INACTIVE_DAYS_MIN: u32 = 30;

/// The logins that are enabled.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    logins: Vec<Login>,
}

/// One login.
#[derive(Debug, Serialize, Deserialize)]
pub struct Login {
    uri: i64,
    name: String,
    last_logon: Option<String>,
}

impl State {
    fn keys(&self) -> Bind {
        self.logins.iter().map(|login| login.uri).collect::<Vec<_>>().into()
    }
}

/// Administrators stay: without them nobody could enable the others again.
const UNUSED: &str = "lclogin IS NOT NULL AND lcusertype <> 'Administrator'
    AND (lclastlogon IS NULL OR lclastlogon < now() - $1 * interval '1 day')";

impl Act for DisableLogin {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "dataset.disable-login",
        version: 1,
        title: "Disable logins that nobody has used for long",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(1),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        if parameters.inactive_days < INACTIVE_DAYS_MIN {
            let text = format!("inactive_days must be at least {INACTIVE_DAYS_MIN}");
            return Err(ActionError::configuration(text));
        }
        let select = format!(
            "SELECT uri, lclogin AS name, lclastlogon AS last_logon FROM tslocation
             WHERE {UNUSED} AND NOT lclogindisabled AND lclogin <> ALL($2) ORDER BY uri LIMIT $3"
        );
        let values = vec![parameters.inactive_days.into(), parameters.except.clone().into()];
        Ok(State { logins: bounded(target, &select, values, parameters.limit).await? })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let one = |login: &Login| {
            let last = login.last_logon.as_deref().unwrap_or("never");
            let summary = format!("disable login {} (last logon: {last}); the location stays", login.name);
            change(summary, format!("tslocation {}", login.uri), Some(json!("enabled")), Some(json!("disabled")))
        };
        before.logins.iter().map(one).collect()
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { users: before.logins.len() as u64, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        // Whoever has logged on since stays.
        let statement = format!(
            "UPDATE tslocation SET lclogindisabled = true WHERE {UNUSED} AND uri = ANY($2) AND NOT lclogindisabled"
        );
        change_rows(target, &statement, &[parameters.inactive_days.into(), before.keys()]).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let select = format!(
            "SELECT count(*) AS count FROM tslocation WHERE {UNUSED} AND uri = ANY($2) AND NOT lclogindisabled"
        );
        Ok(match count(target, &select, &[parameters.inactive_days.into(), before.keys()]).await? {
            0 => Verified::Done,
            left => Verified::NotDone(format!("{left} of the logins are still enabled")),
        })
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let statement = "UPDATE tslocation SET lclogindisabled = false WHERE uri = ANY($1) AND lclogindisabled";
        change_rows(target, statement, &[before.keys()]).await.map(drop)
    }
}
