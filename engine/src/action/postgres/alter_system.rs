//! Sets one setting of the server, of a list, and has the server read it.

use super::{LOOKS, change, pause_after, setting_value};
use crate::action::sql::{Access, Session, literal};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct AlterSystem;

/// What may be set, and to what where not everything is wise. None of them needs a restart.
const ALLOWED: &[(&str, Option<&str>)] = &[
    ("autovacuum", Some("on")),
    ("autovacuum_analyze_scale_factor", None),
    ("autovacuum_analyze_threshold", None),
    ("autovacuum_naptime", None),
    ("autovacuum_vacuum_cost_delay", None),
    ("autovacuum_vacuum_cost_limit", None),
    ("autovacuum_vacuum_scale_factor", None),
    ("autovacuum_vacuum_threshold", None),
    ("checkpoint_completion_target", None),
    ("checkpoint_timeout", None),
    ("checkpoint_warning", None),
    ("default_statistics_target", None),
    ("effective_cache_size", None),
    ("fsync", Some("on")),
    ("full_page_writes", Some("on")),
    ("log_autovacuum_min_duration", None),
    ("log_checkpoints", None),
    ("log_lock_waits", None),
    ("log_min_duration_statement", None),
    ("log_temp_files", None),
    ("maintenance_work_mem", None),
    ("max_slot_wal_keep_size", None),
    ("max_wal_size", None),
    ("random_page_cost", None),
    ("temp_file_limit", None),
    ("track_counts", Some("on")),
    ("wal_compression", None),
    ("work_mem", None),
];

/// What is to be set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The setting: one of those that its page lists.
    pub setting: String,
    /// Its value, with a unit where it has one: `64MB`, `5min`, `on`.
    pub value: String,
}

impl Parameters {
    /// The setting's name as the list has it.
    fn name(&self) -> Result<&'static str, ActionError> {
        let allowed = ALLOWED.iter().find(|(name, _)| *name == self.setting);
        match allowed {
            None => Err(ActionError::configuration(format!(
                "{:?} is none of the settings that this action may change",
                self.setting
            ))),
            Some((name, Some(only))) if *only != self.value => {
                Err(ActionError::configuration(format!("{name} may only be set to {only}, not to {:?}", self.value)))
            }
            Some((name, _)) => Ok(name),
        }
    }
}

/// What is in force, and what `ALTER SYSTEM` had set before, in the server's own unit.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    in_force: String,
    unit: Option<String>,
    set_by_alter_system: Option<String>,
}

/// The setting as the server has it.
const FIND: &str = "
    SELECT s.setting AS in_force, s.unit, s.vartype, s.context, s.source, s.sourcefile
    FROM pg_catalog.pg_settings s WHERE s.name = $1";

#[derive(Debug, Deserialize)]
struct Setting {
    in_force: String,
    unit: Option<String>,
    vartype: String,
    context: String,
    source: String,
    sourcefile: Option<String>,
}

impl Setting {
    /// Whether `ALTER SYSTEM` is where the value comes from.
    fn by_alter_system(&self) -> bool {
        self.sourcefile.as_deref().is_some_and(|file| file.ends_with("postgresql.auto.conf"))
    }

    fn is(&self, wanted: &str) -> bool {
        setting_value::is_same(&self.vartype, self.unit.as_deref(), &self.in_force, wanted)
    }

    fn unit(&self) -> &str {
        self.unit.as_deref().unwrap_or_default()
    }
}

