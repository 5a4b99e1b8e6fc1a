//! People's names: sealed before anything is decided or recorded, and erased once, whatever breaks on the way.

use crate::stage::{Stage, caught_up, eventually};
use crate::support::{new_run, plan, refusal, request};
use command_side::testing::metadata;
use command_side::{BusOptions, CommandBus, ProcessManagers, erase};
use domain::diagnostic_run::DiagnosticRun;
use domain::remediation::{Remediation, RemediationCommand};
use domain::subject::{Subject, SubjectCommand, SubjectPhase};
use domain::{Actor, CommandId, Metadata, SubjectId, TenantId};
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions};
use sqlx::PgPool;
use std::sync::Arc;
use uuid::Uuid;
use vault::{MasterKey, Vault};

const NAME: &str = "mara@example.org";

struct Sealed {
    stage: Stage,
    bus: CommandBus,
    log: Arc<dyn EventLog>,
    vault: Vault,
}

impl Sealed {
    async fn new() -> Self {
        let stage = Stage::on_postgres().await;
        let log: Arc<dyn EventLog> =
            PostgresEventLog::connect(stage.pool.clone(), PostgresLogOptions::default()).await.expect("it connects");
        let vault = vault(&stage.pool).await;
        let options = BusOptions { vault: vault.clone(), ..BusOptions::default() };
        let bus = CommandBus::new(Arc::clone(&log), options);
        Self { stage, bus, log, vault }
    }

    /// Requests a run in somebody's name.
    async fn act(&self, name: &str) -> Metadata {
        let run = new_run();
        let metadata = by(name);
        self.bus.execute::<DiagnosticRun>(run.0, request(run), metadata.clone()).await.expect("it is new");
        metadata
    }

    async fn subject(&self, name: &str) -> SubjectId {
        self.vault.find(&TenantId::default(), name).await.expect("it answers").expect("they acted")
    }

    async fn open(&self, text: &str) -> String {
        self.vault.open(&TenantId::default(), text).await.expect("it answers").into_owned()
    }

    /// Whether a text stands anywhere in the log, the command log or the keys.
    async fn holds(&self, text: &str) -> bool {
        let found: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM cmdiag.events AS e WHERE e::text ILIKE '%' || $1 || '%')
                OR EXISTS (SELECT FROM cmdiag.commands AS c WHERE c::text ILIKE '%' || $1 || '%')
                OR EXISTS (SELECT FROM cmdiag.subjects AS s WHERE s::text ILIKE '%' || $1 || '%')",
        )
        .bind(text)
        .fetch_one(&self.stage.pool)
        .await
        .expect("the database answers");
        found
    }

    async fn phase(&self, subject: SubjectId) -> SubjectPhase {
        self.bus.load::<Subject>(subject.0).await.expect("the log answers").0.phase
    }

    fn managers(&self) -> ProcessManagers {
        self.stage.start_with(&self.bus)
    }
}

async fn vault(pool: &PgPool) -> Vault {
    let master = MasterKey::new(&[7; 32]).expect("a key");
    Vault::connect(pool.clone(), Some(master)).await.expect("it connects")
}

fn by(name: &str) -> Metadata {
    Metadata::new(Actor::new(name).expect("a name"), TenantId::default(), CommandId(Uuid::now_v7()))
}

async fn stored(pool: &PgPool) -> Vec<(i64, String, String)> {
    sqlx::query_as("SELECT position, payload::text, metadata::text FROM cmdiag.events ORDER BY position")
        .fetch_all(pool)
        .await
        .expect("the database answers")
}

#[tokio::test]
async fn a_name_goes_no_further_than_the_bus() {
    let sealed = Sealed::new().await;
    let metadata = sealed.act(NAME).await;
    let run = new_run();
    let refused = sealed.bus.execute::<DiagnosticRun>(run.0, plan(1), by(NAME)).await;
    assert_eq!(refusal(refused), "run_unknown");
    let delegate =
        RemediationCommand::Delegate { to: Actor::new("ben@example.org").expect("a name"), comment: String::new() };
    let refused = sealed.bus.execute::<Remediation>(Uuid::now_v7(), delegate, by(NAME)).await;
    assert_eq!(refusal(refused), "remediation_unknown");
    assert!(!sealed.holds("mara").await && !sealed.holds("ben@").await);
    let events = sealed.log.read_all(domain::Position(0), 10).await.expect("it answers");
    let event = events.iter().find(|event| event.metadata.command_id == metadata.command_id).expect("it is there");
    assert_eq!(sealed.open(event.metadata.actor.as_str()).await, NAME);
}

#[tokio::test]
async fn one_is_erased_and_the_other_stays() {
    let sealed = Sealed::new().await;
    sealed.act(NAME).await;
    sealed.act("ben@example.org").await;
    let before = stored(&sealed.stage.pool).await;
    let subject = sealed.subject(NAME).await;
    let erased = erase(&sealed.bus, &sealed.stage.pool, subject, "left the house".to_owned(), by("ben@example.org"))
        .await
        .expect("it is done")
        .expect("there is one");
    let again = erase(&sealed.bus, &sealed.stage.pool, subject, "twice".to_owned(), by("ben@example.org")).await;
    assert_eq!(again.expect("it is done"), Some(erased.clone()), "the first time counts");
    let after = stored(&sealed.stage.pool).await;
    assert_eq!(after[..before.len()], before[..], "not a byte of what was recorded has changed");
    assert_eq!(after.len(), before.len() + 2, "asked for once, recorded once");
    let mut names = Vec::new();
    for event in sealed.log.read_all(domain::Position(0), 100).await.expect("it answers") {
        names.push(sealed.open(event.metadata.actor.as_str()).await);
    }
    assert!(names.contains(&format!("erased:{subject}")) && names.contains(&"ben@example.org".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("mara")), "{names:?}");
}

