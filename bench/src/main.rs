//! Measures every bar of the platform, side by side with its peers, and writes down what came out.
//!
//! `bench` runs all of [`benchmarks::ALL`] on a private, durable PostgreSQL and real `cmdiag serve` processes, writes
//! `docs/performance.json` and makes `docs/performance.md` from it. `bench NAMES…` runs some and renews their figures
//! only; `--quick` makes every span short, to see that it works (and writes nothing).
//!
//! Read in this order: [`benchmarks`] (the list), one benchmark, [`figure`], [`page`]; [`world`] and [`serve`] are what
//! they stand on.

mod append;
mod benchmarks;
mod child;
mod commands;
mod events;
mod figure;
mod graphql;
mod http;
mod lab_pack;
mod latencies;
mod load;
mod machine;
mod missed;
mod page;
mod past;
mod peers;
mod platform;
mod quiet;
mod readers;
mod rebuild;
mod remediation;
mod replay;
mod replay_story;
mod results;
mod runs_1000;
mod sealing;
mod serve;
mod socket;
mod subscribers;
mod world;
mod writers;

use anyhow::{Context as _, Result, bail};
use benchmarks::{ALL, Benchmark};
use clap::Parser;
use figure::Figure;
use machine::Machine;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use world::World;

/// Measures the platform's bars.
#[derive(Parser)]
struct Arguments {
    /// Which benchmarks; all of them where none is named
    names: Vec<String>,
    /// Short spans: to see that it works; writes nothing
    #[arg(long)]
    quick: bool,
    /// List the benchmarks
    #[arg(long)]
    list: bool,
    /// Wait at most so many seconds before each benchmark for the machine to have nothing else to do
    #[arg(long, default_value_t = 0)]
    patience: u64,
    /// The folder of `performance.json` and `performance.md`
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
    /// Only make the page anew from `performance.json`
    #[arg(long)]
    page: bool,
    /// Run as one of the bench's own child processes
    #[arg(long, hide = true)]
    child: Option<String>,
}

/// The same as the server's: what drives the load shares its cores, and the peers in this process allocate as ours do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    if let Some(task) = &arguments.child {
        child::run(task).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.list {
        for benchmark in ALL {
            println!("{:<12} {}", benchmark.name, benchmark.title);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.page {
        page::write(&arguments.docs, &[])?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(&arguments.names)?;
    let world = World::start(arguments.quick, &arguments.docs).await?;
    let machine = Machine::describe(&world).await?;
    println!("{machine}");
    let patience = Duration::from_secs(arguments.patience);
    let (figures, failed) = run(&world, &chosen, &machine, patience).await;
    world.stop().await;
    if !arguments.quick {
        page::write(&arguments.docs, &figures)?;
    }
    for name in &failed {
        println!("FAILED: {name}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Benchmark>> {
    if let Some(unknown) = names.iter().find(|name| !ALL.iter().any(|known| known.name == **name)) {
        bail!("there is no benchmark {unknown}; `bench --list` lists them");
    }
    Ok(ALL.iter().filter(|known| names.is_empty() || names.iter().any(|name| name == known.name)).collect())
}

/// Runs them one after another; one that fails does not keep the others from running.
async fn run(
    world: &World,
    chosen: &[&'static Benchmark],
    machine: &Machine,
    patience: Duration,
) -> (Vec<Figure>, Vec<&'static str>) {
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for benchmark in chosen {
        println!("\n== {}: {}", benchmark.name, benchmark.title);
        let started = Instant::now();
        match measure(world, benchmark, machine, patience).await.with_context(|| benchmark.name) {
            Ok(measured) => {
                for figure in &measured {
                    println!("{figure}");
                }
                figures.extend(measured);
                println!("   ({:.0} s)", started.elapsed().as_secs_f64());
            }
            Err(error) => {
                println!("   failed: {error:#}");
                failed.push(benchmark.name);
            }
        }
    }
    (figures, failed)
}

/// One of them, between two looks at what else the machine does.
async fn measure(world: &World, benchmark: &Benchmark, machine: &Machine, patience: Duration) -> Result<Vec<Figure>> {
    let before = quiet::wait(patience).await?;
    let figures = (benchmark.run)(world).await?;
    let others = before.max(quiet::look().await?);
    println!("   (others took {:.0} % of the machine before or after it)", 100.0 * others);
    Ok(figures.into_iter().map(|figure| figure.measured_on(machine, others)).collect())
}
