//! What the service does about each thing that happens.

use super::{Life, Line, Service};
use crate::queue::{Held, ItemKey, WorkItem};
use crate::worker::attempt::Attempt;
use crate::worker::calls::Answer;
use crate::worker::recorder::{Order, Pending, Report, RunFacts};
use crate::worker::status::WorkerStatus;
use crate::worker::stock::{ItemId, Stopped, Taken};
use domain::RunId;
use std::collections::HashSet;
use tokio::sync::mpsc;

impl Service {
    pub(super) fn answered(&mut self, answer: Answer, orders: &mpsc::UnboundedSender<Order>) {
        match answer {
            Answer::Claimed { most, outcome } => {
                if let Some(items) = checked(&mut self.counts, &mut self.claims, outcome) {
                    self.dry = items.len() < most;
                    self.take(items, orders);
                }
            }
            Answer::Finished { items, outcome } => {
                if checked(&mut self.counts, &mut self.finishes, outcome).is_some() {
                    self.finished(&items);
                } else {
                    self.to_finish.extend(items.into_iter().map(|(id, _)| id));
                }
            }
            Answer::Extended { asked, outcome } => {
                if let Some(kept) = checked(&mut self.counts, &mut self.extensions, outcome) {
                    self.extended(&asked, kept);
                }
            }
            Answer::Released { items, outcome } => {
                // Where it failed, the leases expire.
                if let Err(error) = outcome {
                    self.counts.failed(error);
                }
                for id in items {
                    self.stock.remove(id);
                }
            }
            Answer::Tidied(outcome) => {
                if let Err(error) = outcome {
                    self.counts.failed(error);
                }
            }
        }
    }

    fn take(&mut self, items: Vec<WorkItem>, orders: &mpsc::UnboundedSender<Order>) {
        self.counts.claimed += items.len() as u64;
        if self.life != Life::Serving {
            // Claimed before the stop was seen: given back untouched.
            let ids = items.into_iter().filter_map(|item| self.take_one(item, orders)).collect();
            self.give_up(ids);
            return;
        }
        for item in items {
            let has_ended = self.ended_runs.contains(item.key.run);
            if let Some(id) = self.take_one(item, orders)
                && has_ended
            {
                self.stock.stop(id, Stopped::RunEnded);
                self.to_finish.push(id);
            }
        }
    }

    /// Takes an item in; gives its id where it is new here.
    fn take_one(&mut self, item: WorkItem, orders: &mpsc::UnboundedSender<Order>) -> Option<ItemId> {
        let key = item.key.clone();
        let is_first = !item.started && self.stock.of_run(key.run).is_empty();
        let facts = is_first.then(|| facts_of(&item));
        if self.stock.take(item) == Taken::Adopted {
            return None;
        }
        if let Some(facts) = facts
            && self.life == Life::Serving
            && !self.ended_runs.contains(key.run)
        {
            // The recorder lives as long as this loop does; so for all orders.
            let _ = orders.send(Order::Start(facts));
        }
        self.stock.find(&key)
    }

    /// Gives back items that wait.
    pub(super) fn give_up(&mut self, ids: Vec<ItemId>) {
        for &id in &ids {
            self.stock.stop(id, Stopped::Shutdown);
        }
        self.release(ids);
    }

    fn finished(&mut self, items: &[(ItemId, i32)]) {
        for &(id, attempt) in items {
            // Claimed anew while it was being finished by its old claim: the new one is to be finished, too.
            if self.stock.held(id).is_some_and(|held| held.attempt != attempt) {
                self.to_finish.push(id);
            } else {
                self.stock.remove(id);
            }
        }
        // Their targets may have room now.
        self.dry = false;
    }

    fn extended(&mut self, asked: &[Held], kept: Vec<ItemKey>) {
        let kept: HashSet<ItemKey> = kept.into_iter().collect();
        for lost in asked.iter().filter(|held| !kept.contains(&held.key)) {
            let Some(id) = self.stock.find(&lost.key) else { continue };
            let is_same = self.stock.held(id).is_some_and(|held| held.attempt == lost.attempt);
            // A result on its way is recorded all the same: the run takes it once.
            if is_same && self.stock.is_open(id) {
                self.counts.cancelled += 1;
                if !self.stock.stop(id, Stopped::LeaseLost) {
                    self.stock.remove(id);
                }
            }
        }
    }

    pub(super) fn attempt_ended(&mut self, ended: Option<(ItemId, Attempt)>, orders: &mpsc::UnboundedSender<Order>) {
        // None: a panic outside the runner, which `run_item` does not have. The lease would expire.
        let Some((id, attempt)) = ended else { return };
        let stopped = self.stock.end(id);
        self.counts.panics += u64::from(attempt.panicked);
        let Some(item) = self.stock.item(id).cloned() else { return };
        match (stopped, attempt.result) {
            (None, Some(result)) => {
                let took = attempt.took.as_secs_f64();
                self.mean = Some(self.mean.map_or(took, |mean| mean + (took - mean) * 0.1));
                let pending = Pending { id, attempt: item.attempt, result };
                let _ = orders.send(Order::Record(facts_of(&item), Box::new(pending)));
            }
            (Some(Stopped::RunEnded), _) => self.to_finish.push(id),
            // Whoever holds it now has another attempt, which a release by ours does not touch.
            (Some(Stopped::LeaseLost | Stopped::Shutdown) | None, _) => self.release(vec![id]),
        }
    }

    pub(super) fn reported(&mut self, report: Report) {
        match report {
            Report::Settled { items, recorded } => {
                let counter = if recorded { &mut self.counts.recorded } else { &mut self.counts.dropped };
                *counter += items.len() as u64;
                if recorded {
                    self.counts.failing = false;
                }
                self.to_finish.extend(items);
            }
            Report::Failing(error) => self.counts.failed(error),
        }
    }

    pub(super) fn runs_ended(&mut self, runs: &[RunId], orders: &mpsc::UnboundedSender<Order>) {
        for &run in runs {
            self.ended_runs.insert(run);
            let ids = self.stock.of_run(run);
            if ids.is_empty() {
                continue;
            }
            for id in ids {
                if !self.stock.is_open(id) {
                    continue;
                }
                self.counts.cancelled += 1;
                if !self.stock.stop(id, Stopped::RunEnded) {
                    self.to_finish.push(id);
                }
            }
            let _ = orders.send(Order::Forget(run));
        }
    }
}

/// Notes how a call went, and gives what it returned.
fn checked<T>(counts: &mut WorkerStatus, line: &mut Line, outcome: Result<T, String>) -> Option<T> {
    match outcome {
        Ok(value) => {
            line.leave(false);
            counts.failing = false;
            Some(value)
        }
        Err(error) => {
            line.leave(true);
            counts.failed(error);
            None
        }
    }
}

fn facts_of(item: &WorkItem) -> RunFacts {
    RunFacts {
        run: item.key.run,
        tenant: item.tenant.clone(),
        correlation: item.correlation,
        causation: item.causation,
        traceparent: item.traceparent.clone(),
        deadline: item.deadline,
    }
}
