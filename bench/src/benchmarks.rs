//! The benchmarks, in the order of the page. One file each.

use crate::figure::Figure;
use crate::world::World;
use crate::{
    append, commands, graphql, lab_pack, load, missed, past, rebuild, remediation, replay, results, runs_1000, sealing,
    subscribers,
};
use anyhow::Result;
use futures::future::LocalBoxFuture;

/// One benchmark.
pub struct Benchmark {
    /// Its name on the command line, and the beginning of its figures' ids.
    pub name: &'static str,
    /// What it measures, in one line.
    pub title: &'static str,
    /// How, for the page.
    pub how: &'static str,
    /// Measures.
    pub run: for<'a> fn(&'a World) -> LocalBoxFuture<'a, Result<Vec<Figure>>>,
}

macro_rules! benchmark {
    ($name:literal, $title:literal, $module:ident) => {
        Benchmark { name: $name, title: $title, how: $module::HOW, run: |world| Box::pin($module::run(world)) }
    };
}

/// All of them.
pub const ALL: &[Benchmark] = &[
    benchmark!("append", "appends to the log, beside a bare insert and postgres-es", append),
    benchmark!("sealing", "appends with the sealer behind them, its lag, and verifying a bundle", sealing),
    benchmark!("missed", "events that a tailing reader misses", missed),
    benchmark!("commands", "commands through the bus, beside the raw append", commands),
    benchmark!("subscribers", "from a commit to the subscriber of its run", subscribers),
    benchmark!("results", "results recorded through the whole way", results),
    benchmark!("replay", "filling the run and finding views from the log", replay),
    benchmark!("rebuild", "all views filled anew while they are served", rebuild),
    benchmark!("past", "ten million events: as of a position, a page of a million runs, appends", past),
    benchmark!("lab-pack", "the content-manager pack on the lab", lab_pack),
    benchmark!("runs-1000", "1,000 runs requested at once", runs_1000),
    benchmark!("graphql", "a run with ten findings, beside a bare handler and a static resolver", graphql),
    benchmark!("remediation", "remediations: ten steps, a thousand at once, the matrix, a storm", remediation),
    benchmark!("load", "5,000 users who read, and 10,000 requests a second", load),
];
