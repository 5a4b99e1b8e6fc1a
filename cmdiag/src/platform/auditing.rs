//! Sealing, signing and publishing the history in this process.

use super::Platform;
use super::health::{check, gauge};
use super::roles::Statuses;
use crate::config::Config;
use anyhow::{Context, Result};
use api::health::{HealthCheck, HealthStatus};
use api::metrics::Sample;
use audit::keys::attest;
use audit::{
    Keyring, Publisher, PublisherHandle, PublisherOptions, PublisherStatus, Sealer, SealerHandle, SealerOptions,
    SealerState, SealerStatus, Signer, Sink,
};
use command_side::CommandBus;
use domain::audit_keys::{AuditKeys, AuditKeysCommand, AuditKeysState, PresentedKey};
use domain::{Actor, CommandId, Metadata, TenantId};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Who registers the first key where nobody has.
const REGISTRAR: &str = "system:sealer";
/// How often a process tries to register it.
const REGISTER_EVERY: Duration = Duration::from_secs(2);
/// A log that is so many seconds ahead of its seals is worth a look.
const LAG_WARN_SECONDS: f64 = 5.0;

/// The folder of the private keys.
pub fn keyring(config: &Config) -> Keyring {
    let folder = config.audit.keys_dir.clone();
    Keyring::new(folder.unwrap_or_else(|| config.data_dir().join("audit").join("keys")))
}

/// A key as the stream of keys is shown it.
pub fn presented(signer: &Signer, retired: Option<&audit::PublicKey>) -> PresentedKey {
    let key = signer.public();
    PresentedKey { key_id: key.id(), public_key: key.to_hex(), proof: attest(signer, retired, &key) }
}

/// The sealer and the publisher of this process.
pub struct Auditing {
    sealer: SealerHandle,
    publisher: PublisherHandle,
    registering: JoinHandle<()>,
    cancel: CancellationToken,
    publishing: CancellationToken,
}

impl Auditing {
    /// Starts both, and registers a first key where the log has none.
    pub fn start(platform: &Platform) -> Self {
        let config = &platform.config.audit;
        // Not a child of the platform's token: what the others write while they stop is sealed and signed, too.
        let (cancel, publishing) = (CancellationToken::new(), CancellationToken::new());
        let options = SealerOptions {
            checkpoint_events: config.checkpoint_events,
            checkpoint_every: Duration::from_secs(config.checkpoint_seconds),
            ..SealerOptions::default()
        };
        let keyring = keyring(&platform.config);
        let newest = platform.log.newest();
        let sealer = Sealer::start(platform.pool.clone(), newest, keyring.clone(), options, cancel.clone());
        let folder = config.publish_folder.clone().map(Sink::Folder);
        let url = config.publish_url.as_ref().map(|url| Sink::Http(url.reveal().to_owned()));
        let sinks = folder.into_iter().chain(url).collect();
        let options = PublisherOptions::new(sinks);
        let publisher = Publisher::start(&platform.pool, &sealer.status(), &options, &publishing);
        let (bus, tenant, ends) = (platform.bus.clone(), platform.tenant.clone(), publishing.clone());
        let registering = tokio::spawn(async move {
            ends.run_until_cancelled(register(&bus, &tenant, &keyring)).await;
        });
        Self { sealer, publisher, registering, cancel, publishing }
    }

    /// Follows the sealer.
    pub fn sealer(&self) -> watch::Receiver<SealerStatus> {
        self.sealer.status()
    }

    /// Follows each place that checkpoints are published to.
    pub fn publications(&self) -> Vec<watch::Receiver<PublisherStatus>> {
        self.publisher.statuses()
    }

    /// Stops both: what has come by then is sealed and signed; what is not published is published at the next start.
    pub async fn stop(self) {
        self.publishing.cancel();
        self.cancel.cancel();
        self.sealer.stopped().await;
        self.publisher.stopped().await;
        let _ = self.registering.await;
    }
}

