//! Filling a view anew beside the one that is served, comparing the two, and exchanging them.

use crate::support::{Dump, Running, assert_same, quick, replayed, story};
use domain::{Position, TenantId};
use event_store::EventLog;
use private_servers::testing::TestDatabase;
use projections::rebuild::{
    RebuildError, Recorder, compare, drop_shadow, exchange, fill, projection_named, states, unrecorded,
};
use projections::testing::{MemoryLog, dump};
use projections::{Place, Projection, ReplayOptions, replay};
use sqlx::{Executor, PgPool};
use std::sync::Arc;

struct Stage {
    _database: TestDatabase,
    pool: PgPool,
    log: Arc<MemoryLog>,
}

impl Stage {
    /// Views that hold a story of so many events.
    async fn new(seed: u64, events: usize) -> Self {
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        let log = MemoryLog::new();
        log.push(story(seed, events));
        let stage = Self { _database: database, pool, log };
        replay(&stage.pool, stage.log(), projections::all(), &ReplayOptions::default()).await.unwrap();
        stage
    }

    fn log(&self) -> Arc<dyn EventLog> {
        Arc::clone(&self.log) as Arc<dyn EventLog>
    }

    async fn fill(&self, anew: bool) {
        fill(&self.pool, &self.log(), &projections::all, anew, &ReplayOptions::default()).await.unwrap();
    }

    async fn exchange(&self, name: &str, place: Place) -> Result<projections::rebuild::Exchanged, RebuildError> {
        let by = Recorder { actor: "ann".parse().unwrap(), tenant: TenantId::default() };
        exchange(&self.pool, &self.log(), &|| projection_named(name).into_iter().collect(), place, &by).await
    }

    async fn sql(&self, sql: &str) {
        self.pool.execute(sql).await.unwrap();
    }

