//! The remediations of a process: claims what is due, keeps its leases, starts a driver each, and gives them back.

use super::driver::{Driver, Parting, Shared};
use super::filler::Filler;
use super::options::{RemediationOptions, RemediationParts};
use super::phases::Phases;
use super::status::{Board, RemediationStatus};
use super::stop::StopBoard;
use super::work_table::{Held, WorkTable};
use domain::RemediationId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// How many are claimed at a time.
const CLAIM: usize = 128;
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);
/// How long one statement on the work table may take.
const CALL_TIME: Duration = Duration::from_secs(10);
const GIVE_BACK_TIME: Duration = Duration::from_secs(3);

/// Wakes the remediations in hand, and the service when something is due. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Wakers {
    held: Arc<Mutex<HashMap<RemediationId, Arc<Notify>>>>,
    due: Arc<Notify>,
}

impl Wakers {
    /// Something has happened to it.
    pub fn wake(&self, remediation: RemediationId) {
        if let Some(notify) = self.lock().get(&remediation) {
            notify.notify_one();
        }
    }

    /// Something has happened that concerns all.
    pub fn wake_all(&self) {
        self.lock().values().for_each(|notify| notify.notify_one());
    }

    /// Something is due.
    pub fn due(&self) {
        self.due.notify_one();
    }

    fn add(&self, remediation: RemediationId) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        self.lock().insert(remediation, Arc::clone(&notify));
        notify
    }

    fn remove(&self, remediation: RemediationId) {
        self.lock().remove(&remediation);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RemediationId, Arc<Notify>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries remediations on. Dropping it ends everything at once, as a kill would: what was in hand is adopted when its
/// lease expires. [`Remediator::stop`], or the token given at the start, ends it in order.
#[derive(Debug)]
pub struct Remediator {
    task: JoinHandle<()>,
    cancel: CancellationToken,
    status: watch::Receiver<RemediationStatus>,
}

impl Remediator {
    /// Starts; `cancel` stops it in order.
    pub fn start(parts: RemediationParts, options: RemediationOptions, cancel: &CancellationToken) -> Self {
        let (board, status) = Board::new();
        let stop = cancel.child_token();
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            let table = WorkTable::new(parts.pool.clone(), options.lease, options.lease_time.clone());
            let (wakers, stops) = (Wakers::default(), StopBoard::default());
            let filler = Filler {
                table: table.clone(),
                bus: parts.bus.clone(),
                feed: Arc::clone(&parts.feed),
                clock: Arc::clone(&parts.clock),
                wakers: wakers.clone(),
                stop: stops.clone(),
                board: board.clone(),
            };
            // In the task, so that it ends with it, however that ends.
            let mut helpers = JoinSet::new();
            helpers.spawn(filler.run());
            let phases = Phases::new(&options);
            let shared = Arc::new(Shared { parts, options, phases, stop: stops, board, stopping: stopping.clone() });
            Service { shared, table, wakers, drivers: JoinSet::new(), held: HashMap::new() }.run(stopping).await;
        });
        Self { task, cancel: stop, status }
    }

    /// How it fares.
    pub fn status(&self) -> watch::Receiver<RemediationStatus> {
        self.status.clone()
    }

    /// Stops in order: claims nothing more, gives phases some time, gives back what it has in hand.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        // An error would mean that the task panicked: then there is nothing left to wait for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Remediator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Service {
    shared: Arc<Shared>,
    table: WorkTable,
    wakers: Wakers,
    drivers: JoinSet<Parting>,
    /// What each driver's task has in hand.
    held: HashMap<Id, Arc<Held>>,
}

impl Service {
    async fn run(mut self, stop: CancellationToken) {
        let parent = CancellationToken::new();
        // However this ends: what runs is stopped.
        let _guard = parent.clone().drop_guard();
        let mut extend = tokio::time::interval(self.shared.options.lease / 4);
        extend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut again = true;
        while !stop.is_cancelled() {
            if again {
                again = self.claim(&parent).await;
            }
            let wakers = self.wakers.clone();
            let poll = self.shared.options.poll_every;
            tokio::select! {
                () = stop.cancelled() => break,
                _ = extend.tick() => self.extend().await,
                Some(ended) = self.drivers.join_next_with_id() => {
                    // A place is free; there may have been no room before.
                    again = self.drivers.len() + 1 >= self.shared.options.most_held;
                    self.part(ended).await;
                }
                () = wakers.due.notified() => again = true,
                () = tokio::time::sleep(poll) => again = true,
            }
        }
        self.wind_up(&parent).await;
    }

