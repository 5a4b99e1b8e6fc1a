//! What the sealer costs the appends that it follows.

use super::Sealed;
use crate::append::contestants::Contestant;
use crate::append::{Round, Shape, round};
use crate::figure::{Figure, grouped};
use crate::latencies::median;
use crate::world::World;
use anyhow::Result;
use std::sync::Arc;

const SHAPES: [Shape; 2] = [
    Shape { id: "64x1", writers: 64, events: 1, bare: 2.0, peer: 3.0 },
    Shape { id: "8x10", writers: 8, events: 10, bare: 0.6, peer: 1.0 },
];

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let sealed = Sealed::start(world, "sealing_ours").await?;
    let contestants = Contestant::beside(world, "sealing", Arc::clone(&sealed.log)).await?;
    let rounds = world.pick(5, 1);
    let mut figures = Vec::new();
    for shape in &SHAPES {
        let mut measured: Vec<Vec<Round>> = contestants.iter().map(|_| Vec::new()).collect();
        let mut behind = 0;
        // The first round warms caches and prepared statements up; it does not count.
        for number in 0..=rounds {
            let span = if number == 0 { world.span(0.5) } else { world.span(1.5) };
            for (contestant, rounds) in contestants.iter().zip(&mut measured) {
                let round = round(contestant, shape, span).await?;
                // What the others are measured beside is not the sealer's work.
                let left = sealed.caught_up().await?;
                if number > 0 {
                    behind = behind.max(left);
                    rounds.push(round);
                }
            }
        }
        figures.extend(judge(shape, &contestants, &measured, behind));
    }
    sealed.stop().await;
    Ok(figures)
}

fn judge(shape: &Shape, contestants: &[Arc<Contestant>], measured: &[Vec<Round>], behind: i64) -> Vec<Figure> {
    let ratio = |other: usize| {
        let pairs = measured[0].iter().zip(&measured[other]);
        median(&pairs.map(|(ours, theirs)| ours.rate / theirs.rate).collect::<Vec<_>>())
    };
    let beside = contestants.iter().zip(measured).map(|(contestant, rounds)| {
        let middle = |of: fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
        let (rate, p99) = (grouped(middle(|round| round.rate)), middle(|round| round.p99));
        format!("{}: {rate} events/s, p99 {p99:.2} ms", contestant.name())
    });
    let beside = beside.collect::<Vec<_>>().join("; ");
    let beside = format!("{beside}; at the end of a round at most {behind} events were not sealed");
    let (id, title) = (shape.id, format!("{} concurrent × {} event(s), sealed", shape.writers, shape.events));
    let bare = format!("{title}: events/s, of the bare insert's");
    let peer = format!("{title}: events/s, of postgres-es `persist`'s into the same table");
    vec![
        Figure::at_least(&format!("sealing.{id}-bare"), &bare, (ratio(1), shape.bare), "x").beside(beside),
        Figure::at_least(&format!("sealing.{id}-postgres-es"), &peer, (ratio(2), shape.peer), "x"),
    ]
}
