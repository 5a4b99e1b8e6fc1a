//! One remediation in hand: performs what is next until it rests, waits, or is another's.

use super::lease::Lease;
use super::options::{RemediationOptions, RemediationParts};
use super::phases::Phases;
use super::sender::{Sender, Trouble};
use super::status::Board;
use super::stop::StopBoard;
use super::work_table::Held;
use super::{admission, dry_run, planning, post_check, settling, steps, undo};
use chrono::{DateTime, TimeDelta, Utc};
use command_side::trace;
use domain::deployment::{Deployment, DeploymentState};
use domain::emergency_stop::Engaged;
use domain::remediation::{Next, RemediationCommand, RemediationPhase, RemediationState, next};
use domain::{Actor, DeploymentId, StreamVersion};
use futures::FutureExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// After so many rounds in which nothing came of what was tried, it is left for a while.
const ROUNDS_MAX: u32 = 3;
/// For so long.
const LEFT_FOR: TimeDelta = TimeDelta::seconds(30);
/// How long a remediation waits that came while the emergency stop is engaged; its release wakes it sooner.
const STOPPED_FOR: TimeDelta = TimeDelta::minutes(5);

/// What all drivers of a process share.
pub(super) struct Shared {
    pub parts: RemediationParts,
    pub options: RemediationOptions,
    pub phases: Phases,
    pub stop: StopBoard,
    pub board: Board,
    /// The process ends in order: nothing new is begun.
    pub stopping: CancellationToken,
}

impl Shared {
    pub fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }
}

/// How a driver leaves its remediation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// There is nothing more to do.
    Done,
    /// It is looked at again then, or when something happens to it.
    Wait(Option<DateTime<Utc>>),
    /// It is another's.
    LeaseLost,
}

/// Carries one remediation on.
pub(super) struct Driver {
    pub shared: Arc<Shared>,
    pub sender: Sender,
    pub wake: Arc<Notify>,
    lease: Lease,
}

/// What commands are for: their ids follow from it. They are decided on this version of the remediation.
pub(super) struct Purposes {
    version: StreamVersion,
    /// A refusal is on record for its command's id: the next try is another command.
    again: Option<DateTime<Utc>>,
}

impl Purposes {
    pub fn of(&self, what: &str) -> String {
        match self.again {
            None => format!("{}/{what}", self.version),
            Some(now) => format!("{}/{what}/{now}", self.version),
        }
    }
}

/// What came of one round.
enum Round {
    Again,
    Part(Parting),
}

impl Driver {
    pub fn new(shared: Arc<Shared>, held: Arc<Held>, wake: Arc<Notify>) -> Self {
        let lease = held.lease.clone();
        let sender = Sender::new(shared.parts.bus.clone(), held, shared.options.hooks.clone());
        Self { shared, sender, wake, lease }
    }

