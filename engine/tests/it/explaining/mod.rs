//! What explains, on a story that the whole platform tells: runs are asked for, planned, queued, measured by a real
//! probe, judged, recorded, and answered with findings, on a real PostgreSQL.

mod comparing;
mod what_if;
mod why;

use crate::support::{Process, until};
use chrono::{TimeDelta, Utc};
use command_side::{ProcessManagers, ProcessManagersOptions, findings_known_up_to};
use domain::deployment::{Component, ComponentKind, Deployment, DeploymentCommand};
use domain::diagnostic_run::{DiagnosticRun, Priority, RunCommand};
use domain::finding::Finding;
use domain::{
    Actor, CheckCode, CommandId, Decider, DeploymentId, EvidenceHash, FindingId, Metadata, Position, RunId, TenantId,
};
use engine::evidence::EvidenceStore;
use engine::pack::Packs;
use engine::probe::{MemoryOffsets, Probes};
use engine::queue::QueueOptions;
use engine::runner::ProbeRunner;
use engine::what_if::{Changes, Question, Report, RunAsked, WhatIf, WhatIfSource};
use engine::worker::{WorkerPool, WorkerPoolOptions};
use futures::FutureExt;
use futures::future::BoxFuture;
use private_servers::testing::{TestDatabase, test_folder};
use projections::{ReplayOptions, replay};
use query_side::{Cache, EvidenceReader, FindingFilter, PageRequest, Queries, RunFilter};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

pub const PACK: &str = "name = \"t\"\ntitle = \"T\"\nversion = \"7\"\nproduct = \"content-manager\"\n";

/// A check that has a plug-in tell a figure; `[thresholds.used]` warns from 80 on, and is critical from 90 on.
pub fn check_file(symptom: &str) -> String {
    format!(
        r#"
code = "T-PLUGIN"
title = "A plugin's figure"
component = "host"
profiles = ["quick"]
reversible = "none"
[probe]
kind = "command"
argv = ["/bin/sh", "{{{{ settings.path }}}}"]
timeout = "5s"
[thresholds.used]
warning = "80"
critical = "90"
[judge]
each = "row"
resource = "{{{{ component }}}}/disk"
value = "used"
metric = "used"
[text]
symptom = "{symptom}"
cause = "c"
impact = "i"
advice = "a"
[[case]]
name = "good"
rows = [{{ used = 10 }}]
outcome = "ok"
[[case]]
name = "bad"
rows = [{{ used = 95 }}]
outcome = "critical"
"#
    )
}

pub fn packs(symptom: &str) -> Packs {
    Packs::from_texts([("t", "pack.toml", PACK), ("t", "T-PLUGIN.toml", &check_file(symptom))]).unwrap()
}

pub fn code() -> CheckCode {
    CheckCode::new("T-PLUGIN").unwrap()
}

pub struct Told {
    pub process: Process,
    pub pool: PgPool,
    pub deployment: DeploymentId,
    pub runs: Vec<RunId>,
    packs: Arc<Packs>,
    parts: Option<(ProcessManagers, WorkerPool)>,
    folder: tempfile::TempDir,
    // Last: the database is dropped when all else is gone.
    _database: TestDatabase,
}

impl Told {
    /// A deployment of two hosts, and a platform that looks after it.
    pub async fn begin() -> Self {
        let database = TestDatabase::migrated().await;
        let pool = database.pool_of(8).await;
        let process = Process::start(&database, QueueOptions::default()).await;
        let deployment = DeploymentId(Uuid::now_v7());
        let mut told = Self {
            process,
            pool,
            deployment,
            runs: Vec::new(),
            packs: Arc::new(packs("{{ row.used }} % used")),
            parts: None,
            folder: test_folder(),
            _database: database,
        };
        let components = ["host-a", "host-b"].map(|name| Component {
            name: name.parse().unwrap(),
            kind: ComponentKind::Host,
            settings: BTreeMap::from([("path".to_owned(), told.file(name).display().to_string())]),
            secrets: BTreeMap::new(),
            labels: BTreeMap::new(),
        });
        let command = DeploymentCommand::Register {
            name: "Told".to_owned(),
            product_version: "23.4".to_owned(),
            is_double: true,
            labels: BTreeMap::new(),
            components: components.into(),
        };
        told.send::<Deployment>(deployment.0, command).await;
        told.start();
        told
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&mut self) {
        let bus = self.process.bus.clone();
        let packs = Arc::clone(&self.packs);
        let runner = ProbeRunner::new(
            Arc::clone(&packs),
            Probes::new(Arc::new(MemoryOffsets::default())),
            Arc::new(bus.clone()),
            Arc::new(EvidenceStore::new(self.pool.clone())),
            Arc::clone(&self.process.clock),
        );
        let feed = Arc::clone(&self.process.feed);
        let options = ProcessManagersOptions::new(self.pool.clone(), bus, feed, packs);
        let managers = ProcessManagers::start(&options, &self.process.cancel);
        let workers = self.process.pool(Arc::new(runner), WorkerPoolOptions::default());
        self.parts = Some((managers, workers));
    }

    /// The platform is restarted with other packs.
    pub async fn restart_with(&mut self, packs: Packs) {
        let (managers, workers) = self.parts.take().unwrap();
        workers.stop().await;
        managers.stop().await;
        self.packs = Arc::new(packs);
        self.start();
    }

    pub fn metadata(actor: &str) -> Metadata {
        Metadata::new(Actor::new(actor).unwrap(), TenantId::default(), CommandId(Uuid::now_v7()))
    }