    async fn served(&self) -> Dump {
        dump(&self.pool).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_version_filled_anew_does_not_differ() {
    let stage = Stage::new(21, 1_500).await;
    let before = stage.served().await;
    stage.fill(false).await;
    for projection in projections::all() {
        let found = compare(&stage.pool, projection.as_ref(), Place::Shadow, 10).await.unwrap();
        assert!(found.is_empty(), "{found:#?}");
        assert_eq!((found.served.1, found.other.1), (1_500, 1_500));
        let rows: i64 = found.tables.iter().map(|table| table.rows_served).sum();
        let left_out: i64 = found.tables.iter().map(|table| table.left_out).sum();
        assert!(left_out == 0 && (rows > 0 || projection.name() == "emergency_stops"), "{found:#?}");
    }
    assert_same(&stage.served().await, &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_difference_is_named() {
    let stage = Stage::new(22, 900).await;
    stage.fill(false).await;
    stage.sql("UPDATE cmdiag.view_runs SET profile = 'planted' WHERE id = (SELECT min(id::text)::uuid FROM cmdiag.view_runs)").await;
    stage.sql("DELETE FROM cmdiag.view_runs WHERE id = (SELECT max(id::text)::uuid FROM cmdiag.view_runs)").await;
    stage.sql("INSERT INTO cmdiag.view_daily_findings SELECT gen_random_uuid(), deployment_id, check_code, severity, open, \
        suspected_at, 1, 1 FROM cmdiag.view_daily_findings LIMIT 1").await;
    stage.sql("ALTER TABLE cmdiag_shadow.view_runs ADD COLUMN added integer").await;
    let runs = compare(&stage.pool, projection_named("runs").unwrap().as_ref(), Place::Shadow, 10).await.unwrap();
    let table = &runs.tables[0];
    assert_eq!((table.only_served, table.only_other, table.differing), (0, 1, 1), "{table:#?}");
    assert_eq!((table.rows_other - table.rows_served, &table.columns_only_other[..]), (1, &["added".to_owned()][..]));
    let planted = table.first.iter().find(|row| row.found_in == "both").unwrap();
    assert_eq!(planted.columns.as_object().unwrap().keys().collect::<Vec<_>>(), ["profile"]);
    assert_eq!(planted.columns["profile"][0], "planted");
    assert!(planted.key["id"].is_string());
    let daily = projection_named("daily_figures").unwrap();
    let found = compare(&stage.pool, daily.as_ref(), Place::Shadow, 1).await.unwrap();
    let table = found.tables.iter().find(|table| table.table == "view_daily_findings").unwrap();
    assert_eq!((table.only_served, table.only_other, table.differing), (1, 0, 0), "{table:#?}");
    assert_eq!((table.first.len(), table.first[0].found_in.as_str()), (1, "served"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exchange_keeps_definitions_readers_and_sql_views_and_goes_back() {
    let stage = Stage::new(23, 800).await;
    let shape = "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (\
        SELECT indexdef AS line FROM pg_indexes WHERE schemaname = 'cmdiag' AND tablename = 'view_runs' UNION ALL \
        SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'cmdiag.view_runs'::regclass \
        UNION ALL SELECT reloptions::text || relacl::text FROM pg_class WHERE oid = 'cmdiag.view_runs'::regclass) s";
    let before: String = sqlx::query_scalar(shape).fetch_one(&stage.pool).await.unwrap();
    stage.sql("CREATE VIEW public.analysts_runs WITH (security_barrier = true) AS SELECT id, profile FROM cmdiag.view_runs").await;
    let mut reader = stage.pool.acquire().await.unwrap();
    let count = "SELECT count(*) FROM view_runs WHERE profile = $1";
    let ask = async |reader: &mut sqlx::PgConnection, profile: &str| -> i64 {
        sqlx::query_scalar(count).bind(profile).fetch_one(reader).await.unwrap()
    };
    assert_eq!(ask(&mut reader, "old").await, 0);
    stage.fill(false).await;
    stage.sql("UPDATE cmdiag.view_runs SET profile = 'old'").await;
    let rows = ask(&mut reader, "old").await;
    assert!(rows > 0);
    let done = stage.exchange("runs", Place::Shadow).await.unwrap();
    assert_eq!((done.served.position, done.before.position, done.back), (Position(800), Position(800), false));
    // The same prepared statement, and the SQL view, read the new table.
    assert_eq!(ask(&mut reader, "old").await, 0);
    let seen = "SELECT count(*) FROM public.analysts_runs WHERE profile = 'old'";
    assert_eq!(sqlx::query_scalar::<_, i64>(seen).fetch_one(&stage.pool).await.unwrap(), 0);
    assert_eq!(sqlx::query_scalar::<_, String>(shape).fetch_one(&stage.pool).await.unwrap(), before);
    assert_eq!(unrecorded(&stage.pool).await.unwrap().len(), 1);
    // Back, and there again.
    assert!(stage.exchange("runs", Place::Previous).await.unwrap().back);
    assert_eq!(ask(&mut reader, "old").await, rows);
    stage.exchange("runs", Place::Previous).await.unwrap();
    assert_eq!(ask(&mut reader, "old").await, 0);
    assert_eq!(sqlx::query_scalar::<_, String>(shape).fetch_one(&stage.pool).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_served_view_is_followed_meanwhile_and_a_runner_goes_on_after_the_exchange() {
    let events = story(24, 3_000);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events[..1_000].to_vec());
    let stage = Stage { _database: database, pool, log };
    let running = Running::start(&stage.pool, &stage.log, &quick());
    running.reached(1_000).await;
    stage.fill(false).await;
    stage.log.push(events[1_000..2_000].to_vec());
    for projection in projections::all() {
        stage.exchange(projection.name(), Place::Shadow).await.unwrap();
    }
    stage.log.push(events[2_000..].to_vec());
    running.reached(3_000).await;
    running.stop().await;
    assert_same(&stage.served().await, &replayed(&events).await);
    // What was served before has stopped where it was left, and is brought up to date on the way back.
    stage.exchange("findings", Place::Previous).await.unwrap();
    assert_same(&stage.served().await, &replayed(&events).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_filled_so_far_is_taken_up_again_or_thrown_away() {
    let stage = Stage::new(25, 1_000).await;
    let before = stage.served().await;
    let half = ReplayOptions { until: Some(Position(500)), ..ReplayOptions::default() };
    fill(&stage.pool, &stage.log(), &projections::all, false, &half).await.unwrap();
    let shadow =
        |states: Vec<projections::rebuild::ViewState>| states.into_iter().map(|one| one.shadow).collect::<Vec<_>>();
    let found = shadow(states(&stage.pool, Position(1_000)).await.unwrap());
    assert!(found.iter().all(|one| one.as_ref().is_some_and(|one| one.position == 500)), "{found:?}");
    stage.sql("UPDATE cmdiag_shadow.view_runs SET profile = 'kept'").await;
    stage.fill(false).await;
    let kept = "SELECT count(*) FROM cmdiag_shadow.view_runs WHERE profile = 'kept'";
    assert!(sqlx::query_scalar::<_, i64>(kept).fetch_one(&stage.pool).await.unwrap() > 0);
    stage.fill(true).await;
    assert_eq!(sqlx::query_scalar::<_, i64>(kept).fetch_one(&stage.pool).await.unwrap(), 0);
    let runs = projection_named("runs").unwrap();
    drop_shadow(&stage.pool, runs.as_ref()).await.unwrap();
    assert!(matches!(stage.exchange("runs", Place::Shadow).await, Err(RebuildError::NoFilling { .. })));
    assert_same(&stage.served().await, &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_or_of_another_version_is_not_served() {
    let stage = Stage::new(26, 300).await;
    stage.fill(false).await;
    stage.sql("UPDATE cmdiag_shadow.projection_checkpoints SET is_whole = false WHERE name = 'runs'").await;
    stage.sql("UPDATE cmdiag_shadow.projection_checkpoints SET version = 9 WHERE name = 'findings'").await;
    assert!(matches!(stage.exchange("runs", Place::Shadow).await, Err(RebuildError::NotWhole(_))));
    let other = stage.exchange("findings", Place::Shadow).await;
    assert!(matches!(other, Err(RebuildError::OtherVersion { found: 9, .. })));
    assert!(matches!(stage.exchange("runs", Place::Previous).await, Err(RebuildError::NoFilling { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_is_filled_while_the_older_one_serves() {
    let stage = Stage::new(27, 900).await;
    // As an older program left it.
    stage.sql("UPDATE cmdiag.projection_checkpoints SET version = 0 WHERE name = 'runs'").await;
    stage.sql("UPDATE cmdiag.view_runs SET profile = 'old'").await;
    let running = Running::start(&stage.pool, &stage.log, &quick());
    running.reached(900).await;
    running.stop().await;
    let of = |schema: &str| format!("SELECT count(*) FROM {schema}.view_runs WHERE profile = 'old'");
    let old: i64 = sqlx::query_scalar(&of("cmdiag_previous")).fetch_one(&stage.pool).await.unwrap();
    assert!(old > 0, "it was not emptied");
    assert_eq!(sqlx::query_scalar::<_, i64>(&of("cmdiag")).fetch_one(&stage.pool).await.unwrap(), 0);
    assert_same(&stage.served().await, &replayed(&story(27, 900)).await);
}

/// The running role owns no table: it exchanges views through functions that take nothing but views.
#[tokio::test(flavor = "multi_thread")]
async fn the_running_role_can_rebuild_views_and_nothing_else() {
    let stage = Stage::new(28, 400).await;
    let mut db = stage.pool.acquire().await.unwrap();
    db.execute("SET ROLE cmdiag_app").await.unwrap();
    db.execute("SELECT cmdiag.make_shadow('runs', ARRAY['view_runs'], 1)").await.unwrap();
    db.execute("SELECT cmdiag.index_shadow('runs', ARRAY['view_runs'])").await.unwrap();
    db.execute("SELECT cmdiag.exchange_view('runs', ARRAY['view_runs'], false)").await.unwrap();
    db.execute("INSERT INTO cmdiag_previous.view_runs SELECT * FROM cmdiag.view_runs").await.unwrap();
    for refused in [
        "SELECT cmdiag.make_shadow('runs', ARRAY['events'], 1)",
        "SELECT cmdiag.exchange_view('runs', ARRAY['view_runs', 'commands'], false)",
        "SELECT cmdiag.drop_filling('cmdiag', 'runs', ARRAY['view_runs'])",
        "SELECT cmdiag.move_view('cmdiag', 'cmdiag_shadow', ARRAY['view_runs'])",
        "DROP TABLE cmdiag_previous.view_runs",
        "CREATE TABLE cmdiag_shadow.mine (n integer)",
    ] {
        assert!(db.execute(refused).await.is_err(), "{refused}");
    }
    db.execute("RESET ROLE").await.unwrap();
    let projection: Box<dyn Projection> = projection_named("runs").unwrap();
    assert_eq!(projection.tables(), ["view_runs"]);
}
