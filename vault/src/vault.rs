//! Seals and opens, and remembers keys for a little while.

use crate::cipher::{SubjectKey, fingerprint};
use crate::error::VaultError;
use crate::master::{KEY_BYTES, MasterKey};
use crate::table::{self, FoundKey, NewKey, SubjectRecord};
use chrono::{DateTime, Utc};
use domain::any_event::SUBJECT;
use domain::personal::{SEALED, sealed_within};
use domain::{Actor, Personal, Sealed, SubjectId, TenantId};
use event_store::{LiveFeed, LogError};
use moka::sync::Cache;
use ring::rand::{SecureRandom, SystemRandom};
use sqlx::PgPool;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Keys that are remembered.
const KEYS_MAX: u64 = 10_000;
/// Sealed texts that are remembered.
const TEXTS_MAX: u64 = 20_000;
/// A process that hears of no erasure (its feed has stopped) forgets within this time all the same.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// Between tries to learn where the log ends.
const RETRY: Duration = Duration::from_millis(500);

/// Seals personal texts and opens them; or, where no master key is configured, leaves them as they are. Clones share
/// everything.
#[derive(Clone, Default)]
pub struct Vault(Option<Arc<Inner>>);

struct Inner {
    pool: PgPool,
    master: MasterKey,
    /// By tenant and text as given.
    texts: Cache<(TenantId, String), Arc<str>>,
    keys: Cache<SubjectId, Key>,
}

/// Whether a database's names are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// They are, in what was recorded after this position.
    On {
        /// Up to here names may stand openly.
        since: i64,
    },
    /// No process with a master key has been here yet.
    NotYet,
}

/// What is known of a subject's key.
#[derive(Clone)]
enum Key {
    At(Arc<SubjectKey>),
    Destroyed,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_on() { "Vault(on)" } else { "Vault(off)" })
    }
}

impl Vault {
    /// One that leaves everything as it is.
    pub fn off() -> Self {
        Self(None)
    }

    /// The vault of a database. The first master key is put on record; from then on nothing else will do: neither
    /// another one, nor none.
    pub async fn connect(pool: PgPool, master: Option<MasterKey>) -> Result<Self, VaultError> {
        let Some(master) = master else {
            let on_record = table::master_on_record(&pool).await?;
            return on_record.map_or(Ok(Self::off()), |_| Err(VaultError::MasterKeyMissing));
        };
        if table::master_on_record(&pool).await?.is_none() {
            table::record_master(&pool, master.fingerprint()).await?;
        }
        let on_record = table::master_on_record(&pool).await?;
        if on_record.as_deref() != Some(master.fingerprint().as_slice()) {
            return Err(VaultError::MasterKeyWrong);
        }
        let texts = Cache::builder().max_capacity(TEXTS_MAX).time_to_live(REMEMBERED_FOR).build();
        let keys = Cache::builder().max_capacity(KEYS_MAX).time_to_live(REMEMBERED_FOR).build();
        Ok(Self(Some(Arc::new(Inner { pool, master, texts, keys }))))
    }

    /// Whether names are sealed in this database, and whether this is its master key; changes nothing.
    pub async fn connect_to_look(pool: &PgPool, master: Option<MasterKey>) -> Result<Sealing, VaultError> {
        let (on_record, since) = (table::master_on_record(pool).await?, table::sealed_since(pool).await?);
        match (on_record, master) {
            (None, _) => Ok(Sealing::NotYet),
            (Some(_), None) => Err(VaultError::MasterKeyMissing),
            (Some(known), Some(master)) if known == master.fingerprint() => {
                Ok(Sealing::On { since: since.unwrap_or_default() })
            }
            (Some(_), Some(_)) => Err(VaultError::MasterKeyWrong),
        }
    }

    /// Whether this database has a master key: from then on no process starts without it.
    pub async fn has_master_key(pool: &PgPool) -> Result<bool, VaultError> {
        Ok(table::master_on_record(pool).await?.is_some())
    }