impl Act for AlterSystem {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.alter-system",
        version: 1,
        title: "Set a setting of the server and have it read",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(1),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let name = parameters.name()?;
        let now = read(name, target).await?;
        let fail = |why: String| Err(ActionError::precondition(format!("{name}: {why}")));
        if now.context == "postmaster" || now.context == "internal" {
            return fail("only a restart of the server would change it".to_owned());
        }
        // A value from elsewhere would win over what is set here.
        if !matches!(now.source.as_str(), "default" | "configuration file") {
            return fail(format!("it is set by {}, which goes before the configuration file", now.source));
        }
        // The server hides where a value comes from from those who may not see it.
        if now.source == "configuration file" && now.sourcefile.is_none() {
            let text = "the role of action_user may not see where settings come from: grant it pg_read_all_settings";
            return Err(ActionError::configuration(text));
        }
        let set_by_alter_system = now.by_alter_system().then(|| now.in_force.clone());
        Ok(State { in_force: now.in_force, unit: now.unit, set_by_alter_system })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        let (name, value) = (&parameters.setting, &parameters.value);
        let unit = before.unit.as_deref().map(|unit| format!(" (in {unit})")).unwrap_or_default();
        let summary =
            format!("set {name} from {}{unit} to {value}, for the whole server, without a restart", before.in_force);
        vec![change(summary, name.clone(), Some(json!(before.in_force)), Some(json!(value)))]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        let name = parameters.name()?;
        set(&format!("ALTER SYSTEM SET {name} = {}", literal(&parameters.value)?), target).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let name = parameters.name()?;
        let is_set = |now: &Setting| now.is(&parameters.value) && now.by_alter_system();
        let now = wait(name, target, is_set).await?;
        if is_set(&now) {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("{name} is {} {}", now.in_force, now.unit())))
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let name = parameters.name()?;
        let statement = match &before.set_by_alter_system {
            Some(value) => format!("ALTER SYSTEM SET {name} = {}", literal(value)?),
            None => format!("ALTER SYSTEM RESET {name}"),
        };
        set(&statement, target).await?;
        let is_back = |now: &Setting| {
            now.in_force == before.in_force && now.by_alter_system() == before.set_by_alter_system.is_some()
        };
        let now = wait(name, target, is_back).await?;
        if is_back(&now) {
            return Ok(());
        }
        Err(ActionError::target(format!("{name} is {} and not {} as before", now.in_force, before.in_force)))
    }
}

async fn set(statement: &str, target: &ActionTarget) -> Result<(), ActionError> {
    let mut session = Session::open(target, Access::Write).await?;
    session.run(statement).await?;
    session.run("SELECT pg_reload_conf()").await?;
    session.close().await;
    Ok(())
}

async fn read(name: &str, target: &ActionTarget) -> Result<Setting, ActionError> {
    let mut session = Session::open(target, Access::Read).await?;
    let found = ask(&mut session, name).await?;
    session.close().await;
    Ok(found)
}

async fn ask(session: &mut Session, name: &str) -> Result<Setting, ActionError> {
    let found = session.row(FIND, &[name.into()]).await?;
    found.ok_or_else(|| ActionError::precondition(format!("this server has no setting {name}")))
}

/// The server reads its files a moment after it was told to.
async fn wait(
    name: &str,
    target: &ActionTarget,
    is_there: impl Fn(&Setting) -> bool + Send,
) -> Result<Setting, ActionError> {
    let mut session = Session::open(target, Access::Read).await?;
    let mut now = ask(&mut session, name).await?;
    for look in 0..LOOKS {
        if is_there(&now) {
            break;
        }
        session.pause(pause_after(look)).await?;
        now = ask(&mut session, name).await?;
    }
    session.close().await;
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_can_be_set() {
        let name = |setting: &str, value: &str| {
            Parameters { setting: setting.to_owned(), value: value.to_owned() }.name().map_err(|error| error.message)
        };
        assert_eq!(name("work_mem", "64MB"), Ok("work_mem"));
        assert_eq!(name("autovacuum", "on"), Ok("autovacuum"));
        assert!(name("autovacuum", "off").is_err());
        for dangerous in ["archive_command", "shared_preload_libraries", "fsync = off; --", "listen_addresses", ""] {
            assert!(name(dangerous, "on").is_err(), "{dangerous}");
        }
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(ALLOWED.is_sorted());
    }
}