/// Tries until the log has a key.
async fn register(bus: &CommandBus, tenant: &TenantId, keyring: &Keyring) {
    loop {
        match try_register(bus, tenant, keyring).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "audit.unregistered: no signing key yet"),
        }
        tokio::time::sleep(REGISTER_EVERY).await;
    }
}

async fn try_register(bus: &CommandBus, tenant: &TenantId, keyring: &Keyring) -> Result<()> {
    let (state, _): (AuditKeysState, _) = bus.load::<AuditKeys>(AuditKeys::id()).await?;
    if !state.keys.is_empty() {
        return Ok(());
    }
    let signer = keyring.generate().context("make the first signing key")?;
    let key = presented(&signer, None);
    let actor: Actor = REGISTRAR.parse().context("the registrar's name")?;
    let metadata = Metadata::new(actor, tenant.clone(), CommandId(Uuid::now_v7()));
    let id = key.key_id.clone();
    if let Err(error) = bus.execute::<AuditKeys>(AuditKeys::id(), AuditKeysCommand::Register { key }, metadata).await {
        // Another process was quicker, or nothing is known: in the first case this key is of no use.
        if matches!(error, command_side::CommandError::Refused { .. }) {
            keyring.remove(&id)?;
        }
        return Err(error.into());
    }
    tracing::info!(key = id, "audit.registered: the first signing key");
    Ok(())
}

/// What health says of it.
pub(super) fn checks(statuses: &Statuses) -> Vec<HealthCheck> {
    let mut checks = Vec::new();
    if let Some(sealer) = &statuses.sealer {
        let status = sealer.borrow();
        let (verdict, output) = match (&status.state, &status.signing_failure) {
            (SealerState::Failed(why), _) => (HealthStatus::Fail, Some(why.clone())),
            (SealerState::Retrying(why), _) => (HealthStatus::Warn, Some(why.clone())),
            (SealerState::Standby, _) => (HealthStatus::Pass, Some("stands by: another process seals".to_owned())),
            (_, Some(why)) => (HealthStatus::Warn, Some(format!("not signed: {why}"))),
            _ if status.lag_seconds > LAG_WARN_SECONDS => {
                (HealthStatus::Warn, Some(format!("{:.1} s behind the log", status.lag_seconds)))
            }
            _ => (HealthStatus::Pass, None),
        };
        let mut lag = check("sealer".to_owned(), "lag_events", verdict, output);
        (lag.observed, lag.unit) = (Some(status.lag_events as f64), Some("events"));
        checks.push(lag);
    }
    for publication in &statuses.publications {
        let status = publication.borrow();
        let verdict = if status.failure.is_some() { HealthStatus::Warn } else { HealthStatus::Pass };
        let mut one = check(format!("publication:{}", status.sink), "checkpoint", verdict, status.failure.clone());
        one.observed = Some(status.number as f64);
        checks.push(one);
    }
    checks
}

/// What the metrics say of it.
pub(super) fn samples(statuses: &Statuses, samples: &mut Vec<Sample>) {
    if let Some(sealer) = &statuses.sealer {
        let status = sealer.borrow();
        samples.push(gauge("cmdiag_sealer_position", "Last event that is sealed", status.sealed.0 as f64));
        samples.push(gauge("cmdiag_sealer_lag_events", "Events that are not sealed", status.lag_events as f64));
        samples.push(gauge("cmdiag_sealer_lag_seconds", "How long there have been such", status.lag_seconds));
        let failed = f64::from(u8::from(matches!(status.state, SealerState::Failed(_))));
        samples.push(gauge("cmdiag_sealer_failed", "1 where it can not go on", failed));
        let number = status.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number);
        samples.push(gauge("cmdiag_sealer_checkpoint", "Newest signed checkpoint", number as f64));
    }
    for publication in &statuses.publications {
        let status = publication.borrow();
        let labels = vec![("sink", status.sink.clone())];
        let number = status.number as f64;
        let sample = gauge("cmdiag_audit_published", "Newest checkpoint that this place has", number);
        samples.push(Sample { labels, ..sample });
    }
}