    pub async fn send<D: Decider>(&self, id: Uuid, command: D::Command) {
        self.process.bus.execute::<D>(id, command, Self::metadata("ann")).await.unwrap();
    }

    /// A run in which the hosts give these figures; what is no figure can not be measured.
    pub async fn run(&mut self, a: &str, b: &str) -> RunId {
        for (name, figure) in [("host-a", a), ("host-b", b)] {
            let is_figure = figure.parse::<f64>().is_ok();
            let text = if is_figure { format!("echo 'said|used={figure}'\n") } else { "exit 3\n".to_owned() };
            std::fs::write(self.file(name), text).unwrap();
        }
        let run = RunId(Uuid::now_v7());
        let request = RunCommand::Request {
            run,
            deployment: self.deployment,
            profile: "quick".to_owned(),
            checks: Vec::new(),
            priority: Priority::Normal,
            deadline: Utc::now() + TimeDelta::minutes(5),
        };
        self.send::<DiagnosticRun>(run.0, request).await;
        self.process.ended(run).await;
        let head = self.process.log.head().await.unwrap();
        until("the results are answered", async || findings_known_up_to(&self.pool).await.unwrap() >= head).await;
        self.runs.push(run);
        run
    }

    /// What nine runs saw: host-a gets worse, recovers, can not be measured, is judged by another version of the check
    /// and by an overridden threshold, and relapses; host-b stays at 65.
    pub async fn whole(symptom: &str) -> Self {
        let mut told = Self::begin().await;
        for figure in ["50", "85.5", "95", "50", "50"] {
            told.run(figure, "65").await;
        }
        told.run("no figure", "65").await;
        told.restart_with(packs(symptom)).await;
        told.run("75.25", "65").await;
        let command = DeploymentCommand::OverrideThreshold {
            check: code(),
            threshold: "used".to_owned(),
            warning: Some("70".to_owned()),
            critical: None,
            reason: "it fills quickly".to_owned(),
        };
        told.send::<Deployment>(told.deployment.0, command).await;
        told.run("75.25", "65").await;
        told.run("75.25", "65").await;
        told
    }

    /// The views, brought up to date.
    pub async fn queries(&self) -> Queries {
        let options = ReplayOptions { from_start: false, ..ReplayOptions::default() };
        replay(&self.pool, Arc::clone(&self.process.log), projections::all(), &options).await.unwrap();
        let evidence = Arc::new(Stored(EvidenceStore::new(self.pool.clone())));
        Queries::new(self.pool.clone(), Cache::off()).with_log(Arc::clone(&self.process.log)).with_evidence(evidence)
    }

    pub fn finding(&self, host: &str) -> FindingId {
        FindingId::of(self.deployment, &code(), &format!("{host}/disk").parse().unwrap())
    }

    pub fn question(&self, changes: Changes) -> Question {
        Question { deployment: self.deployment, since: None, until: None, changes, runs_max: 1_000 }
    }

    pub async fn ask(&self, question: &Question) -> Report {
        let source = Arc::new(FromViews(self.queries().await));
        let evidence = EvidenceStore::new(self.pool.clone());
        let what_if = WhatIf::new(Arc::clone(&self.process.log), evidence, source);
        let mut steps = Vec::new();
        let before = self.process.log.head().await.unwrap();
        let report = what_if.ask(question, &mut |progress| steps.push(progress)).await.unwrap();
        assert_eq!(self.process.log.head().await.unwrap(), before, "a question writes nothing");
        assert_eq!(steps.len() as u64, report.runs, "each run is a step");
        report
    }

    pub async fn finding_events(&self, finding: FindingId) -> Vec<event_store::RecordedEvent> {
        let stream = event_store::StreamId::new(Finding::TYPE, &finding.to_string());
        self.process.log.read_stream(stream, domain::StreamVersion(0), 1_000).await.unwrap()
    }
}

struct Stored(EvidenceStore);

impl EvidenceReader for Stored {
    fn read<'a>(&'a self, hash: &'a EvidenceHash) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>> {
        async move {
            let found = self.0.get(hash).await.map_err(|error| error.to_string())?;
            Ok(found.map(|stored| stored.bytes))
        }
        .boxed()
    }
}

struct FromViews(Queries);

impl WhatIfSource for FromViews {
    fn runs<'a>(
        &'a self,
        question: &'a Question,
        after: Option<RunAsked>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RunAsked>, String>> {
        async move {
            let (deployment, since, until) = (Some(question.deployment), question.since, question.until);
            let filter = RunFilter { deployment, since, until, ..RunFilter::default() };
            let after = after.map(|asked| (asked.at, asked.run));
            let found = self.0.runs_oldest_first(&filter, after, limit as i64).await.map_err(|e| e.to_string())?;
            Ok(found.into_iter().map(|run| RunAsked { run: run.id, at: run.requested_at }).collect())
        }
        .boxed()
    }

    fn findings<'a>(
        &'a self,
        deployment: DeploymentId,
        check: Option<&'a CheckCode>,
    ) -> BoxFuture<'a, Result<Vec<FindingId>, String>> {
        async move {
            let check = check.map(ToString::to_string);
            let filter = FindingFilter { deployment: Some(deployment), check, ..FindingFilter::default() };
            let page = self.0.findings(&filter, &PageRequest::first(500)).await.map_err(|e| e.to_string())?;
            Ok(page.items.iter().map(|finding| finding.id).collect())
        }
        .boxed()
    }

    fn answered_up_to(&self) -> BoxFuture<'_, Result<Position, String>> {
        async move { findings_known_up_to(self.0.pool()).await.map_err(|error| error.to_string()) }.boxed()
    }
}
