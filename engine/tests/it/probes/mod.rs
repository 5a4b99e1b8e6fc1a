//! Probes against real servers and files, each by a check as it would be written.

mod command;
mod http;
pub mod lab;
mod logs;
mod network;
mod redis;
mod runner;
mod sql;
mod store;

use chrono::Utc;
use domain::deployment::{Component, ComponentKind};
use domain::{CheckCode, RunId};
use engine::check::{Check, parse_check};
use engine::probe::{Measurement, MemoryOffsets, ProbeError, Probes, Row, Target};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A check with this `[probe]` table; the rest of it judges nothing of interest.
fn check(probe: &str) -> Check {
    let text = format!(
        r#"
code = "T-1"
title = "A test"
component = "host"
reversible = "none"
[probe]
{probe}
[judge]
each = "row"
resource = "{{{{ component }}}}"
critical_when = "has(row.bad)"
[text]
symptom = "s"
cause = "c"
impact = "i"
advice = "a"
[[case]]
name = "good"
rows = [{{}}]
outcome = "ok"
[[case]]
name = "bad"
rows = [{{ bad = 1 }}]
outcome = "critical"
"#
    );
    parse_check("test", "T-1.toml", &text).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn component(name: &str, kind: ComponentKind, settings: &[(&str, &str)]) -> Component {
    Component {
        name: name.parse().unwrap(),
        kind,
        settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        secrets: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

/// A target: the first component, in a deployment of all of them.
fn target(components: &[Component]) -> Target {
    Target {
        run: RunId(Uuid::new_v4()),
        deployment: domain::testing::DEPLOYMENT,
        check: CheckCode::new("T-1").unwrap(),
        component: components[0].clone(),
        components: Arc::new(components.iter().map(|one| (one.name.clone(), one.clone())).collect()),
        now: Utc::now(),
    }
}

fn probes() -> Probes {
    Probes::new(Arc::new(MemoryOffsets::default()))
}

async fn measure(probes: &Probes, probe: &str, target: &Target) -> Result<Measurement, ProbeError> {
    probes.measure(&check(probe).probe, target, &CancellationToken::new()).await
}

/// The one row of a measurement.
fn only(measured: Result<Measurement, ProbeError>) -> Row {
    let mut rows = measured.unwrap_or_else(|error| panic!("{:?}: {error}", error.kind)).rows;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

/// Waits for a condition, looking often, and no longer than ten seconds.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
