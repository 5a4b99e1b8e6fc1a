//! A lab, the small platform of the kit on it, and the real checks.

use super::case::{Case, Given, Kind};
use crate::probes::lab::{Known, run, state};
use command_side::{CheckCatalog, SystemClock};
use domain::Outcome;
use domain::deployment::{Component, DeploymentState, ThresholdOverride};
use domain::diagnostic_run::{CheckResult, Observation};
use domain::remediation::Problem;
use engine::action::{HostProgram, list};
use engine::evidence::EvidenceStore;
use engine::pack::Packs;
use engine::probe::{MemoryOffsets, Probes};
use engine::queue::WorkItem;
use engine::remediation::testing::{ActionCase, Kit, KitParts, Saga, SaysWell, texts_for_actions};
use engine::runner::ProbeRunner;
use engine::worker::CheckRunner;
use futures::FutureExt;
use futures::future::BoxFuture;
use lab::{Lab, LabOptions};
use private_servers::testing::{TestDatabase, test_folder};
use private_servers::{PrivateRedis, RedisOptions};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// How long a check may take to find what was planted.
const FOUND: Duration = Duration::from_secs(30);
/// Long enough that no live process loses it on a busy machine: those of killed ones are made to run out.
const LEASE: Duration = Duration::from_secs(10);

/// What a lab is made of, beside what every lab has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Nothing.
    Plain,
    /// A cache: a Redis server of its own.
    Cache,
    /// A server whose settings are those of a server for good.
    Durable,
    /// Archives on another volume.
    OtherVolume,
}

/// All of it.
pub struct Bench {
    pub lab: Lab,
    pub kit: Kit,
    /// Sessions of the database that are held for a case.
    pub sessions: Mutex<Vec<Held>>,
    state: DeploymentState,
    packs: Arc<Packs>,
    checks: Arc<Judges>,
    _redis: Option<PrivateRedis>,
    _database: TestDatabase,
    _folders: Vec<tempfile::TempDir>,
}

/// A session, or the tasks of some; it ends when this is dropped.
pub type Held = Box<dyn Any + Send>;

/// The real checks; and for what no check can see here, a double that says so.
struct Judges {
    real: ProbeRunner,
    doubled: BTreeSet<String>,
}