    /// Whether personal texts are sealed.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A person's name sealed; whatever tells of no person stays as it is.
    pub async fn seal_actor(&self, tenant: &TenantId, actor: &Actor) -> Result<Actor, VaultError> {
        if !actor.is_personal() || (self.0.is_none() && !actor.as_str().starts_with(SEALED)) {
            return Ok(actor.clone());
        }
        // Nearly every command is by somebody who was here a moment ago.
        let known = self.0.as_ref().and_then(|inner| inner.texts.get(&(tenant.clone(), actor.as_str().to_owned())));
        let sealed = match known {
            Some(known) => vec![known.to_string()],
            None => self.seal(tenant, &[actor.as_str()]).await?,
        };
        // A sealed text is a valid name, and an open one was one before.
        sealed.into_iter().next().and_then(|text| Actor::new(text).ok()).ok_or(VaultError::Cryptography)
    }

    /// The texts sealed, in their order. What is sealed already stays so, provided that it was sealed here.
    pub async fn seal(&self, tenant: &TenantId, texts: &[&str]) -> Result<Vec<String>, VaultError> {
        let Some(inner) = &self.0 else {
            let pretends = texts.iter().any(|text| Sealed::parse(text).is_some());
            return if pretends {
                Err(VaultError::NotOurs)
            } else {
                Ok(texts.iter().map(|&text| text.into()).collect())
            };
        };
        let mut sealed: HashMap<&str, Arc<str>> = HashMap::new();
        let mut missing = Vec::new();
        for text in texts.iter().copied().collect::<HashSet<_>>() {
            if Sealed::parse(text).is_some() {
                inner.require_ours(tenant, text).await?;
                sealed.insert(text, text.into());
            } else if let Some(known) = inner.texts.get(&(tenant.clone(), text.to_owned())) {
                sealed.insert(text, known);
            } else {
                missing.push(text);
            }
        }
        for (text, fresh) in inner.seal_missing(tenant, &missing).await? {
            inner.texts.insert((tenant.clone(), text.to_owned()), Arc::clone(&fresh));
            sealed.insert(text, fresh);
        }
        texts.iter().map(|text| sealed.get(text).map(ToString::to_string).ok_or(VaultError::Cryptography)).collect()
    }

