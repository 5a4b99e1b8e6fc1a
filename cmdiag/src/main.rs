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
use cli::{Cli, Command, Format, Role, RunsCommand};
use config::Config;
use domain::{Actor, Outcome};
use platform::{Platform, Roles};
use query_side::Moment;
use std::process::ExitCode;
use telemetry::Telemetry;

/// Under load a sixth of the server's samples were in the C library's allocator; this one is made for many small values
/// on many threads.
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
    let mut config = Config::load(cli.config.as_deref())?;
    config.event_store.flags(cli.event_store, cli.kurrentdb_url.as_deref())?;
    let actor = actor(cli.actor.as_deref())?;
    let default_filter = if matches!(cli.command, Command::Serve(_)) { "info,sqlx=warn" } else { "warn,sqlx=error" };
    let _telemetry = Telemetry::start(&config.telemetry, default_filter)?;
    let format = cli.format;
    let moment = cli.command.moment();
    match cli.command {
        Command::ActionHost => Ok(ExitCode::SUCCESS),
        Command::Serve(arguments) => commands::serve::run(config, actor, &arguments).await,
        Command::Migrate { check } => commands::migrate::run(&config, check).await,
        Command::Audit(command) => commands::audit::run(config, actor, format, &command).await,
        Command::Packs(command) => commands::packs::run(&config, format, &command),
        Command::Export(command) => commands::export::run(config, actor, format, &command).await,
        Command::Schema(command) => commands::schema::run(format, &command).map(|()| ExitCode::SUCCESS),
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
        Command::Actions(command) => commands::actions::run(format, &command).map(|()| ExitCode::SUCCESS),
        Command::Remediate(arguments) => {
            let platform = Platform::connect(config, actor, false).await?;
            let roles = Roles::start(&platform, &Role::ALL);
            let platform = Platform { queries: roles.queries.clone(), ..platform };
            let code = commands::remediate::run(&platform, format, &arguments).await;
            commands::done(platform, roles).await;
            code
        }
        Command::Projections(command) => {
            let platform = Platform::connect(config, actor, false).await?;
            let result = commands::projections::run(&platform, format, &command).await;
            platform.shutdown().await;
            result.map(|is_well| if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::History { stream, after, limit, .. } => {
            let platform = Platform::connect(config, actor, false).await?;
            let result = commands::history::run(&platform, format, (&stream, moment), after, limit).await;
            platform.shutdown().await;
            result.map(|()| ExitCode::SUCCESS)
        }
        other => Box::pin(look(other, config, actor, (moment, format))).await,
    }
}

/// Obeys what reads the views, and those few changes that read them first.
async fn look(
    command: Command,
    config: Config,
    actor: Actor,
    (moment, format): (Option<Moment>, Format),
) -> Result<ExitCode> {
    match command {
        Command::Deployment(command) => {
            looking(config, actor, (moment, format), async |platform| {
                commands::deployment::run(platform, format, &command).await
            })
            .await
        }
        Command::Runs { command: Some(RunsCommand::Diff(arguments)), .. } => {
            let (platform, roles) = commands::reader(config, actor).await?;
            let code = commands::runs_diff::run(&platform, format, &arguments).await;
            commands::done(platform, roles).await;
            code
        }
        Command::Why(arguments) => {
            reading(config, actor, async |platform| commands::why::run(platform, format, &arguments).await).await
        }
        Command::WhatIf(arguments) => {
            reading(config, actor, async |platform| commands::what_if::run(platform, format, &arguments).await).await
        }
        Command::Runs { deployment, limit, .. } => {
            looking(config, actor, (moment, format), async |platform| {
                commands::runs::run(platform, format, deployment.as_deref(), limit).await
            })
            .await
        }
        Command::Findings(command) => {
            looking(config, actor, (moment, format), async |platform| {
                commands::findings::run(platform, format, &command).await
            })
            .await
        }
        Command::Remediations(command) => {
            looking(config, actor, (moment, format), async |platform| {
                commands::remediations::run(platform, format, &command).await
            })
            .await
        }
        Command::Policy(command) => {
            looking(config, actor, (moment, format), async |platform| {
                commands::policy::run(platform, format, &command).await
            })
            .await
        }
        Command::EmergencyStop(command) => {
            looking(config, actor, (moment, format), async |platform| {
                commands::emergency_stop::run(platform, format, &command).await
            })
            .await
        }
        other => anyhow::bail!("{other:?} does not look at the views"),
    }
}

/// Does something that mostly reads.
async fn reading(config: Config, actor: Actor, work: impl AsyncFnOnce(&Platform) -> Result<()>) -> Result<ExitCode> {
    looking(config, actor, (None, Format::Table), work).await
}

/// Does something that mostly reads, maybe as of a moment.
async fn looking(
    config: Config,
    actor: Actor,
    (moment, format): (Option<Moment>, Format),
    work: impl AsyncFnOnce(&Platform) -> Result<()>,
) -> Result<ExitCode> {
    let (mut platform, roles) = commands::reader(config, actor).await?;
    let looked = match moment {
        Some(moment) => commands::as_of::look_at(&mut platform, moment, format).await,
        None => Ok(()),
    };
    let result = match looked {
        Ok(()) => work(&platform).await,
        Err(error) => Err(error),
    };
    commands::done(platform, roles).await;
    result.map(|()| ExitCode::SUCCESS)
}

/// Who acts: as named, else the login name.
fn actor(named: Option<&str>) -> Result<Actor> {
    let login = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok().filter(|name| !name.is_empty());
    let name = named.map(str::to_owned).or_else(login).unwrap_or_else(|| "cli".to_owned());
    name.parse().context("--actor")
}
