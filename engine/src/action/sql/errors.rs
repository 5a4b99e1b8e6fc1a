//! What PostgreSQL's errors mean for an action, in words that say what to do.

use crate::action::{ActionError, ActionErrorKind};
use crate::probe::Secret;
use domain::deployment::Component;

/// Explains an error of the driver or the server. The password is cut out of whatever others wrote.
pub(super) fn explain(error: &sqlx::Error, on: &Component, secret: &Secret) -> ActionError {
    let name = &on.name;
    let target = |text: String| (ActionErrorKind::Target, text);
    let configuration = |text: String| (ActionErrorKind::Configuration, text);
    let (kind, message) = match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            let text = format!("{} (SQLSTATE {code})", database.message());
            match (code.get(..2).unwrap_or_default(), code.as_str()) {
                ("28", _) => configuration(format!("{name} refuses the login of action_user: {text}")),
                ("3D", _) => configuration(format!("the database of {name} does not exist: {text}")),
                (_, "42501") => configuration(format!("the role of action_user lacks a right on {name}: {text}")),
                (_, "57014") => {
                    (ActionErrorKind::TimedOut, format!("{name} ended the statement at its time limit: {text}"))
                }
                (_, "55P03") => target(format!("somebody holds a lock that it needs on {name}: {text}")),
                ("53" | "57" | "08", _) => target(format!("{name} takes no statement: {text}")),
                _ => target(format!("{name} refuses: {text}")),
            }
        }
        sqlx::Error::Io(error) => target(format!("{name} can not be reached: {error}")),
        sqlx::Error::Tls(error) => target(format!("{name}: no TLS connection: {error}")),
        sqlx::Error::Configuration(error) => configuration(format!("the url of {name} does not do: {error}")),
        other => target(format!("{name}: {other}")),
    };
    ActionError { kind, message: secret.cut_out_of(&message) }
}