    /// Until it rests, waits, or is another's.
    pub async fn run(self) -> Parting {
        let held = self.sender.held().clone();
        let span = tracing::info_span!("remediation.drive", remediation = %held.remediation, epoch = held.lease.epoch);
        trace::adopt(&span, held.traceparent.as_deref());
        async move {
            let mut rounds = 0;
            let mut seen = StreamVersion(-1);
            loop {
                let error = match self.round(&mut seen, &mut rounds).await {
                    // The latter: somebody was faster, the log says what is.
                    Ok(Round::Again) | Err(Trouble::SentBefore) => continue,
                    Ok(Round::Part(parting)) => return parting,
                    Err(Trouble::LeaseLost) => return Parting::LeaseLost,
                    Err(Trouble::Refused { code, message }) => format!("{code}: {message}"),
                    Err(Trouble::Failed(error)) => error,
                };
                tracing::warn!(error, rounds, "a step of a remediation's life came to nothing");
                if rounds >= ROUNDS_MAX {
                    self.shared.board.update(|status| status.last_error = Some(error));
                    return Parting::Wait(Some(self.shared.now() + LEFT_FOR));
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn round(&self, seen: &mut StreamVersion, rounds: &mut u32) -> Result<Round, Trouble> {
        if !self.lease.holds() {
            self.lease.lose();
            return Err(Trouble::LeaseLost);
        }
        if self.shared.stopping.is_cancelled() {
            return Ok(Round::Part(Parting::Wait(Some(self.shared.now()))));
        }
        let (state, version) = self.sender.state().await?;
        if *seen == version {
            *rounds += 1;
            if *rounds > ROUNDS_MAX {
                return Ok(Round::Part(Parting::Wait(Some(self.shared.now() + LEFT_FOR))));
            }
            // What is known here may be old: another process or a person may have gone on.
            self.sender.forget();
        } else {
            (*seen, *rounds) = (version, 0);
        }
        if let Some(engaged) = self.engaged().await?
            && !state.phase.is_at_rest()
        {
            if Self::must_halt(&state, &engaged) {
                self.halt(&engaged, version, *rounds).await?;
                return Ok(Round::Again);
            }
            if state.phase != RemediationPhase::RollingBack {
                return Ok(Round::Part(Parting::Wait(Some(self.shared.now() + STOPPED_FOR))));
            }
        }
        self.perform(&state, version, *rounds).await
    }

    async fn perform(
        &self,
        state: &Arc<RemediationState>,
        version: StreamVersion,
        rounds: u32,
    ) -> Result<Round, Trouble> {
        let now = self.shared.now();
        let id = Purposes { version, again: (rounds > 0).then_some(now) };
        match next(state, now) {
            Next::Nothing => return Ok(Round::Part(Parting::Done)),
            Next::Plan => planning::plan(self, state, &id).boxed().await?,
            Next::DryRun => dry_run::record(self, state, &id).boxed().await?,
            Next::Admit => admission::admit(self, state, &id).boxed().await?,
            Next::AwaitApproval { until } | Next::AwaitExecution { until: Some(until) } => {
                if now < until {
                    return Ok(Round::Part(Parting::Wait(Some(until))));
                }
                self.sender.send(RemediationCommand::ExpireApproval, &id.of("expire")).await?;
            }
            Next::AwaitExecution { until: None } => return Ok(Round::Part(Parting::Wait(None))),
            Next::Retry { at } => return Ok(Round::Part(Parting::Wait(Some(at)))),
            Next::Confirm => dry_run::confirm(self, state, &id).boxed().await?,
            Next::Steps(_) => steps::perform(self).boxed().await?,
            Next::PostCheck => post_check::judge(self, state, &id).boxed().await?,
            Next::Undo(step) => undo::take_back(self, state, &step, &id).boxed().await?,
            Next::GiveUpUndo(step) => {
                let error = "taking it back was begun too often without an outcome".to_owned();
                self.sender.send(RemediationCommand::RecordUndoFailed { step, error }, &id.of("give-up-undo")).await?;
            }
            Next::Rest(rest) => {
                settling::settle(self, state, version, rest).boxed().await?;
                self.shared.board.update(|status| *status.rested.entry(rest).or_default() += 1);
                return Ok(Round::Part(Parting::Done));
            }
        }
        Ok(Round::Again)
    }

    /// The emergency stop, while it is engaged.
    pub async fn engaged(&self) -> Result<Option<Engaged>, Trouble> {
        let tenant = &self.sender.held().tenant;
        let engaged = self.shared.stop.engaged(self.sender.bus(), tenant).await;
        engaged.map_err(|error| Trouble::Failed(format!("the emergency stop can not be read: {error}")))
    }

    /// Whether the stop is meant for it: it was open when the stop was engaged, and does not already take back what it
    /// did, as the stop wants it to.
    pub fn must_halt(state: &RemediationState, engaged: &Engaged) -> bool {
        let before = state.requested_at.is_some_and(|at| at <= engaged.at);
        let takes_back = state.phase == RemediationPhase::RollingBack && (engaged.undo || state.halted);
        before && !takes_back && !state.phase.is_at_rest()
    }

    async fn halt(&self, engaged: &Engaged, version: StreamVersion, rounds: u32) -> Result<(), Trouble> {
        let reason = format!("{} by {}", engaged.reason, engaged.by);
        let reason: String = reason.chars().take(domain::text::REASON_CHARS_MAX).collect();
        let purpose = format!("{version}/halt/{}/{rounds}", engaged.at);
        self.sender.send(RemediationCommand::Halt { undo: engaged.undo, reason }, &purpose).await.map(|_| ())
    }

    /// The deployment as it is now.
    pub async fn deployment(&self, id: DeploymentId) -> Result<DeploymentState, Trouble> {
        Ok(self.sender.load::<Deployment>(id.0).await?.0)
    }

    /// Does something that takes time, until it is done or nobody needs it any more: the remediation has gone
    /// elsewhere, the emergency stop is engaged, or the lease is lost. Then `token` is cancelled and it may end,
    /// bounded.
    pub async fn watched<T>(
        &self,
        phase: RemediationPhase,
        token: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, Trouble> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                () = self.lease.ends() => {
                    token.cancel();
                    let _ = tokio::time::timeout(self.ending(), &mut work).await;
                    return Err(Trouble::LeaseLost);
                }
                done = &mut work => return Ok(Some(done)),
                () = self.wake.notified() => {
                    if self.goes_on(phase).await? {
                        continue;
                    }
                    token.cancel();
                    let _ = tokio::time::timeout(self.ending(), &mut work).await;
                    return Ok(None);
                }
            }
        }
    }

    /// After something has happened: whether what is done in this phase is still to be done.
    pub async fn goes_on(&self, phase: RemediationPhase) -> Result<bool, Trouble> {
        self.sender.forget();
        let (state, _) = self.sender.state().await?;
        let halted = self.engaged().await?.is_some_and(|engaged| Self::must_halt(&state, &engaged));
        Ok(state.phase == phase && !halted)
    }

    /// How long what was stopped may take to end: phases bound themselves.
    pub fn ending(&self) -> Duration {
        self.shared.options.grace * 2
    }

    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Under which name the platform acts here.
    pub fn actor() -> Actor {
        Actor::remediator()
    }
}
