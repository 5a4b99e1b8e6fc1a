//! What PostgreSQL's errors mean for a measurement, in words that say what to do.

use crate::probe::{ProbeError, Secret};
use domain::deployment::Component;

/// Explains an error of the driver or the server. The password is cut out of whatever others wrote.
pub(super) fn explain(error: &sqlx::Error, on: &Component, secret: Option<&Secret>) -> ProbeError {
    let name = &on.name;
    let explained = match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            let text = format!("{} (SQLSTATE {code})", database.message());
            match code.get(..2).unwrap_or_default() {
                "28" => ProbeError::denied(format!("the database {name} refuses the login: {text}")),
                "3D" => ProbeError::configuration(format!("the database {name} does not exist: {text}")),
                "42" if code == "42501" => {
                    ProbeError::denied(format!("the login may not read what the check needs on {name}: {text}"))
                }
                "42" | "3F" => {
                    ProbeError::malformed(format!("the schema of {name} is not the one that the check expects: {text}"))
                }
                "57" if code == "57014" => {
                    let mut error = ProbeError::timed_out(std::time::Duration::ZERO);
                    error.cause = format!("{name} stopped the query at its time limit: {text}");
                    error
                }
                "55" => {
                    let mut error = ProbeError::timed_out(std::time::Duration::ZERO);
                    error.cause = format!("{name} holds a lock on what the check reads: {text}");
                    error
                }
                "53" | "57" | "08" => ProbeError::unreachable(format!("{name} takes no query: {text}")),
                _ => ProbeError::malformed(format!("{name} answers with an error: {text}")),
            }
        }
        sqlx::Error::Io(error) => ProbeError::unreachable(format!("{name} can not be reached: {error}")),
        sqlx::Error::Tls(error) => ProbeError::unreachable(format!("{name}: no TLS connection: {error}")),
        sqlx::Error::Configuration(error) => {
            ProbeError::configuration(format!("the url of {name} does not do: {error}"))
        }
        other => ProbeError::malformed(format!("{name}: {other}")),
    };
    explained.without(secret)
}