#[tokio::test]
async fn nobody_who_is_not_there_is_erased() {
    let sealed = Sealed::new().await;
    let nobody = SubjectId(Uuid::new_v4());
    let erased = erase(&sealed.bus, &sealed.stage.pool, nobody, "why not".to_owned(), by(NAME)).await;
    assert_eq!(erased.expect("it answers"), None);
    assert_eq!(sealed.phase(nobody).await, SubjectPhase::Known);
}

#[tokio::test]
async fn a_crash_after_the_request_is_made_good() {
    let sealed = Sealed::new().await;
    sealed.act(NAME).await;
    let subject = sealed.subject(NAME).await;
    let request = SubjectCommand::RequestErasure { reason: "left the house".to_owned() };
    sealed.bus.execute::<Subject>(subject.0, request, metadata()).await.expect("it is asked for");
    let managers = sealed.managers();
    eventually("it is erased", || async { sealed.phase(subject).await == SubjectPhase::Erased }).await;
    assert_eq!(sealed.vault.find(&TenantId::default(), NAME).await.expect("it answers"), None);
    managers.stop().await;
}

#[tokio::test]
async fn a_crash_between_the_destruction_and_its_record_is_made_good_and_recorded_once() {
    let sealed = Sealed::new().await;
    sealed.act(NAME).await;
    let subject = sealed.subject(NAME).await;
    let request = SubjectCommand::RequestErasure { reason: "left the house".to_owned() };
    sealed.bus.execute::<Subject>(subject.0, request, metadata()).await.expect("it is asked for");
    let destroyed = vault::erasure::destroy(&sealed.stage.pool, &TenantId::default(), subject)
        .await
        .expect("it answers")
        .expect("one");
    let managers = sealed.managers();
    eventually("it is erased", || async { sealed.phase(subject).await == SubjectPhase::Erased }).await;
    let (state, version) = sealed.bus.load::<Subject>(subject.0).await.expect("the log answers");
    assert_eq!(state.key_fingerprint, Some(destroyed.key_fingerprint));
    caught_up(&managers, sealed.log.head().await.expect("it answers")).await;
    let again = erase(&sealed.bus, &sealed.stage.pool, subject, "again".to_owned(), metadata()).await;
    again.expect("it is done").expect("there is one");
    // The stream's own version: other processes may write of the run meanwhile.
    let (_, after) = sealed.bus.load::<Subject>(subject.0).await.expect("the log answers");
    assert_eq!(after, version, "there is nothing more to record");
    managers.stop().await;
}

#[tokio::test]
async fn other_processes_hear_of_it() {
    let sealed = Sealed::new().await;
    let metadata = sealed.act(NAME).await;
    let other = vault(&sealed.stage.pool).await;
    let feed = LiveFeed::start(Arc::clone(&sealed.log), sealed.stage.cancel.clone());
    other.follow(feed, sealed.stage.cancel.clone());
    let events = sealed.log.read_all(domain::Position(0), 10).await.expect("it answers");
    let event = events.iter().find(|event| event.metadata.command_id == metadata.command_id).expect("it is there");
    let actor = event.metadata.actor.to_string();
    let opened = || async { other.open(&TenantId::default(), &actor).await.expect("it answers").into_owned() };
    eventually("it is known", || async { opened().await == NAME }).await;
    let subject = sealed.subject(NAME).await;
    erase(&sealed.bus, &sealed.stage.pool, subject, "left the house".to_owned(), by("ben")).await.expect("it is done");
    eventually("it is forgotten", || async { opened().await == format!("erased:{subject}") }).await;
}

#[tokio::test]
async fn nobody_acts_under_a_made_up_sealed_name() {
    let sealed = Sealed::new().await;
    let run = new_run();
    let made_up =
        by("sealed:0198c0de-0000-7000-8000-000000000001.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.");
    let refused = sealed.bus.execute::<DiagnosticRun>(run.0, request(run), made_up.clone()).await;
    assert_eq!(refusal(refused), "name_not_sealed_here");
    let refused = sealed.stage.bus.execute::<DiagnosticRun>(run.0, request(run), made_up).await;
    assert_eq!(refusal(refused), "name_not_sealed_here");
}

#[tokio::test]
async fn what_was_recorded_openly_is_read_as_before() {
    let sealed = Sealed::new().await;
    // The stage's own bus knows of no vault.
    let run = new_run();
    sealed.stage.bus.execute::<DiagnosticRun>(run.0, request(run), metadata()).await.expect("it is new");
    let events = sealed.log.read_all(domain::Position(0), 10).await.expect("it answers");
    let actor = events.last().expect("there is one").metadata.actor.to_string();
    assert_eq!(sealed.open(&actor).await, "operator@example.org");
    assert_eq!(sealed.vault.openly_named(&TenantId::default(), "Operator@Example.ORG").await, Ok(2));
}
