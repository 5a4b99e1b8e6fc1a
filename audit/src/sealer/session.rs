//! Sealing on one connection, from the newest seal on, until something is in the way.

use super::batch::Batch;
use super::status::{NewestCheckpoint, Reporter, SealerState};
use super::{Halt, SealerOptions};
use crate::chain::RecentHeads;
use crate::keys::KeyHistory;
use crate::merkle::Frontier;
use crate::signing::{Checkpoint, Keyring, Note, Signer};
use crate::{AuditError, store, tree};
use chrono::{DateTime, TimeDelta, Utc};
use domain::Position;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The advisory lock of the one sealer: "cmda", "seal".
const LOCK: (i32, i32) = (0x636d_6461, 0x7365_616c);
/// Heads of streams that are kept, twice: about 10 MB.
const HEADS: usize = 65_536;
/// The last batch and checkpoint of a process that ends may take this long.
const LAST: Duration = Duration::from_secs(5);

pub(super) struct Session<'a> {
    db: PgConnection,
    options: &'a SealerOptions,
    keyring: &'a Keyring,
    reporter: &'a Reporter,
    newest: watch::Receiver<Position>,
    origin: String,
    frontier: Frontier,
    heads: RecentHeads,
    keys: KeyHistory,
    last: Option<Note>,
    /// When the last checkpoint was signed, or the session began.
    signed_at: DateTime<Utc>,
    /// When the last sealed event was recorded.
    head_at: Option<DateTime<Utc>>,
    signer: Option<Signer>,
}

