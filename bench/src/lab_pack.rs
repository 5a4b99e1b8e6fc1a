//! The whole content-manager pack on the lab.

use crate::events;
use crate::figure::Figure;
use crate::http::Connection;
use crate::latencies::median;
use crate::serve::Serve;
use crate::socket::Subscription;
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use command_side::{BusOptions, CommandBus};
use domain::deployment::{Component, Deployment, DeploymentCommand};
use event_store::{PostgresEventLog, PostgresLogOptions};
use lab::{Lab, LabDescription, LabOptions};
use serde_json::{Value, json};
use std::net::SocketAddr;
use uuid::Uuid;

/// How it is measured, for the page.
pub const HOW: &str = "The default lab (50,000 records, 10,000 files; a double of a deployment) is registered \
    with a `cmdiag serve` with all roles, which then runs every check of the content-manager \
    pack: the run's time from request to end, as its view has it; the median of several runs \
    after a first one.";

const BAR_SECONDS: f64 = 2.0;
const CHECKS: &str = "{ checks(pack: \"content-manager\") { code } }";
const REQUEST: &str = "mutation ($input: RequestRunInput!) { requestRun(input: $input) { \
    ... on RequestRunAccepted { runId } ... on CommandRefused { message } } }";
const PROGRESS: &str = "subscription ($id: ID!) { scanProgress(runId: $id) { position ended } }";
const RUN: &str = "query ($id: ID!, $position: Position) { run(id: $id, atLeast: $position) { \
    status requestedAt endedAt planned tally { ok warning critical unknown } } }";

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let folder = world.folder("lab")?;
    let options = world.pick(LabOptions::new(&folder), LabOptions::small(&folder));
    let lab = Lab::up(options).await.context("start the lab")?;
    let measured = on_lab(world, lab.description()).await;
    lab.stop().await;
    measured
}

async fn on_lab(world: &World, description: &LabDescription) -> Result<Vec<Figure>> {
    let url = world.database("lab_pack").await?;
    let deployment = register(&url, description).await?;
    let serve = Serve::start(world, "lab-pack", &url, "api,commands,projector,engine").await?;
    let mut connection = Connection::open(serve.address).await?;
    let checks = connection.graphql(CHECKS, &json!({})).await?;
    let checks = checks["checks"].as_array().context("a list of checks")?;
    let codes: Vec<&Value> = checks.iter().map(|check| &check["code"]).collect();
    let (mut seconds, mut last) = (Vec::new(), Value::Null);
    for number in 0..=world.pick(7, 1) {
        let variables = json!({ "input": { "deploymentId": deployment.to_string(), "checks": codes } });
        let run = one_run(&mut connection, serve.address, &variables).await?;
        ensure!(run["status"] == "COMPLETED", "the run ended otherwise: {run}");
        let moment = |key: &str| -> Result<DateTime<Utc>> {
            Ok(run[key].as_str().context("a moment")?.parse::<DateTime<Utc>>()?)
        };
        if number > 0 {
            seconds.push((moment("endedAt")? - moment("requestedAt")?).as_seconds_f64());
        }
        last = run;
    }
    let longest = seconds.iter().copied().fold(0.0, f64::max);
    let tally = &last["tally"];
    let beside = format!(
        "longest of {} runs {longest:.2} s; {} checks of components: ok {}, warning {}, critical {}, unknown {}",
        seconds.len(),
        last["planned"],
        tally["ok"],
        tally["warning"],
        tally["critical"],
        tally["unknown"]
    );
    let what = "the whole content-manager pack on the lab: the run's duration";
    let figures = vec![
        Figure::below("lab-pack.seconds", what, (median(&seconds), BAR_SECONDS), "s").beside(beside),
        serve.memory("lab-pack")?,
    ];
    serve.stop().await?;
    Ok(figures)
}

async fn one_run(connection: &mut Connection, address: SocketAddr, variables: &Value) -> Result<Value> {
    let asked = connection.graphql(REQUEST, variables).await?;
    let id = asked["requestRun"]["runId"].as_str().with_context(|| format!("a run, not {asked}"))?;
    let mut progress = Subscription::open(address, PROGRESS, json!({ "id": id })).await?;
    loop {
        let data = progress.next().await?.context("progress up to the end")?;
        if data["scanProgress"]["ended"] == true {
            let position = &data["scanProgress"]["position"];
            let shown = connection.graphql(RUN, &json!({ "id": id, "position": position })).await?;
            return Ok(shown["run"].clone());
        }
    }
}

async fn register(url: &str, description: &LabDescription) -> Result<Uuid> {
    let log = PostgresEventLog::connect(world::pool(url, 2).await?, PostgresLogOptions::default()).await?;
    let bus = CommandBus::new(log, BusOptions::default());
    let components: Vec<Component> = serde_json::from_value(serde_json::to_value(&description.components)?)
        .context("the lab's description as components")?;
    let id = Uuid::now_v7();
    let command = DeploymentCommand::Register {
        name: description.name.clone(),
        product_version: description.product_version.clone(),
        is_double: description.is_double,
        labels: description.labels.clone(),
        components,
    };
    bus.execute::<Deployment>(id, command, events::metadata()?).await?;
    for entry in &description.overrides {
        let command = DeploymentCommand::OverrideThreshold {
            check: entry.check.parse()?,
            threshold: entry.threshold.clone(),
            warning: entry.warning.clone(),
            critical: entry.critical.clone(),
            reason: entry.reason.clone(),
        };
        bus.execute::<Deployment>(id, command, events::metadata()?).await?;
    }
    Ok(id)
}