impl CheckRunner for Judges {
    fn run(&self, item: WorkItem, cancel: CancellationToken) -> BoxFuture<'_, CheckResult> {
        let code = item.key.check.check.as_str();
        if code.starts_with("KIT-") || self.doubled.contains(code) {
            return async move { SaysWell.run(item, cancel).await }.boxed();
        }
        self.real.run(item, cancel)
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The packs of the repository, and one with a runbook for each action that is to be tried alone.
fn packs_with(actions: &[ActionCase]) -> Packs {
    let folder = repository().join("packs");
    let mut texts: Vec<(String, String, String)> = Vec::new();
    for entry in walkdir::WalkDir::new(&folder).min_depth(2) {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let within = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
            let (pack, file) = within.split_once('/').unwrap();
            texts.push((pack.to_owned(), file.to_owned(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    texts.extend(texts_for_actions(actions).into_iter().map(|(file, text)| ("kit".to_owned(), file, text)));
    let files = texts.iter().map(|(pack, file, text)| (pack.as_str(), file.as_str(), text.as_str()));
    Packs::from_texts(files).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The check and the runbook that an action is tried by.
fn alone(place: usize) -> (String, String) {
    (format!("KIT-{place}"), format!("kit-{place}"))
}

impl Bench {
    pub async fn start(parts: Parts, cases: &[Case]) -> Self {
        let mut folders = vec![test_folder()];
        let folder = folders[0].path().to_path_buf();
        let mut options = LabOptions::small(folder.join("lab"));
        let mut redis = None;
        if parts == Parts::Cache {
            let own = RedisOptions { folder: folder.join("redis"), settings: Vec::new() };
            let own = redis.insert(PrivateRedis::start(own).await.unwrap());
            options.redis_url = Some(own.url());
        }
        if parts == Parts::Durable {
            options.without_fsync = false;
        }
        let lab = Lab::up(options).await.unwrap();
        let mut state = state(lab.description());
        young_faults_count(&mut state);
        if parts == Parts::Cache {
            let cache = "cache".parse().unwrap();
            let components = Arc::make_mut(&mut state.components);
            let settings = &mut components.get_mut(&cache).unwrap().settings;
            settings.insert("holds_only_cached_data".to_owned(), "true".to_owned());
        }
        let host = settings_of_host(&lab, parts, &mut folders);
        Arc::make_mut(&mut state.components).get_mut(&"host".parse().unwrap()).unwrap().settings.extend(host);
        let mut actions = Vec::new();
        for (place, case) in cases.iter().enumerate() {
            if let Kind::Action { arguments, .. } = &case.kind {
                let action = list::named(case.name).unwrap_or_else(|| panic!("no action {}", case.name));
                let (check, runbook) = alone(place);
                let (kind, arguments) = (action.spec().components[0], arguments.of(&lab).await);
                let kind = case.component().map_or(kind, |name| state.components[&name.parse().unwrap()].kind);
                actions.push(ActionCase { check, runbook, kind, action: case.name.to_owned(), arguments });
            }
        }
        let packs = Arc::new(packs_with(&actions));
        let database = TestDatabase::migrated().await;
        let pool = database.pool_of(10).await;
        let probes = Probes::new(Arc::new(MemoryOffsets::default()));
        let evidence = Arc::new(EvidenceStore::new(pool.clone()));
        let known = Arc::new(Known(state.clone()));
        let real = ProbeRunner::new(Arc::clone(&packs), probes, known, evidence, Arc::new(SystemClock));
        let doubled = cases.iter().filter(|case| case.judged_by_double).map(|case| case.check.to_owned()).collect();
        let checks = Arc::new(Judges { real, doubled });
        let kit = KitParts {
            pool,
            components: state.components.values().cloned().collect::<Vec<Component>>(),
            packs: Arc::clone(&packs),
            checks: Arc::clone(&checks) as Arc<dyn CheckRunner>,
            host: HostProgram::Program { program: env!("CARGO_BIN_EXE_action_host").into(), arguments: Vec::new() },
        };
        let mut kit = Kit::start(kit).await;
        kit.options.lease = LEASE;
        let sessions = Mutex::default();
        Self { lab, kit, sessions, state, packs, checks, _redis: redis, _database: database, _folders: folders }
    }

    /// Puts all cases through the kit, one after another; tells of all that do not stand it.
    pub async fn prove(&self, cases: &[Case]) {
        let mut failures = Vec::new();
        for (place, case) in cases.iter().enumerate().filter(|(_, case)| is_wanted(case)) {
            let begin = Instant::now();
            println!("{}", case.name);
            let runbook = match &case.kind {
                Kind::Runbook => case.name.to_owned(),
                Kind::Action { .. } => alone(place).1,
            };
            let saga = Saga::given(&self.kit, &runbook, || self.give(place, case).boxed());
            let saga = if case.names_what_it_makes { saga.names_what_it_makes() } else { saga };
            if let Err(panic) = AssertUnwindSafe(saga.prove()).catch_unwind().await {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                failures.push(format!("{}: {}", case.name, said.unwrap_or_default()));
            }
            println!("  {} took {:.1} s", case.name, begin.elapsed().as_secs_f64());
            self.sessions.lock().await.clear();
            lab::mend_all(self.lab.handle()).await.unwrap();
        }
        assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    }

    /// Gives the lab the case's problem, and finds it by its check.
    async fn give(&self, place: usize, case: &Case) -> Problem {
        match &case.given {
            Given::Nothing => {}
            Given::Fault(fault) => {
                lab::mend_fault(self.lab.handle(), fault).await.unwrap();
                lab::break_fault(self.lab.handle(), fault).await.unwrap();
            }
            Given::ByHand(set) => set(self).await,
            Given::Told(component, set) => {
                let (resource, row) = set(self).await;
                return self.kit.problem(case.check, component, &resource, Some(row)).await;
            }
        }
        match &case.kind {
            Kind::Runbook => self.found(case).await,
            Kind::Action { component, .. } => self.kit.problem(&alone(place).0, component, component, None).await,
        }
    }

    async fn found(&self, case: &Case) -> Problem {
        let begin = Instant::now();
        loop {
            let planned = self.packs.plan(&self.state, "full", &[case.check.parse().unwrap()]).unwrap();
            let results = run(&self.checks.real, planned).await;
            for result in &results {
                assert_ne!(result.outcome, Outcome::Unknown, "{}: {:?}", case.check, result.unknown_cause);
            }
            let is_it = |seen: &&Observation| seen.resource.as_str().contains(case.about);
            let found = results.iter().find_map(|result| Some((result, result.observations.iter().find(is_it)?)));
            if let Some((result, seen)) = found {
                return self.kit.seen(result.key.check.clone(), result.key.component.clone(), seen.clone()).await;
            }
            assert!(begin.elapsed() < FOUND, "{} does not find {}: {results:?}", case.check, case.about);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn stop(self) {
        self.checks.real.close().await;
        self.lab.stop().await;
    }

    pub async fn sql(&self, statements: &[&str]) {
        let pool = self.lab.handle().dataset().await.unwrap();
        for statement in statements {
            sqlx::raw_sql(statement).execute(pool).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
}

/// One case alone, for whoever looks for a fault: the environment names it.
fn is_wanted(case: &Case) -> bool {
    std::env::var("CMDIAG_TEST_SAGA").map_or(true, |wanted| wanted == case.name)
}

/// What the lab plants is a moment old when it is looked for; what counts from a size on is small.
fn young_faults_count(state: &mut DeploymentState) {
    let lowered = [
        ("PG-BLOCKED-QUERY", "blocked_s", "0.001"),
        ("PG-IDLE-IN-TRANSACTION", "idle_s", "0.001"),
        ("PG-DUPLICATE-INDEX", "duplicate_mib", "~:-1"),
        ("PG-UNINDEXED-FOREIGN-KEY", "table_rows", "~:-1"),
    ];
    let overrides = Arc::make_mut(&mut state.overrides);
    for (check, threshold, warning) in lowered {
        let given = ThresholdOverride { warning: Some(warning.to_owned()), critical: None };
        let of_check: &mut BTreeMap<_, _> = overrides.entry(check.parse().unwrap()).or_default();
        of_check.insert(threshold.to_owned(), given);
    }
}

/// Where the demo's actions play; and archives that give room.
fn settings_of_host(lab: &Lab, parts: Parts, folders: &mut Vec<tempfile::TempDir>) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut folder = |setting: &str, path: PathBuf| {
        std::fs::create_dir_all(&path).unwrap();
        settings.push((setting.to_owned(), path.display().to_string()));
    };
    folder("demo_folder", lab.handle().folders().root().join("demo"));
    if parts == Parts::OtherVolume {
        let other = tempfile::Builder::new().prefix("cmdiag-test-").tempdir_in("/dev/shm").unwrap();
        folder("archive_path", other.path().join("logs"));
        folder("temp_archive_path", other.path().join("temp"));
        folders.push(other);
    }
    settings
}
