//! A history to seal and to attack: a log with two keys, some streams, a sealer with a clock of its own.

use audit::keys::attest;
use audit::verify::live::verify_log;
use audit::{
    Keyring, Note, PublicKey, Report, Sealer, SealerHandle, SealerOptions, SealerState, Signer, VerifyOptions,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::audit_keys::{AuditKeys, AuditKeysEvent};
use domain::{Actor, CommandId, Metadata, Position, StreamVersion, TenantId};
use event_store::{
    Append, CommandRecord, EventLog, Expected, NewEvent, PostgresEventLog, PostgresLogOptions, StreamId,
};
use private_servers::testing::TestDatabase;
use serde_json::value::RawValue;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// No condition is waited for longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that is moved by hand.
#[derive(Clone)]
pub struct Clock(Arc<Mutex<DateTime<Utc>>>);

impl Clock {
    pub fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }
}

/// A log and its keys.
pub struct World {
    pub database: TestDatabase,
    pub pool: PgPool,
    pub log: Arc<PostgresEventLog>,
    pub folder: tempfile::TempDir,
    pub keyring: Keyring,
    pub clock: Clock,
}

impl World {
    /// An empty log, with a registered key.
    pub async fn new() -> Self {
        let world = Self::without_key().await;
        world.register().await;
        world
    }

    pub async fn without_key() -> Self {
        // An error says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(folder.path().join("keys"));
        let clock = Clock(Arc::new(Mutex::new(DateTime::UNIX_EPOCH + TimeDelta::seconds(1_767_600_000))));
        Self { database, pool, log, folder, keyring, clock }
    }

    /// Registers a new key as the first one.
    pub async fn register(&self) -> Signer {
        let signer = self.keyring.generate().unwrap();
        let key = signer.public();
        let event = AuditKeysEvent::SigningKeyRegistered {
            key_id: key.id(),
            public_key: key.to_hex(),
            proof: attest(&signer, None, &key),
            by: actor(),
            at: DateTime::UNIX_EPOCH,
        };
        self.key_event(0, &event).await;
        signer
    }

    /// Puts a new key in force, endorsed by the old one or not.
    pub async fn rotate(&self, version: i64, old: &Signer, endorse: bool) -> Signer {
        let signer = self.keyring.generate().unwrap();
        let (retired, key) = (old.public(), signer.public());
        let event = AuditKeysEvent::SigningKeyRotated {
            retired: retired.id(),
            key_id: key.id(),
            public_key: key.to_hex(),
            proof: attest(&signer, Some(&retired), &key),
            endorsement: endorse.then(|| attest(old, Some(&retired), &key)),
            by: actor(),
            reason: "a test".to_owned(),
            at: DateTime::UNIX_EPOCH,
        };
        self.key_event(version, &event).await;
        signer
    }

    async fn key_event(&self, version: i64, event: &AuditKeysEvent) {
        let stream = StreamId::new(domain::any_event::AUDIT_KEYS, &AuditKeys::id().to_string());
        let payload = serde_json::value::to_raw_value(event).unwrap();
        self.append_to(&stream, version, vec![(event.name().to_owned(), payload)]).await;
    }

