//! `cmdiag projections`: the views themselves: how far they are, filling them anew beside what is served, and what they
//! pass over.

use crate::cli::Format;
use crate::output;
use crate::platform::{Platform, exchanges};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use domain::Position;
use domain::projection_control::{ProjectionControl, ProjectionControlCommand};
use projections::rebuild::{self, Difference, Filling, Recorder, ViewState, projection_named};
use projections::{Place, Projection, ReplayOptions};
use serde_json::json;
use std::io::Write as _;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub enum ProjectionsCommand {
    /// Every projection, its version, and how far its view has come
    List,
    /// Every filling of every view: what is served, what is filled beside it, what was served before
    Status,
    /// Fill views anew beside the served ones; nothing that is served changes
    Rebuild(RebuildArgs),
    /// How what was filled beside a view differs from what is served; exit code 1 where it does
    Diff(DiffArgs),
    /// Serve what was filled beside a view, in one transaction; what was served is kept to go back to
    Switch {
        /// The projection
        name: String,
    },
    /// Serve again what was served before the last switch
    Back {
        /// The projection
        name: String,
    },
    /// Throw away what was filled beside a view
    DropShadow {
        /// The projection
        name: String,
    },
    /// Pass over the event before which a projection stands still; it stays on record who decided it and why
    Skip {
        /// The projection
        name: String,
        /// The event's position
        position: i64,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let a projection try again what it could not take
    Retry {
        /// The projection
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// The projections; all of them where none is named
    pub names: Vec<String>,
    /// Begin at position 0 again, whatever was filled before
    #[arg(long)]
    pub anew: bool,
    /// Say nothing of progress
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The projection
    pub name: String,
    /// Show at most so many rows of each table
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rows: u32,
    /// Compare with what was served before the last switch instead
    #[arg(long)]
    pub previous: bool,
}

/// Does what is asked; true where all is well.
pub async fn run(platform: &Platform, format: Format, asked: &ProjectionsCommand) -> Result<bool> {
    exchanges::record_left_over(&platform.pool, &platform.bus).await?;
    match asked {
        ProjectionsCommand::List => list(platform, format).await?,
        ProjectionsCommand::Status => status(platform, format).await?,
        ProjectionsCommand::Rebuild(arguments) => rebuild_named(platform, format, arguments).await?,
        ProjectionsCommand::Diff(arguments) => return diff(platform, format, arguments).await,
        ProjectionsCommand::Switch { name } => exchange(platform, format, name, Place::Shadow).await?,
        ProjectionsCommand::Back { name } => exchange(platform, format, name, Place::Previous).await?,
        ProjectionsCommand::DropShadow { name } => {
            rebuild::drop_shadow(&platform.pool, named(name)?.as_ref()).await?;
            output::line(&format!("what was filled beside {name} is gone"))?;
        }
        ProjectionsCommand::Skip { name, position, reason } => skip(platform, name, *position, reason).await?,
        ProjectionsCommand::Retry { name } => {
            projections::retry(&platform.pool, named(name)?.name()).await?;
            output::line(&format!("{name} tries again"))?;
        }
    }
    Ok(true)
}

fn named(name: &str) -> Result<Box<dyn Projection>> {
    projection_named(name).ok_or_else(|| {
        let names: Vec<&str> = projections::all().iter().map(|one| one.name()).collect();
        anyhow!("there is no projection {name:?}: there are {}", names.join(", "))
    })
}

async fn states(platform: &Platform) -> Result<Vec<ViewState>> {
    let head = platform.log.head().await?;
    Ok(rebuild::states(&platform.pool, head).await?)
}

fn behind(filling: Option<&Filling>, head: Position) -> String {
    filling.map_or_else(|| "-".to_owned(), |filling| (head.0 - filling.position).max(0).to_string())
}

fn trouble(filling: Option<&Filling>) -> String {
    let stands = filling.and_then(|filling| Some((filling.failed_position?, filling.failure.as_deref()?)));
    stands.map_or_else(String::new, |(position, failure)| format!("stands still before {position}: {failure}"))
}

async fn list(platform: &Platform, format: Format) -> Result<()> {
    let states = states(platform).await?;
    output::list(format, &["projection", "version", "served", "position", "behind", "trouble"], &states, |state| {
        let served = state.served.as_ref();
        vec![
            state.name.to_owned(),
            state.version.to_string(),
            served.map_or_else(|| "-".to_owned(), |filling| format!("version {}", filling.version)),
            served.map_or_else(|| "-".to_owned(), |filling| filling.position.to_string()),
            behind(served, state.head),
            trouble(served),
        ]
    })
}

async fn status(platform: &Platform, format: Format) -> Result<()> {
    let states = states(platform).await?;
    if format == Format::Json {
        return output::json(&states);
    }
    let mut rows = Vec::new();
    for state in &states {
        let fillings = [("served", &state.served), ("shadow", &state.shadow), ("previous", &state.previous)];
        for (place, filling) in fillings.into_iter().filter_map(|(place, filling)| Some((place, filling.as_ref()?))) {
            rows.push(vec![
                state.name.to_owned(),
                place.to_owned(),
                filling.version.to_string(),
                filling.position.to_string(),
                behind(Some(filling), state.head),
                if filling.is_whole { "whole" } else { "being filled" }.to_owned(),
                trouble(Some(filling)),
            ]);
        }
    }
    let header = ["projection", "filling", "version", "position", "behind", "state", "trouble"];
    output::list(format, &header, &rows, Clone::clone)
}

async fn rebuild_named(platform: &Platform, format: Format, arguments: &RebuildArgs) -> Result<()> {
    for name in &arguments.names {
        named(name)?;
    }
    let chosen = || -> Vec<Box<dyn Projection>> {
        let all = projections::all().into_iter();
        all.filter(|one| arguments.names.is_empty() || arguments.names.iter().any(|name| name == one.name())).collect()
    };
    let head = platform.log.head().await?;
    let (progress, at) = watch::channel(Position::START);
    let options = ReplayOptions { progress: Some(progress), ..ReplayOptions::default() };
    let began = Instant::now();
    let filling = rebuild::fill(&platform.pool, &platform.log, &chosen, arguments.anew, &options);
    let quiet = arguments.quiet || format == Format::Json;
    let filled = tokio::select! {
        filled = filling => filled?,
        never = tell(at, head, quiet) => match never {},
    };
    let seconds = began.elapsed().as_secs_f64();
    if format == Format::Json {
        let each =
            filled.iter().map(|one| json!({ "name": one.name, "from": one.from, "to": one.to, "events": one.wanted }));
        return output::json(&json!({ "seconds": seconds, "filled": each.collect::<Vec<_>>() }));
    }
    for one in &filled {
        let what = format!("{} events, to position {}", one.wanted, one.to);
        output::line(&format!("{}: filled beside what is served, {what}", one.name))?;
    }
    let (from, to) = (filled.iter().map(|one| one.from.0).min(), filled.iter().map(|one| one.to.0).max());
    let events = to.unwrap_or_default() - from.unwrap_or_default();
    let rate = events as f64 / seconds.max(0.001);
    output::line(&format!("{events} events in {seconds:.1} s ({rate:.0} events/s)"))?;
    for one in &filled {
        let projection = named(one.name)?;
        show(&rebuild::compare(&platform.pool, projection.as_ref(), Place::Shadow, 10).await?)?;
    }
    output::line("to serve it: cmdiag projections switch NAME")
}

/// Tells progress on standard error, for as long as it is waited for.
async fn tell(mut at: watch::Receiver<Position>, head: Position, quiet: bool) -> std::convert::Infallible {
    let (mut told_at, mut told) = (Instant::now(), None);
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let now = *at.borrow_and_update();
        let before: i64 = told.map_or(now.0, |position: Position| position.0);
        let rate = (now.0 - before) as f64 / told_at.elapsed().as_secs_f64().max(0.001);
        (told_at, told) = (Instant::now(), Some(now));
        if !quiet && now > Position::START {
            let left = (head.0 - now.0).max(0);
            let text = format!("position {now} of {head}, {rate:.0} events/s, {left} remaining");
            // Progress is worth no error.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

async fn diff(platform: &Platform, format: Format, arguments: &DiffArgs) -> Result<bool> {
    let projection = named(&arguments.name)?;
    let place = if arguments.previous { Place::Previous } else { Place::Shadow };
    let difference = rebuild::compare(&platform.pool, projection.as_ref(), place, arguments.rows).await?;
    if format == Format::Json {
        output::json(&difference)?;
    } else {
        show(&difference)?;
    }
    Ok(difference.is_empty())
}

fn show(difference: &Difference) -> Result<()> {
    let Difference { name, served, other, .. } = difference;
    output::line(&format!(
        "{name}: served version {} at position {}, compared with version {} at position {}: {}",
        served.0,
        served.1,
        other.0,
        other.1,
        if difference.is_empty() { "no difference" } else { "DIFFERENT" }
    ))?;
    for table in &difference.tables {
        output::line(&format!(
            "  {}: {} rows served, {} filled; {} only served, {} only filled, {} differ, {} changed meanwhile",
            table.table,
            table.rows_served,
            table.rows_other,
            table.only_served,
            table.only_other,
            table.differing,
            table.left_out
        ))?;
        for (columns, only) in [(&table.columns_only_served, "served"), (&table.columns_only_other, "filled")] {
            if !columns.is_empty() {
                output::line(&format!("    columns only {only}: {}", columns.join(", ")))?;
            }
        }
        for row in &table.first {
            match row.found_in.as_str() {
                "both" => output::line(&format!("    {}: {}", row.key, row.columns))?,
                place => output::line(&format!("    {}: only {place}", row.key))?,
            }
        }
    }
    Ok(())
}

async fn exchange(platform: &Platform, format: Format, name: &str, place: Place) -> Result<()> {
    named(name)?;
    let by = Recorder { actor: platform.actor.clone(), tenant: platform.tenant.clone() };
    let projection = || projection_named(name).into_iter().collect();
    let done = rebuild::exchange(&platform.pool, &platform.log, &projection, place, &by).await?;
    let recorded = exchanges::record(&platform.pool, &platform.bus, &done).await;
    recorded.context("it is served now, but not on record yet: run `cmdiag projections list`")?;
    if format == Format::Json {
        return output::json(&json!({ "projection": done.name, "served": done.served, "before": done.before }));
    }
    output::line(&format!(
        "{name}: version {} is served, at position {}; before, it was version {}, at position {}",
        done.served.version, done.served.position, done.before.version, done.before.position
    ))
}

async fn skip(platform: &Platform, name: &str, position: i64, reason: &str) -> Result<()> {
    let projection = named(name)?;
    let states = states(platform).await?;
    let served = states.iter().find(|state| state.name == projection.name()).and_then(|state| state.served.as_ref());
    let Some(failure) = served.filter(|filling| filling.failed_position == Some(position)) else {
        bail!("{name} does not stand still before position {position}: see `cmdiag projections list`");
    };
    let command = ProjectionControlCommand::SkipEvent {
        projection: name.to_owned(),
        position: Position(position),
        failure: failure.failure.clone().unwrap_or_default(),
        reason: reason.to_owned(),
    };
    let id = ProjectionControl::of(name);
    let done = platform.bus.execute::<ProjectionControl>(id, command, platform.metadata()).await?;
    output::line(&format!(
        "{name} passes over the event at position {position}; on record at position {}",
        done.position
    ))
}
