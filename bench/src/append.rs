//! Appends a second and their p99, in three shapes, beside two peers.

pub mod contestants;

use crate::figure::{Figure, grouped};
use crate::latencies::{Latencies, median};
use crate::world::World;
use anyhow::Result;
use contestants::{Contestant, Writer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How it is measured, for the page.
pub const HOW: &str = "Writers append to streams of their own for a second and a half, each append one \
    transaction. In every round, one after another: ours; a bare one-statement `UNNEST` insert \
    per append, on a connection of its own per writer, into a table with the same columns and \
    indexes, whose position is `nextval` of a sequence (no order is promised, no command is \
    recorded: the cheapest insert that there is); postgres-es 0.5 `persist` into the same \
    table, whose position is the column's default (`next_position()`: dense, under the log's \
    lock); and `persist` into the seven-column table that postgres-es itself ships. Each \
    contestant has its own database on the same server. Ratios are taken within a round; the \
    median of the rounds is shown.";

/// How many write, and how much at a time.
pub struct Shape {
    /// In the figures' ids.
    pub id: &'static str,
    /// Concurrent writers.
    pub writers: usize,
    /// Events of one append.
    pub events: i64,
    /// The bar beside the bare insert.
    pub bare: f64,
    /// The bar beside postgres-es.
    pub peer: f64,
}

const SHAPES: [Shape; 3] = [
    Shape { id: "64x1", writers: 64, events: 1, bare: 2.5, peer: 4.0 },
    Shape { id: "1x1", writers: 1, events: 1, bare: 0.9, peer: 1.2 },
    Shape { id: "8x10", writers: 8, events: 10, bare: 0.75, peer: 2.0 },
];

const P99_BAR: f64 = 0.3;

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let contestants = Contestant::all(world).await?;
    let rounds = world.pick(5, 1);
    let mut figures = Vec::new();
    for shape in &SHAPES {
        let mut measured: Vec<Vec<Round>> = contestants.iter().map(|_| Vec::new()).collect();
        // The first round warms caches and prepared statements up; it does not count.
        for number in 0..=rounds {
            let span = if number == 0 { world.span(0.5) } else { world.span(1.5) };
            for (contestant, rounds) in contestants.iter().zip(&mut measured) {
                let round = round(contestant, shape, span).await?;
                if number > 0 {
                    rounds.push(round);
                }
            }
        }
        figures.extend(judge(shape, &contestants, &measured));
    }
    Ok(figures)
}

/// What one round of one contestant came to.
pub struct Round {
    /// Events a second.
    pub rate: f64,
    /// Percentiles of one append, in milliseconds.
    pub p50: f64,
    /// The same.
    pub p95: f64,
    /// The same.
    pub p99: f64,
}

/// One round of one contestant.
pub async fn round(contestant: &Contestant, shape: &Shape, span: Duration) -> Result<Round> {
    let mut writers = Vec::new();
    for _ in 0..shape.writers {
        writers.push(contestant.writer().await?);
    }
    let started = Instant::now();
    let until = started + span;
    let events = shape.events;
    let mut tasks = JoinSet::new();
    for writer in writers {
        tasks.spawn(write(writer, events, until));
    }
    let mut all = Latencies::new()?;
    while let Some(ended) = tasks.join_next().await {
        all.merge(&ended??)?;
    }
    let took = started.elapsed().as_secs_f64();
    let rate = all.count() as f64 * shape.events as f64 / took;
    let percentile = |percentile| all.percentile_ms(percentile);
    Ok(Round { rate, p50: percentile(50.0), p95: percentile(95.0), p99: percentile(99.0) })
}

async fn write(mut writer: Writer, events: i64, until: Instant) -> Result<Latencies> {
    let mut latencies = Latencies::new()?;
    loop {
        let started = Instant::now();
        if started >= until {
            return Ok(latencies);
        }
        writer.append(events).await?;
        latencies.record(started.elapsed());
    }
}

fn judge(shape: &Shape, contestants: &[Arc<Contestant>], measured: &[Vec<Round>]) -> Vec<Figure> {
    let ratios = |other: usize, of: fn(&Round) -> f64| -> f64 {
        let pairs = measured[0].iter().zip(&measured[other]);
        median(&pairs.map(|(ours, theirs)| of(ours) / of(theirs)).collect::<Vec<_>>())
    };
    let beside = contestants.iter().zip(measured).map(|(contestant, rounds)| {
        let middle = |of: fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
        format!(
            "{}: {} events/s, p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms",
            contestant.name(),
            grouped(middle(|round| round.rate)),
            middle(|round| round.p50),
            middle(|round| round.p95),
            middle(|round| round.p99)
        )
    });
    let beside = beside.collect::<Vec<_>>().join("; ");
    let (id, title) = (shape.id, format!("{} concurrent × {} event(s)", shape.writers, shape.events));
    let mut figures = vec![
        Figure::at_least(
            &format!("append.{id}-bare"),
            &format!("{title}: events/s, of the bare insert's"),
            (ratios(1, |round| round.rate), shape.bare),
            "x",
        )
        .beside(beside),
        Figure::at_least(
            &format!("append.{id}-postgres-es"),
            &format!("{title}: events/s, of postgres-es `persist`'s into the same table"),
            (ratios(2, |round| round.rate), shape.peer),
            "x",
        ),
        Figure::at_least(
            &format!("append.{id}-postgres-es-own-table"),
            &format!("{title}: events/s, of postgres-es `persist`'s into its own table"),
            (ratios(3, |round| round.rate), shape.peer),
            "x",
        ),
    ];
    if shape.writers == 64 {
        let what = format!("{title}: p99, of the bare insert's");
        let value = ratios(1, |round| round.p99);
        figures.push(Figure::at_most(&format!("append.{id}-p99"), &what, (value, P99_BAR), "x"));
    }
    figures
}