    /// A text with all that is sealed in it opened: to what it was, or to the tombstone. What was not sealed here stays
    /// as it is.
    pub async fn open<'a>(&self, tenant: &TenantId, text: &'a str) -> Result<Cow<'a, str>, VaultError> {
        self.open_as(tenant, text, ToString::to_string).await
    }

    /// The same within JSON: what is opened is written as the inside of a JSON string.
    pub async fn open_json<'a>(&self, tenant: &TenantId, json: &'a str) -> Result<Cow<'a, str>, VaultError> {
        self.open_as(tenant, json, |opened| {
            let quoted = serde_json::Value::from(opened.to_string()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        })
        .await
    }

    async fn open_as<'a>(
        &self,
        tenant: &TenantId,
        text: &'a str,
        written: impl Fn(&Personal) -> String,
    ) -> Result<Cow<'a, str>, VaultError> {
        let Some(inner) = &self.0 else { return Ok(Cow::Borrowed(text)) };
        let found: Vec<_> = sealed_within(text).collect();
        if found.is_empty() {
            return Ok(Cow::Borrowed(text));
        }
        let keys = inner.keys_of(tenant, found.iter().map(|(_, sealed)| sealed.subject)).await?;
        let mut opened = String::with_capacity(text.len());
        let mut end = 0;
        for (range, sealed) in found {
            opened.push_str(&text[end..range.start]);
            match personal(&keys, tenant, &sealed) {
                Some(personal) => opened.push_str(&written(&personal)),
                None => opened.push_str(&text[range.clone()]),
            }
            end = range.end;
        }
        opened.push_str(&text[end..]);
        Ok(Cow::Owned(opened))
    }

    /// What a sealed text is; `None` where it was not sealed here, or nothing is.
    pub async fn personal(&self, tenant: &TenantId, sealed: &Sealed<'_>) -> Result<Option<Personal>, VaultError> {
        let Some(inner) = &self.0 else { return Ok(None) };
        let keys = inner.keys_of(tenant, [sealed.subject].into_iter()).await?;
        Ok(personal(&keys, tenant, sealed))
    }

    /// The subject that a text belongs to, where there is one.
    pub async fn find(&self, tenant: &TenantId, text: &str) -> Result<Option<SubjectId>, VaultError> {
        let Some(inner) = &self.0 else { return Ok(None) };
        let found = table::by_lookup(&inner.pool, tenant, &[inner.master.lookup(tenant, text)]).await?;
        Ok(found.first().map(|found| SubjectId(found.subject_id)))
    }

    /// A tenant's subjects, oldest first, after one of them, at most `limit`.
    pub async fn subjects(
        &self,
        tenant: &TenantId,
        after: Option<(DateTime<Utc>, SubjectId)>,
        limit: u32,
    ) -> Result<Vec<SubjectRecord>, VaultError> {
        match &self.0 {
            Some(inner) => table::list(&inner.pool, tenant, after, limit).await,
            None => Ok(Vec::new()),
        }
    }

    /// One of a tenant's subjects.
    pub async fn subject(&self, tenant: &TenantId, subject: SubjectId) -> Result<Option<SubjectRecord>, VaultError> {
        match &self.0 {
            Some(inner) => table::get_of(&inner.pool, tenant, subject).await,
            None => Ok(None),
        }
    }

    /// How many commands on record name somebody openly, from before names were sealed: these stay readable. Looks at
    /// all of them, and gives up after a few seconds.
    pub async fn openly_named(&self, tenant: &TenantId, text: &str) -> Result<i64, VaultError> {
        match &self.0 {
            Some(inner) => table::openly_named(&inner.pool, tenant, text).await,
            None => Ok(0),
        }
    }

    /// Remembers nothing of a subject any more.
    pub fn forget(&self, subject: SubjectId) {
        if let Some(inner) = &self.0 {
            inner.keys.insert(subject, Key::Destroyed);
            inner.texts.invalidate_all();
        }
    }

    /// Remembers nothing at all any more.
    pub fn forget_all(&self) {
        if let Some(inner) = &self.0 {
            inner.keys.invalidate_all();
            inner.texts.invalidate_all();
        }
    }

    /// Forgets whoever is erased, as the feed tells it, until `cancel`.
    pub fn follow(&self, feed: Arc<LiveFeed>, cancel: CancellationToken) {
        if !self.is_on() {
            return;
        }
        let vault = self.clone();
        tokio::spawn(async move {
            cancel.run_until_cancelled(vault.heed(&feed)).await;
        });
    }

    async fn heed(&self, feed: &Arc<LiveFeed>) {
        let head = loop {
            match feed.log().head().await {
                Ok(head) => break head,
                Err(LogError::Unavailable(_)) => tokio::time::sleep(RETRY).await,
                Err(error) => return tracing::warn!(%error, "keys are remembered for a minute at most"),
            }
        };
        // Whatever was remembered while the end of the log was asked for may be gone already.
        self.forget_all();
        let mut subscription = feed.subscribe(head);
        loop {
            match subscription.next().await {
                Ok(batch) => {
                    let subjects = batch.iter().filter(|event| &*event.stream.aggregate_type == SUBJECT);
                    for id in subjects.filter_map(|event| event.stream.aggregate_id.parse().ok()) {
                        self.forget(id);
                    }
                }
                Err(error) => {
                    self.forget_all();
                    return tracing::debug!(%error, "keys are remembered for a minute at most");
                }
            }
        }
    }
}

fn personal(keys: &HashMap<SubjectId, Key>, tenant: &TenantId, sealed: &Sealed<'_>) -> Option<Personal> {
    match keys.get(&sealed.subject)? {
        Key::At(key) => key.open(tenant, sealed).map(Personal::Known),
        Key::Destroyed => Some(Personal::Erased(sealed.subject)),
    }
}

