//! A served API with its own database, and the sample data that the tests ask it for.

use api::catalogue::{CheckCatalogue, CheckInfo, ThresholdInfo};
use api::{ApiOptions, ApiParts, ApiState};
use command_side::{BusOptions, CommandBus, Executed, SystemClock};
use domain::deployment::{Deployment, DeploymentCommand};
use domain::diagnostic_run::{DiagnosticRun, PlannedCheck, Priority, RunCommand};
use domain::finding::{Finding, FindingCommand, Fingerprint, Hysteresis, Sighting};
use domain::{Actor, CommandId, Decider, DeploymentId, FindingId, Metadata, Outcome, Position, RunId, TenantId};
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions};
use private_servers::testing::TestDatabase;
use projections::Runner;
use query_side::{Cache, CacheOptions, Queries, Watches};
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::postgres::PgPoolOptions;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vault::{MasterKey, Vault};

pub struct Api {
    pub address: SocketAddr,
    pub bus: CommandBus,
    pub log: Arc<dyn EventLog>,
    pub http: reqwest::Client,
    /// What it asks; with the answers that it keeps.
    pub queries: Queries,
    feed: Arc<LiveFeed>,
    watches: Watches,
    cancel: CancellationToken,
    _database: Option<TestDatabase>,
}

/// Ends with its test; the database goes with it.
impl Drop for Api {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Serves on a free port until it is cancelled.
async fn serve(parts: ApiParts) -> SocketAddr {
    let ending = parts.cancel.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = api::router(ApiState::new(parts));
    tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(async move { ending.cancelled().await }).await.unwrap();
    });
    address
}

struct Catalogue;

impl CheckCatalogue for Catalogue {
    fn checks(&self) -> Vec<CheckInfo> {
        let threshold = ThresholdInfo {
            name: "used_percent".to_owned(),
            warning: Some("80".to_owned()),
            critical: Some("95".to_owned()),
            unit: Some("%".to_owned()),
        };
        let check = |code: &str, pack: &str| CheckInfo {
            code: code.to_owned(),
            title: format!("{code}'s title"),
            pack: pack.to_owned(),
            profiles: vec!["full".to_owned()],
            reversible: "yes".to_owned(),
            thresholds: vec![threshold.clone()],
            ..CheckInfo::default()
        };
        vec![check("CM-STORE-NEAR-CAPACITY", "content-manager"), check("PG-DEAD-TUPLES", "postgresql")]
    }
}

impl Api {
    pub async fn start() -> Self {
        Self::with(ApiOptions::default()).await
    }

    pub async fn with(options: ApiOptions) -> Self {
        let database = TestDatabase::migrated().await;
        let url = database.url().to_owned();
        Self::on(&url, options, Some(database)).await
    }

    /// Nothing fills the views.
    pub async fn without_projections(database: TestDatabase) -> Self {
        let url = database.url().to_owned();
        Self::over(&url, ApiOptions::default(), Some(database), Vec::new(), None).await
    }

    /// On a given, migrated database.
    pub async fn on(url: &str, options: ApiOptions, database: Option<TestDatabase>) -> Self {
        Self::over(url, options, database, projections::all(), None).await
    }

    /// Names are sealed, by the same master key each time.
    pub async fn sealed(url: &str, options: ApiOptions) -> Self {
        let master = MasterKey::new(&[5; 32]).unwrap();
        Self::over(url, options, None, projections::all(), Some(master)).await
    }

