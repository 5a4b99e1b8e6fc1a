//! Runs a command with a private PostgreSQL named in `CMDIAG_TEST_DATABASE_URL`, and stops it afterwards.
//!
//! `with-postgres cargo nextest run`: every test then makes its own database on one server, instead of starting a
//! server each.

use private_servers::testing::test_folder;
use private_servers::{PostgresOptions, PrivatePostgres};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with-postgres COMMAND [ARGUMENT ...]");
        return ExitCode::from(2);
    };
    let options = PostgresOptions { temporary: true, ..PostgresOptions::new(test_folder().keep()) };
    let options = options.without_fsync().setting("max_connections", "500").setting("shared_buffers", "256MB");
    let server = match PrivatePostgres::start(options).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("no private PostgreSQL for the tests: {error}");
            return ExitCode::from(2);
        }
    };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env("CMDIAG_TEST_DATABASE_URL", server.url("postgres")).kill_on_drop(true);
    let status = command.status().await;
    server.stop().await;
    match status {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("the command could not be run: {error}");
            ExitCode::from(2)
        }
    }
}
