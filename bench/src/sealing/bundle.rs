//! A history of a million events: exported, and verified offline by a process that has nothing but the file.

use super::{Sealed, memory_peak};
use crate::child;
use crate::events::{self, Place};
use crate::figure::{Figure, grouped};
use crate::world::World;
use anyhow::{Context, Result, ensure};
use audit::VerifyOptions;
use audit::bundle::{verify_bundle, write_bundle};
use audit::verify::live::verify_log;
use event_store::EventLog;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;

const WRITERS: i64 = 8;
const EVENTS: i64 = 100;
const BAR_SECONDS: f64 = 30.0;
/// Far less than the events take; the same for ten times as many.
const BAR_MEGABYTES: f64 = 128.0;
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let wanted: i64 = world.pick(1_000_000, 20_000);
    let sealed = Sealed::start(world, "sealing_bundle").await?;
    let started = Instant::now();
    fill(&sealed, wanted).await?;
    sealed.caught_up().await?;
    let filling = wanted as f64 / started.elapsed().as_secs_f64();
    let (pool, folder) = (sealed.pool.clone(), world.folder("sealing_bundle")?);
    let file = folder.join("history.jsonl.zst");
    let started = Instant::now();
    let report = verify_log(&pool, &VerifyOptions::default(), |_, _| {}).await?;
    ensure!(report.holds(), "the log does not verify: {:?}", report.first());
    let live = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let written = write_bundle(&pool, &file, None, chrono::Utc::now(), |_, _| {}).await?;
    let writing = started.elapsed().as_secs_f64();
    sealed.stop().await;
    let told = in_child(&file).await?;
    ensure!(told.events as i64 >= wanted, "{} events were verified", told.events);
    let title = format!("a bundle of {} events", grouped(written.events as f64));
    let beside = format!(
        "{:.0} MB, {} checkpoints, written in {writing:.1} s; the same in the database: verified in {live:.1} s; \
         appended and sealed at {} events/s",
        written.bytes as f64 / 1e6,
        written.checkpoints,
        grouped(filling)
    );
    let what = format!("{title}: verified offline");
    let memory = format!("{title}: the most memory that verifying it took");
    Ok(vec![
        Figure::below("sealing.bundle-verify", &what, (told.seconds, BAR_SECONDS), "s").beside(beside),
        Figure::at_most("sealing.bundle-memory", &memory, (told.megabytes, BAR_MEGABYTES), "MB"),
    ])
}

async fn fill(sealed: &Sealed, wanted: i64) -> Result<()> {
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let log = Arc::clone(&sealed.log);
        writers.spawn(async move {
            let mut place = Place::new();
            for _ in 0..wanted / WRITERS / EVENTS {
                log.append(events::append(&place, EVENTS)?).await?;
                place.wrote(EVENTS);
            }
            anyhow::Ok(())
        });
    }
    while let Some(wrote) = writers.join_next().await {
        wrote??;
    }
    Ok(())
}

struct Told {
    events: u64,
    seconds: f64,
    megabytes: f64,
}

async fn in_child(file: &Path) -> Result<Told> {
    let mut process = child::start(&format!("verify-bundle:{}", file.display()), None)?;
    let mut output = BufReader::new(process.stdout.take().context("the child's output is piped")?);
    let mut line = String::new();
    let read = tokio::time::timeout(PATIENCE, output.read_line(&mut line)).await;
    read.with_context(|| format!("the child said nothing within {PATIENCE:?}"))??;
    let ended = tokio::time::timeout(PATIENCE, process.wait()).await.context("the child does not end")??;
    ensure!(ended.success(), "the child ended with {ended}");
    let mut words = line.split_whitespace();
    let mut word = || words.next().context("the child's line is too short");
    Ok(Told { events: word()?.parse()?, seconds: word()?.parse()?, megabytes: word()?.parse()? })
}

/// Verifies a bundle and says how many events it had, how many seconds it took, and how many megabytes.
pub fn verify_in_child(file: &str) -> Result<()> {
    let started = Instant::now();
    let report = verify_bundle(Path::new(file), &VerifyOptions::default(), |_, _| {})?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(report.holds(), "the bundle does not verify: {:?}", report.first());
    println!("{} {seconds:.3} {:.1}", report.events, memory_peak()?);
    Ok(())
}