/// Opens a connection beside the pool: it holds the lock for as long as it lives.
///
/// Commits of seals are asynchronous: what a crash of the server loses is sealed again from the log, which is never
/// asynchronous. The commit of a checkpoint is not, and takes all seals before it along.
async fn connect(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    let options = pool.connect_options().as_ref().clone().application_name("cmdiag sealer").options([
        ("synchronous_commit", "off"),
        ("jit", "off"),
        ("statement_timeout", "60s"),
        ("lock_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "60s"),
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]);
    match tokio::time::timeout(CONNECT, PgConnection::connect_with(&options)).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// What of the seals themselves is not as it must be is a fault at this position; the rest is to be tried again.
fn at(position: u64) -> impl Fn(AuditError) -> Halt {
    move |error| match error {
        AuditError::Database(error) => error.into(),
        other => Halt::Fault { position, reason: other.to_string() },
    }
}

impl<'a> Session<'a> {
    /// Becomes the active sealer, and goes on from what is sealed.
    pub async fn open(
        pool: &PgPool,
        options: &'a SealerOptions,
        keyring: &'a Keyring,
        reporter: &'a Reporter,
        newest: watch::Receiver<Position>,
    ) -> Result<Self, Halt> {
        let mut db = connect(pool).await?;
        loop {
            let (class, lock) = LOCK;
            let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
                .bind(class)
                .bind(lock)
                .fetch_one(&mut db)
                .await?;
            if locked {
                break;
            }
            reporter.reached(store::sealed_to(&mut db).await?, None);
            reporter.enter(SealerState::Standby);
            tokio::time::sleep(options.look_every).await;
        }
        let origin = store::origin(&mut db).await?;
        let sealed = store::sealed_to(&mut db).await?;
        let end = store::log_end(&mut db).await?;
        if end < sealed {
            let reason = format!("the log ends at {end}, and is sealed up to {sealed}");
            return Err(Halt::Fault { position: end + 1, reason });
        }
        let frontier = tree::frontier(&mut db, sealed).await.map_err(at(sealed))?;
        let last = last_checkpoint(&mut db, &origin, sealed).await?;
        let mut keys = KeyHistory::default();
        for (position, payload) in store::key_events(&mut db, sealed).await? {
            keys.apply(position, &payload).map_err(|reason| Halt::Fault { position, reason })?;
        }
        let signed_at = last.as_ref().map_or_else(|| (options.now)(), |last| last.checkpoint.signed_at);
        let heads = RecentHeads::new(HEADS);
        let mut session = Self {
            db,
            options,
            keyring,
            reporter,
            newest,
            origin,
            frontier,
            heads,
            keys,
            last,
            signed_at,
            head_at: None,
            signer: None,
        };
        session.head_at = session.recorded_at(sealed).await?;
        reporter.reached(sealed, None);
        reporter.signed(session.last.as_ref().map(newest_checkpoint));
        reporter.enter(SealerState::Running);
        Ok(session)
    }

    async fn recorded_at(&mut self, position: u64) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        sqlx::query_scalar("SELECT recorded_at FROM cmdiag.events WHERE position = $1")
            .bind(position as i64)
            .fetch_optional(&mut self.db)
            .await
    }

    /// Seals until something is in the way. When told to stop, what has come by then is sealed and signed, so that a
    /// short run leaves nothing open.
    pub async fn follow(mut self, cancel: &CancellationToken) -> Halt {
        let mut give_up = None;
        loop {
            let began = Instant::now();
            let ending = cancel.is_cancelled();
            if ending && began > *give_up.get_or_insert(began + LAST) {
                return Halt::Cancelled;
            }
            let sealed = tokio::select! {
                sealed = self.seal_next() => sealed,
                () = async { cancel.cancelled().await; tokio::time::sleep(LAST).await } => return Halt::Cancelled,
            };
            let sealed = match sealed {
                Ok(sealed) => sealed,
                Err(halt) => return halt,
            };
            if (self.is_due() || (ending && sealed == 0 && self.unsigned() > 0))
                && let Err(halt) = self.sign().await
            {
                return halt;
            }
            match sealed {
                0 if ending => return Halt::Cancelled,
                0 => {
                    cancel.run_until_cancelled(self.wait()).await;
                }
                // Far behind: the next batch is there already.
                _ if sealed >= self.options.batch_events => {}
                _ => {
                    let pause = self.options.pace.saturating_sub(began.elapsed());
                    cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
                }
            }
        }
    }

    /// Seals the next batch; says how many events it had.
    async fn seal_next(&mut self) -> Result<usize, Halt> {
        let sealed = self.frontier.size();
        let batch = Batch::read(&mut self.db, &self.heads, sealed, self.options.batch_events).await?;
        if batch.len() == 0 {
            self.reporter.reached(sealed, None);
            return Ok(0);
        }
        batch.look_up(&mut self.db, &mut self.heads).await?;
        for (position, payload) in &batch.keys {
            self.keys.apply(*position, payload).map_err(|reason| Halt::Fault { position: *position, reason })?;
        }
        batch.write(&mut self.db, &mut self.frontier, &mut self.heads).await?;
        self.head_at = batch.last_at;
        self.reporter.reached(self.frontier.size(), batch.first_at);
        Ok(batch.len())
    }

    fn unsigned(&self) -> u64 {
        self.frontier.size() - self.last.as_ref().map_or(0, |last| last.checkpoint.tree_size)
    }

    fn is_due(&self) -> bool {
        let unsigned = self.unsigned();
        let every = TimeDelta::from_std(self.options.checkpoint_every).unwrap_or(TimeDelta::MAX);
        unsigned >= self.options.checkpoint_events || (unsigned > 0 && (self.options.now)() - self.signed_at >= every)
    }

    /// Signs what is sealed. Without a key the log goes on being sealed, and the status says what is missing.
    async fn sign(&mut self) -> Result<(), Halt> {
        let size = self.frontier.size();
        let Some(key) = self.keys.in_force(size) else {
            self.reporter.not_signed("no signing key is registered in the log");
            return Ok(());
        };
        let key_id = key.key.id();
        if self.signer.as_ref().is_none_or(|signer| signer.public() != key.key) {
            self.signer = match self.keyring.signer(&key_id) {
                Ok(signer) => signer,
                Err(error) => {
                    self.reporter.not_signed(&error.to_string());
                    return Ok(());
                }
            };
        }
        let (Some(signer), Some(head_at)) = (&self.signer, self.head_at) else {
            let folder = self.keyring.folder().display();
            self.reporter.not_signed(&format!("the key in force, {key_id}, is not in {folder}"));
            return Ok(());
        };
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            tree_size: size,
            root: self.frontier.root(),
            number: self.last.as_ref().map_or(1, |last| last.checkpoint.number + 1),
            previous: self.last.as_ref().map(Note::digest),
            head_at,
            signed_at: (self.options.now)(),
            key_id,
        };
        let text = checkpoint.sign(signer);
        let note = Note::parse(&text).map_err(|error| Halt::Retry(error.to_string()))?;
        self.keep(&note).await?;
        self.signed_at = note.checkpoint.signed_at;
        self.reporter.signed(Some(newest_checkpoint(&note)));
        self.last = Some(note);
        Ok(())
    }

    async fn keep(&mut self, note: &Note) -> Result<(), Halt> {
        let mut transaction = self.db.begin().await?;
        // On disk before anybody is told of it, and all seals before it with it.
        transaction.execute("SET LOCAL synchronous_commit = on").await?;
        let said = &note.checkpoint;
        sqlx::query(
            "INSERT INTO cmdiag.audit_checkpoints (number, tree_size, root, head_at, signed_at, key_id, note) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(said.number as i64)
        .bind(said.tree_size as i64)
        .bind(said.root.as_slice())
        .bind(said.head_at)
        .bind(said.signed_at)
        .bind(&said.key_id)
        .bind(&note.text)
        .execute(&mut *transaction)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(refused) if refused.is_unique_violation() => Halt::Overtaken,
            _ => error.into(),
        })?;
        Ok(transaction.commit().await?)
    }

    /// Waits for the log to go on, or for a while.
    async fn wait(&mut self) {
        let sealed = self.frontier.size() as i64;
        let news = async {
            // The log is gone where this fails: the process ends, and the time below will pass.
            if self.newest.wait_for(|newest| newest.0 > sealed).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(self.options.look_every, news).await;
    }
}

fn newest_checkpoint(note: &Note) -> NewestCheckpoint {
    let said = &note.checkpoint;
    NewestCheckpoint { number: said.number, tree_size: said.tree_size, signed_at: said.signed_at }
}

/// The newest checkpoint; it must be one of this log, and say what the seals say.
async fn last_checkpoint(db: &mut PgConnection, origin: &str, sealed: u64) -> Result<Option<Note>, Halt> {
    let Some(text) = store::newest_note(&mut *db).await? else { return Ok(None) };
    let note = Note::parse(&text).map_err(at(sealed))?;
    let said = &note.checkpoint;
    let fault = |position, reason: String| Err(Halt::Fault { position, reason });
    if said.origin != origin {
        return fault(1, format!("the newest checkpoint is of the log {}", said.origin));
    }
    if said.tree_size > sealed {
        let reason =
            format!("checkpoint {} holds {} events, and only {sealed} are sealed", said.number, said.tree_size);
        return fault(sealed + 1, reason);
    }
    if tree::root(db, said.tree_size).await.map_err(at(said.tree_size))? != said.root {
        return fault(said.tree_size, format!("the seals are not those of checkpoint {}", said.number));
    }
    Ok(Some(note))
}
