//! Remediations: from request to success, from a step to whoever follows it, a thousand at once, the fault matrix, and
//! a storm.

mod in_flight;
mod matrix;
mod problems;
mod step_to_subscriber;
mod storm;
mod ten_steps;

use crate::figure::Figure;
use crate::world::World;
use anyhow::{Context, Result};

/// How it is measured, for the page.
pub const HOW: &str = "`ten-steps`: each remediation is about a finding of a deployment of its own, whose file holds \
    another value than it should; nine steps do nothing, the tenth writes the file, one after the other. The policy \
    lets it run by \
    itself (it has earned that in the warm-up, under approval), the post-check is a real command check, and the \
    parts run in the bench's process, composed as `cmdiag serve` composes them. The clock runs from the request to \
    the moment that a subscriber of its stream sees `RemediationSucceeded`; the next one begins when the ordinary \
    runs that follow it have ended. After each of them as many bare appends of one event as it had needed are made \
    one after the other in the same process: no remediation of so many recorded moments can be faster on this log. \
    `at-once` is the same with ten steps that do not depend on each other. `step-to-subscriber`: 100 WebSocket \
    connections to a `cmdiag serve` follow `remediationProgress` of one remediation each; another process, the \
    bench, records the steps' events, ten a second in each, on a fixed schedule; the time runs from the moment that \
    the writer knows of its commit to the moment that the message is read. `in-flight`: 1,000 such remediations, \
    each of its own deployment, are requested of a `cmdiag serve` with all roles; when all of them wait to be \
    executed, all are executed: so that 1,000 are in flight at the same time. `matrix` is read from what `make \
    matrix` wrote. `storm`: plans about one resource are put to the policy, 1,000 a second; what is let on succeeds \
    at once.";

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    // First, for it costs nothing, and tells who has not run the matrix.
    let matrix = matrix::figures(world.docs()).context("the fault matrix")?;
    let mut figures = ten_steps::run(world).await.context("ten steps")?;
    figures.extend(step_to_subscriber::run(world).await.context("from a step to its subscriber")?);
    figures.extend(in_flight::run(world).await.context("many in flight")?);
    figures.extend(matrix);
    figures.extend(storm::run(world).await.context("a storm")?);
    Ok(figures)
}