    /// Claims what is due; whether there may be more.
    async fn claim(&mut self, parent: &CancellationToken) -> bool {
        let room = self.shared.options.most_held.saturating_sub(self.drivers.len()).min(CLAIM);
        if room == 0 {
            return false;
        }
        let claimed = bounded(self.table.claim(room, self.shared.now(), parent)).await;
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                self.shared.board.fail(&error);
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                return false;
            }
        };
        let more = claimed.len() == room;
        let adopted = claimed.iter().filter(|held| held.adopted).count() as u64;
        let count = claimed.len() as u64;
        for held in claimed {
            let held = Arc::new(held);
            let wake = self.wakers.add(held.remediation);
            let driver = Driver::new(Arc::clone(&self.shared), Arc::clone(&held), wake);
            let task = self.drivers.spawn(driver.run());
            self.held.insert(task.id(), held);
        }
        let running = self.drivers.len();
        self.shared.board.update(|status| {
            status.claimed += count;
            status.adopted += adopted;
            status.running = running;
        });
        more
    }

    async fn extend(&mut self) {
        let (mine, lost): (Vec<_>, Vec<_>) = self.held.values().partition(|held| held.lease.holds());
        for held in lost {
            held.lease.lose();
        }
        if mine.is_empty() {
            return;
        }
        let until = self.table.until(self.table.now());
        let left = self.shared.options.lease / 4;
        let claims: Vec<_> = mine.iter().map(|held| (held.remediation, held.lease.epoch)).collect();
        match tokio::time::timeout(left, self.table.extend(&claims)).await {
            Ok(Ok(ours)) => {
                let ours: HashSet<RemediationId> = ours.into_iter().collect();
                for held in mine {
                    if ours.contains(&held.remediation) { held.lease.extend(until) } else { held.lease.lose() }
                }
            }
            // They hold on until they run out; then they are lost.
            Ok(Err(error)) => self.shared.board.fail(&format!("leases can not be extended: {error}")),
            Err(_) => self.shared.board.fail("leases can not be extended: the database does not answer"),
        }
    }

    async fn part(&mut self, ended: Result<(Id, Parting), JoinError>) {
        let running = self.drivers.len();
        self.shared.board.update(|status| status.running = running);
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(held) = self.held.remove(&id) else { return };
        self.wakers.remove(held.remediation);
        let parting = match ended {
            Ok((_, parting)) => parting,
            Err(error) => {
                // A defect of ours: its lease runs out, and it is taken up again.
                tracing::error!(remediation = %held.remediation, %error, "a remediation's driver ended");
                return self.shared.board.update(|status| status.last_error = Some(error.to_string()));
            }
        };
        let now = self.shared.now();
        let given_back = match parting {
            Parting::Done => bounded(self.table.forget(&held, now)).await,
            Parting::Wait(due) => bounded(self.table.release(&held, due, now)).await,
            Parting::LeaseLost => {
                self.shared.board.update(|status| status.leases_lost += 1);
                Ok(())
            }
        };
        if let Err(error) = given_back {
            // It is adopted when its lease expires.
            self.shared.board.fail(&error);
        }
    }

    /// Lets phases end, then stops them, and gives back what is left.
    async fn wind_up(&mut self, parent: &CancellationToken) {
        let drain = self.shared.options.drain;
        let deadline = tokio::time::sleep(drain);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                () = &mut deadline => break,
                ended = self.drivers.join_next_with_id() => match ended {
                    None => return,
                    Some(ended) => self.part(ended).await,
                },
            }
        }
        parent.cancel();
        let grace = self.shared.options.grace * 3;
        let _ = tokio::time::timeout(grace, async { while self.drivers.join_next().await.is_some() {} }).await;
        self.drivers.shutdown().await;
        let now = self.shared.now();
        // What can not be given back is adopted when its lease expires.
        let giving_back =
            futures::future::join_all(self.held.values().map(|held| self.table.release(held, Some(now), now)));
        let _ = tokio::time::timeout(GIVE_BACK_TIME, giving_back).await;
    }
}

async fn bounded<T>(call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, String> {
    match tokio::time::timeout(CALL_TIME, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("the work table: {error}")),
        Err(_) => Err(format!("the work table did not answer within {} s", CALL_TIME.as_secs())),
    }
}