    /// Appends `count` events to a stream that holds `version`.
    pub async fn append(&self, stream: &StreamId, version: i64, count: i64) -> Position {
        let payload =
            |n: i64| RawValue::from_string(format!(r#"{{"Happened": {{"n": {n},  "text": "ä x"}}}}"#)).unwrap();
        let events = (version + 1..=version + count).map(|n| ("Happened".to_owned(), payload(n)));
        self.append_to(stream, version, events.collect()).await
    }

    async fn append_to(&self, stream: &StreamId, version: i64, events: Vec<(String, Box<RawValue>)>) -> Position {
        let new_event = |(event_type, payload)| NewEvent {
            event_id: Uuid::now_v7(),
            event_type,
            event_version: "1".to_owned(),
            payload,
        };
        let append = Append {
            stream: stream.clone(),
            expected: Expected::Version(StreamVersion(version)),
            events: events.into_iter().map(new_event).collect(),
            metadata: Metadata::new(actor(), TenantId::default(), CommandId(Uuid::now_v7())),
            command: CommandRecord { name: "do_something".to_owned(), body_hash: [1; 32] },
        };
        self.log.append(append).await.unwrap().position
    }

    /// Some streams, one event a turn each: so that streams lie interleaved.
    pub async fn tell(&self, streams: usize, turns: i64) -> Vec<StreamId> {
        let streams: Vec<StreamId> = (0..streams).map(|_| new_stream()).collect();
        for turn in 0..turns {
            for stream in &streams {
                self.append(stream, turn, 1).await;
            }
        }
        streams
    }

    pub fn options(&self) -> SealerOptions {
        let clock = self.clock.clone();
        SealerOptions {
            look_every: Duration::from_millis(20),
            pace: Duration::from_millis(1),
            fault_every: Duration::from_millis(50),
            checkpoint_events: 1_000_000,
            now: Arc::new(move || *clock.0.lock().unwrap()),
            ..SealerOptions::default()
        }
    }

    pub fn start(&self, options: SealerOptions) -> Running {
        let cancel = CancellationToken::new();
        let handle = Sealer::start(self.pool.clone(), self.log.newest(), self.keyring.clone(), options, cancel.clone());
        Running { handle, cancel }
    }

    /// Seals all there is, and signs it.
    pub async fn seal(&self) {
        let running = self.start(self.options());
        running.reaches(self.log.head().await.unwrap()).await;
        running.stop().await;
    }

    /// A sealed history of about `turns` checkpoints, ten events each, and its key.
    pub async fn sealed(turns: i64) -> (Self, Signer) {
        let world = Self::without_key().await;
        let signer = world.register().await;
        let streams: Vec<StreamId> = (0..5).map(|_| new_stream()).collect();
        for turn in 0..turns {
            for stream in &streams {
                world.append(stream, 2 * turn, 2).await;
            }
            world.seal().await;
        }
        (world, signer)
    }

    pub async fn verify(&self) -> Report {
        self.verify_with(VerifyOptions::default()).await
    }

    pub async fn verify_with(&self, options: VerifyOptions) -> Report {
        verify_log(&self.pool, &options, |_, _| {}).await.unwrap()
    }

    /// A connection as the owner of the tables, with their triggers switched off: whoever has this can write anything.
    pub async fn owner(&self) -> PgConnection {
        let mut owner = PgConnection::connect(self.database.url()).await.unwrap();
        for table in ["events", "audit_seals", "audit_nodes", "audit_checkpoints", "audit_log"] {
            owner.execute(format!("ALTER TABLE cmdiag.{table} DISABLE TRIGGER ALL").as_str()).await.unwrap();
        }
        owner
    }

    /// All checkpoints so far, as if they had been published.
    pub async fn published(&self) -> Vec<Note> {
        let notes = audit::store::notes_after(&self.pool, 0, 1_000).await.unwrap();
        notes.iter().map(|(_, text)| Note::parse(text).unwrap()).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub fn pinned(keys: &[PublicKey]) -> VerifyOptions {
    VerifyOptions { pinned: keys.to_vec(), ..VerifyOptions::default() }
}

pub fn new_stream() -> StreamId {
    StreamId::new("Thing", &Uuid::now_v7().to_string())
}

pub fn actor() -> Actor {
    Actor::new("tester").unwrap()
}

/// A sealer at work.
pub struct Running {
    pub handle: SealerHandle,
    cancel: CancellationToken,
}

impl Running {
    pub async fn reaches(&self, position: Position) {
        let mut at = self.handle.position();
        let reached = tokio::time::timeout(PATIENCE, at.wait_for(|at| *at >= position)).await;
        reached.unwrap_or_else(|_| panic!("not sealed up to {position}: {:?}", self.handle.status().borrow())).unwrap();
    }

    /// Waits until it says that it can not go on; why.
    pub async fn fails(&self) -> String {
        let mut status = self.handle.status();
        let failed = |status: &audit::SealerStatus| matches!(status.state, SealerState::Failed(_));
        let failed = tokio::time::timeout(PATIENCE, status.wait_for(failed)).await.expect("it fails").unwrap();
        format!("{:?}", failed.state)
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(PATIENCE, self.handle.stopped()).await.expect("the sealer stops");
    }
}
