//! Sends the commands of one remediation: with derived ids, under its lease, for as long as the log may come back.

use super::hooks::{Hooks, Point, Verdict};
use super::work_table::Held;
use command_side::{CommandBus, CommandError, Executed};
use domain::remediation::{Remediation, RemediationCommand, RemediationEvent, RemediationState};
use domain::{Actor, CommandId, Decider, Metadata, StreamVersion};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why a command had no effect.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The lease is lost, or the process ends: whoever takes over goes on.
    LeaseLost,
    /// The aggregate said no.
    Refused {
        /// The stable code.
        code: String,
        /// In words.
        message: String,
    },
    /// It was sent before, with another content: what happened then counts.
    SentBefore,
    /// It can not be helped now; in words.
    Failed(String),
}

/// The remediation as far as this process knows it.
#[derive(Debug, Clone, Default)]
struct Known {
    state: Arc<RemediationState>,
    version: StreamVersion,
    stale: bool,
}

/// Sends commands of one remediation. Clones share what is known of it.
#[derive(Clone)]
pub(super) struct Sender {
    bus: CommandBus,
    held: Arc<Held>,
    hooks: Option<Arc<dyn Hooks>>,
    known: Arc<Mutex<Known>>,
}

impl Sender {
    pub fn new(bus: CommandBus, held: Arc<Held>, hooks: Option<Arc<dyn Hooks>>) -> Self {
        let known = Known { stale: true, ..Known::default() };
        Self { bus, held, hooks, known: Arc::new(Mutex::new(known)) }
    }

    pub fn held(&self) -> &Held {
        &self.held
    }

    pub fn bus(&self) -> &CommandBus {
        &self.bus
    }

    /// Somebody else has changed it.
    pub fn forget(&self) {
        self.lock().stale = true;
    }

    /// The remediation as it is now.
    pub async fn state(&self) -> Result<(Arc<RemediationState>, StreamVersion), Trouble> {
        {
            let known = self.lock();
            if !known.stale {
                return Ok((Arc::clone(&known.state), known.version));
            }
        }
        let (state, version) = self.load::<Remediation>(self.held.remediation.0).await?;
        let mut known = self.lock();
        if version >= known.version {
            *known = Known { state: Arc::new(state), version, stale: false };
        }
        Ok((Arc::clone(&known.state), known.version))
    }

    /// Any aggregate as it is now.
    pub async fn load<D: Decider>(&self, id: Uuid) -> Result<(D::State, StreamVersion), Trouble> {
        let mut pause = PAUSE_MIN;
        loop {
            let loaded = self.held.lease.lost().run_until_cancelled(self.bus.load::<D>(id)).await;
            match loaded.ok_or(Trouble::LeaseLost)? {
                Ok(loaded) => return Ok(loaded),
                Err(error) => pause = self.wait_after(error, pause).await?,
            }
        }
    }

    /// Sends a command of the remediation.
    pub async fn send(
        &self,
        command: RemediationCommand,
        purpose: &str,
    ) -> Result<Executed<RemediationEvent>, Trouble> {
        self.at(Point::Sending(purpose)).await;
        let id = self.held.remediation.0;
        let sent = self.execute::<Remediation>(id, command, purpose, &Actor::remediator()).await;
        match &sent {
            Ok(executed) => self.learn(executed),
            Err(_) => self.forget(),
        }
        self.at(Point::Sent(purpose)).await;
        sent
    }

    /// Sends a command of any aggregate that this remediation is the cause of.
    pub async fn execute<D: Decider>(
        &self,
        id: Uuid,
        command: D::Command,
        purpose: &str,
        actor: &Actor,
    ) -> Result<Executed<D::Event>, Trouble> {
        let held = &self.held;
        let mut pause = PAUSE_MIN;
        loop {
            if !held.lease.holds() {
                held.lease.lose();
                return Err(Trouble::LeaseLost);
            }
            let metadata = Metadata {
                actor: actor.clone(),
                tenant: held.tenant.clone(),
                command_id: CommandId::derived(held.remediation.0, purpose),
                correlation_id: held.correlation,
                causation_id: Some(held.cause),
                traceparent: held.traceparent.clone(),
            };
            // Once it is on its way its outcome is waited for: it is bounded by the log's own limits.
            match self.bus.execute::<D>(id, command.clone(), metadata).await {
                Ok(executed) => return Ok(executed),
                Err(CommandError::Refused { code, message }) => return Err(Trouble::Refused { code, message }),
                Err(CommandError::CommandReused) => return Err(Trouble::SentBefore),
                Err(error) => pause = self.wait_after(error, pause).await?,
            }
        }
    }

    /// Waits where the trouble may pass; gives the next pause.
    async fn wait_after(&self, error: CommandError, pause: Duration) -> Result<Duration, Trouble> {
        if !error.is_transient() {
            return Err(Trouble::Failed(error.to_string()));
        }
        let lost = self.held.lease.lost();
        lost.run_until_cancelled(tokio::time::sleep(pause)).await.ok_or(Trouble::LeaseLost)?;
        Ok((pause * 2).min(PAUSE_MAX))
    }

    fn learn(&self, executed: &Executed<RemediationEvent>) {
        let mut known = self.lock();
        let follows = executed.version.0 == known.version.0 + executed.events.len() as i64;
        if executed.repeated || known.stale || !follows {
            // Out of order, or somebody else's event between: the log says what is.
            known.stale = true;
            return;
        }
        let state = Arc::make_mut(&mut known.state);
        executed.events.iter().for_each(|event| Remediation::evolve(state, event));
        known.version = executed.version;
    }

    /// Where a test wants this remediation's process to die, nothing more happens.
    pub async fn at(&self, point: Point<'_>) -> Verdict {
        let verdict = self.hooks.as_ref().map_or(Verdict::GoOn, |hooks| hooks.at(point));
        if verdict == Verdict::Freeze {
            std::future::pending::<()>().await;
        }
        verdict
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