impl Inner {
    /// A sealed text comes in: it must be one of ours, or anybody could act in anybody's name.
    async fn require_ours(&self, tenant: &TenantId, text: &str) -> Result<(), VaultError> {
        let sealed = Sealed::parse(text).ok_or(VaultError::NotOurs)?;
        let keys = self.keys_of(tenant, [sealed.subject].into_iter()).await?;
        personal(&keys, tenant, &sealed).map(|_| ()).ok_or(VaultError::NotOurs)
    }

    /// Finds the subjects of these texts, or makes them, and seals.
    async fn seal_missing<'t>(
        &self,
        tenant: &TenantId,
        texts: &[&'t str],
    ) -> Result<Vec<(&'t str, Arc<str>)>, VaultError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let lookups: Vec<Vec<u8>> = texts.iter().map(|text| self.master.lookup(tenant, text)).collect();
        let mut found = self.found(tenant, &lookups).await?;
        let unknown: HashSet<&Vec<u8>> = lookups.iter().filter(|lookup| !found.contains_key(*lookup)).collect();
        if !unknown.is_empty() {
            let new = unknown.into_iter().map(|lookup| self.new_key(tenant, lookup)).collect::<Result<Vec<_>, _>>()?;
            table::add(&self.pool, tenant, &new).await?;
            // Asked again: another process may have been first.
            found = self.found(tenant, &lookups).await?;
        }
        let sealed = |(text, lookup): (&&'t str, &Vec<u8>)| {
            // Erased between the two statements: the next try meets a new subject.
            let missing = || VaultError::Unavailable("a subject was erased just now".to_owned());
            let (subject, key) = found.get(lookup).ok_or_else(missing)?;
            Ok((*text, key.seal(tenant, *subject, text)?.into()))
        };
        texts.iter().zip(&lookups).map(sealed).collect()
    }

    async fn found(
        &self,
        tenant: &TenantId,
        lookups: &[Vec<u8>],
    ) -> Result<HashMap<Vec<u8>, (SubjectId, Arc<SubjectKey>)>, VaultError> {
        let mut found = HashMap::new();
        for row in table::by_lookup(&self.pool, tenant, lookups).await? {
            let subject = SubjectId(row.subject_id);
            if let (Key::At(key), Some(lookup)) = (self.key(tenant, &row)?, row.lookup) {
                found.insert(lookup, (subject, key));
            }
        }
        Ok(found)
    }

    fn new_key(&self, tenant: &TenantId, lookup: &[u8]) -> Result<NewKey, VaultError> {
        let subject = SubjectId(Uuid::new_v4());
        let mut secret = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut secret)?;
        let wrapped = self.master.wrap(tenant, subject, &secret)?;
        Ok(NewKey { subject, lookup: lookup.to_vec(), wrapped, fingerprint: fingerprint(&secret) })
    }

    /// The keys of these subjects, as far as they are ours.
    async fn keys_of(
        &self,
        tenant: &TenantId,
        subjects: impl Iterator<Item = SubjectId>,
    ) -> Result<HashMap<SubjectId, Key>, VaultError> {
        let mut keys = HashMap::new();
        let mut missing = HashSet::new();
        for subject in subjects {
            match self.keys.get(&subject) {
                Some(key) => {
                    keys.insert(subject, key);
                }
                None => {
                    missing.insert(subject);
                }
            }
        }
        if missing.is_empty() {
            return Ok(keys);
        }
        let missing: Vec<_> = missing.into_iter().collect();
        for row in table::by_id(&self.pool, tenant, &missing).await? {
            let key = self.key(tenant, &row)?;
            self.keys.insert(SubjectId(row.subject_id), key.clone());
            keys.insert(SubjectId(row.subject_id), key);
        }
        Ok(keys)
    }

    fn key(&self, tenant: &TenantId, row: &FoundKey) -> Result<Key, VaultError> {
        let subject = SubjectId(row.subject_id);
        let Some(wrapped) = &row.wrapped_key else { return Ok(Key::Destroyed) };
        let secret = self.master.unwrap_key(tenant, subject, wrapped)?;
        Ok(Key::At(Arc::new(SubjectKey::new(&secret)?)))
    }
}
