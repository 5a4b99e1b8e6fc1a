//! `cmdiag`: the composition root and the command line.

mod cli;
mod commands;
mod config;
mod deployment_file;
mod output;
mod platform;
mod progress;
mod shutdown;
mod telemetry;
mod tree;

use anyhow::{Context, Result};
use clap::Parser;
use cli::{Cli, Command, Role};
use config::Config;
use domain::{Actor, Outcome};
use platform::{Platform, Roles};
use std::process::ExitCode;
use telemetry::Telemetry;

/// Under load a sixth of the server's samples were in the C library's allocator; this one is made for many small values on
/// many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A diagnosis that failed says UNKNOWN, as a Nagios plugin does.
    let failed = match cli.command {
        Command::Diagnose(_) => ExitCode::from(Outcome::Unknown.exit_code()),
        _ => ExitCode::FAILURE,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cmdiag: the runtime does not start: {error}");
            return failed;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cmdiag: {error:#}");
            failed
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    // Fails only where one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if matches!(cli.command, Command::ActionHost) {
        // It knows nothing but what it is told: no configuration, no telemetry, no database.
        engine::action::host::serve().await.context("run one phase of an action")?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(cli.config.as_deref())?;
    let actor = actor(cli.actor.as_deref())?;
    let default_filter = if matches!(cli.command, Command::Serve(_)) { "info,sqlx=warn" } else { "warn,sqlx=error" };
    let _telemetry = Telemetry::start(&config.telemetry, default_filter)?;
    let format = cli.format;
    match cli.command {
        Command::ActionHost => Ok(ExitCode::SUCCESS),
        Command::Serve(arguments) => commands::serve::run(config, actor, &arguments).await,
        Command::Migrate { check } => commands::migrate::run(&config, check).await,
        Command::Packs(command) => commands::packs::run(&config, format, &command),
        Command::Lab(command) => commands::lab::run(&config, format, &command).await,
        Command::Doctor => commands::doctor::run(&config, format).await,
        Command::Demo(arguments) => commands::demo::run(config, actor, &arguments).await,
        Command::Diagnose(arguments) => {
            let platform = Platform::connect(config, actor, false).await?;
            let roles = Roles::start(&platform, &Role::ALL);
            let platform = Platform { queries: roles.queries.clone(), ..platform };
            let code = commands::diagnose::run(&platform, format, &arguments).await;
            commands::done(platform, roles).await;
            code
        }
        Command::Deployment(command) => {
            reading(config, actor, async |platform| commands::deployment::run(platform, format, &command).await).await
        }
        Command::Runs { deployment, limit } => {
            reading(config, actor, async |platform| {
                commands::runs::run(platform, format, deployment.as_deref(), limit).await
            })
            .await
        }
        Command::Findings(command) => {
            reading(config, actor, async |platform| commands::findings::run(platform, format, &command).await).await
        }
        Command::Actions(command) => commands::actions::run(format, &command).map(|()| ExitCode::SUCCESS),
        Command::Remediate(arguments) => {
            let platform = Platform::connect(config, actor, false).await?;
            let roles = Roles::start(&platform, &Role::ALL);
            let platform = Platform { queries: roles.queries.clone(), ..platform };
            let code = commands::remediate::run(&platform, format, &arguments).await;
            commands::done(platform, roles).await;
            code
        }
        Command::Remediations(command) => {
            reading(config, actor, async |platform| commands::remediations::run(platform, format, &command).await).await
        }
        Command::Policy(command) => {
            reading(config, actor, async |platform| commands::policy::run(platform, format, &command).await).await
        }
        Command::EmergencyStop(command) => {
            reading(config, actor, async |platform| commands::emergency_stop::run(platform, format, &command).await)
                .await
        }
        Command::History { stream, after, limit } => {
            let platform = Platform::connect(config, actor, false).await?;
            let result = commands::history::run(&platform, format, &stream, after, limit).await;
            platform.shutdown().await;
            result.map(|()| ExitCode::SUCCESS)
        }
    }
}

/// Does something that mostly reads.
async fn reading(config: Config, actor: Actor, work: impl AsyncFnOnce(&Platform) -> Result<()>) -> Result<ExitCode> {
    let (platform, roles) = commands::reader(config, actor).await?;
    let result = work(&platform).await;
    commands::done(platform, roles).await;
    result.map(|()| ExitCode::SUCCESS)
}

/// Who acts: as named, else the login name.
fn actor(named: Option<&str>) -> Result<Actor> {
    let login = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok().filter(|name| !name.is_empty());
    let name = named.map(str::to_owned).or_else(login).unwrap_or_else(|| "cli".to_owned());
    name.parse().context("--actor")
}