    async fn over(
        url: &str,
        options: ApiOptions,
        database: Option<TestDatabase>,
        views: Vec<Box<dyn projections::Projection>>,
        master: Option<MasterKey>,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cancel = CancellationToken::new();
        let connect = migrations::connect_options(url).unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(3))
            .connect_with(connect.clone())
            .await
            .unwrap();
        // Only the statements of queries are logged as information: a test counts them.
        let counted = connect.log_statements("info".parse().unwrap());
        let asking = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(2))
            .connect_with(counted)
            .await
            .unwrap();
        let log: Arc<dyn EventLog> =
            PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await.unwrap();
        let feed = LiveFeed::start(Arc::clone(&log), cancel.clone());
        let runners = Runner::start_all(&pool, &feed, views, &projections::RunnerOptions::default(), &cancel);
        let watches: Watches = runners.iter().map(|runner| (runner.name().to_owned(), runner.position())).collect();
        let cache = Cache::start(CacheOptions::default(), asking.clone(), Arc::clone(&log), Arc::clone(&feed), &cancel);
        let queries = Queries::new(asking, cache).with_log(Arc::clone(&log)).with_watches(watches.clone());
        let vault = Vault::connect(pool.clone(), master).await.unwrap();
        vault.follow(Arc::clone(&feed), cancel.clone());
        let bus = CommandBus::new(Arc::clone(&log), BusOptions { vault, ..BusOptions::default() });
        let parts = ApiParts {
            bus: Arc::new(bus.clone()),
            queries: queries.clone(),
            feed: Arc::clone(&feed),
            health: Vec::new(),
            metrics: Vec::new(),
            catalogue: Arc::new(Catalogue),
            clock: Arc::new(SystemClock),
            tenant: TenantId::default(),
            options,
            cancel: cancel.clone(),
        };
        let address = serve(parts).await;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        Self { address, bus, log, http, queries, feed, watches, cancel, _database: database }
    }

    /// Another API over the same data, for a tenant and with these queries.
    pub async fn beside(&self, tenant: TenantId, queries: Queries) -> Self {
        let cancel = self.cancel.child_token();
        let parts = ApiParts {
            bus: Arc::new(self.bus.clone()),
            queries: queries.clone(),
            feed: Arc::clone(&self.feed),
            health: Vec::new(),
            metrics: Vec::new(),
            catalogue: Arc::new(Catalogue),
            clock: Arc::new(SystemClock),
            tenant,
            options: ApiOptions::default(),
            cancel: cancel.clone(),
        };
        Self {
            address: serve(parts).await,
            bus: self.bus.clone(),
            log: Arc::clone(&self.log),
            http: self.http.clone(),
            queries,
            feed: Arc::clone(&self.feed),
            watches: self.watches.clone(),
            cancel,
            _database: None,
        }
    }

    /// The same data without any cache.
    pub fn uncached(&self) -> Queries {
        Queries::new(self.queries.pool().clone(), Cache::off())
            .with_log(Arc::clone(&self.log))
            .with_watches(self.watches.clone())
    }

    /// Waits until every projection has what was written up to now.
    pub async fn projected(&self) {
        let head = self.head().await;
        for (name, watch) in &self.watches {
            let mut watch = watch.clone();
            let reached = tokio::time::timeout(Duration::from_secs(20), watch.wait_for(|at| *at >= head)).await;
            assert!(matches!(reached, Ok(Ok(_))), "{name} has not reached {head} within 20 s");
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The server ends its streams.
    pub fn go_away(&self) {
        self.cancel.cancel();
    }

    /// The whole answer of a document.
    pub async fn answer(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let request = self.http.post(self.url("/graphql")).json(&body);
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The data of a document that must succeed.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.answer(query, variables).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        answer["data"].take()
    }

    /// The code of the first error of a document that must fail.
    pub async fn code(&self, query: &str, variables: Value) -> String {
        let answer = self.answer(query, variables).await;
        answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{answer:#}")).to_owned()
    }

    pub async fn send<D: Decider>(&self, id: Uuid, command: D::Command) -> Executed<D::Event> {
        self.bus.execute::<D>(id, command, Self::metadata()).await.unwrap()
    }

    /// Of a new command.
    pub fn metadata() -> Metadata {
        Metadata::new(Actor::new("system:test").unwrap(), TenantId::default(), CommandId(Uuid::now_v7()))
    }

    pub async fn deployment(&self, name: &str) -> DeploymentId {
        let id = Uuid::now_v7();
        let command = DeploymentCommand::Register {
            name: name.to_owned(),
            product_version: "10.1".to_owned(),
            is_double: true,
            labels: BTreeMap::new(),
            components: vec![domain::testing::component()],
        };
        self.send::<Deployment>(id, command).await;
        DeploymentId(id)
    }

    /// A run of `checks` sample checks, planned and started.
    pub async fn run(&self, deployment: DeploymentId, checks: u32) -> RunId {
        let run = RunId(Uuid::now_v7());
        let command = RunCommand::Request {
            run,
            deployment,
            profile: "full".to_owned(),
            checks: Vec::new(),
            priority: Priority::High,
            deadline: chrono::Utc::now() + chrono::TimeDelta::hours(1),
        };
        self.send::<DiagnosticRun>(run.0, command).await;
        let checks: Vec<PlannedCheck> = (0..checks).map(domain::testing::planned_check).collect();
        self.send::<DiagnosticRun>(run.0, RunCommand::Plan { checks }).await;
        run
    }

    /// The result of one of the run's checks.
    pub async fn result(&self, run: RunId, number: u32, outcome: Outcome) -> Position {
        let results = vec![domain::testing::check_result(number, outcome)];
        self.send::<DiagnosticRun>(run.0, RunCommand::RecordResults { results }).await.position
    }

    /// A run sees a resource good or bad.
    pub async fn sighting(&self, deployment: DeploymentId, run: RunId, resource: &str, outcome: Outcome) -> FindingId {
        let check = domain::testing::check("CM-FILE-MISSING");
        let resource = resource.parse().unwrap();
        let id = FindingId::of(deployment, &check, &resource);
        let fingerprint = Fingerprint { deployment, check, resource };
        let sample = match outcome {
            Outcome::Ok => domain::testing::ok_sighting(1),
            outcome => domain::testing::sighting(1, outcome),
        };
        let sighting = Sighting { run, measured_at: chrono::Utc::now(), ..sample };
        let command = FindingCommand::Observe { fingerprint, sighting, hysteresis: Hysteresis::default() };
        self.send::<Finding>(id.0, command).await;
        id
    }

    /// The end of the log.
    pub async fn head(&self) -> Position {
        self.log.head().await.unwrap()
    }
}

/// Waits for a condition, bounded.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
