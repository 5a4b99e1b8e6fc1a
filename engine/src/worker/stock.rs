//! The items in a worker's hands, as plain data: what waits, what runs, what is to be recorded; and which may run next
//! without more of a target's items running than the worker holds slots of it.

use crate::queue::{Held, ItemKey, Target, WorkItem};
use chrono::{DateTime, Utc};
use domain::RunId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Names an item within this process.
pub(super) type ItemId = u64;

/// The order of waiting items: by rank, a run's items together.
type Place = (DateTime<Utc>, RunId, ItemId);

/// Why an item's work was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Its run ended: nobody needs the result.
    RunEnded,
    /// The lease was lost: somebody else has it, or it was dropped.
    LeaseLost,
    /// This worker shuts down: somebody else shall have it.
    Shutdown,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    Running(CancellationToken, Option<Stopped>),
    /// Its result is being recorded, or its row being deleted.
    Ended,
}

#[derive(Debug)]
struct Entry {
    item: Arc<WorkItem>,
    stage: Stage,
}

/// One target's items that have not ended.
#[derive(Debug, Default)]
struct Lanes {
    /// How many of them each slot that we hold carries.
    slots: HashMap<i16, usize>,
    running: usize,
    waiting: BTreeSet<Place>,
    /// Where it stands in [`Stock::ready`].
    ready: Option<Place>,
}

/// What became of a claimed item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits to be run.
    New,
    /// It was here already, from a lease that expired while the database could not be reached: the new claim goes on
    /// with it.
    Adopted,
}

/// The items in this worker's hands.
#[derive(Debug, Default)]
pub(super) struct Stock {
    last: ItemId,
    entries: HashMap<ItemId, Entry>,
    by_key: HashMap<ItemKey, ItemId>,
    by_run: HashMap<RunId, HashSet<ItemId>>,
    targets: HashMap<Target, Lanes>,
    /// Targets that may run one more, by the place of their first waiting item.
    ready: BTreeSet<(Place, Target)>,
    waiting: usize,
    running: usize,
}

impl Stock {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Takes a claimed item in.
    pub(super) fn take(&mut self, item: WorkItem) -> Taken {
        if let Some(&id) = self.by_key.get(&item.key) {
            self.adopt(id, item);
            return Taken::Adopted;
        }
        self.last += 1;
        let id = self.last;
        let target = item.target();
        let lanes = self.targets.entry(target.clone()).or_default();
        *lanes.slots.entry(item.slot).or_default() += 1;
        lanes.waiting.insert((item.rank, item.key.run, id));
        self.by_key.insert(item.key.clone(), id);
        self.by_run.entry(item.key.run).or_default().insert(id);
        self.entries.insert(id, Entry { item: Arc::new(item), stage: Stage::Waiting });
        self.waiting += 1;
        self.refresh(&target);
        Taken::New
    }

    fn adopt(&mut self, id: ItemId, item: WorkItem) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let target = item.target();
        if !matches!(entry.stage, Stage::Ended)
            && let Some(lanes) = self.targets.get_mut(&target)
        {
            free_slot(lanes, entry.item.slot);
            *lanes.slots.entry(item.slot).or_default() += 1;
        }
        entry.item = Arc::new(item);
        self.refresh(&target);
    }

    /// The next item to run, now marked as running.
    pub(super) fn start_next(&mut self) -> Option<(ItemId, Arc<WorkItem>, CancellationToken)> {
        let (place, target) = self.ready.first().cloned()?;
        let id = place.2;
        let lanes = self.targets.get_mut(&target)?;
        lanes.waiting.remove(&place);
        lanes.running += 1;
        let cancel = CancellationToken::new();
        let entry = self.entries.get_mut(&id)?;
        entry.stage = Stage::Running(cancel.clone(), None);
        let item = Arc::clone(&entry.item);
        self.waiting -= 1;
        self.running += 1;
        self.refresh(&target);
        Some((id, item, cancel))
    }

    /// Notes that an item no longer waits or runs; says why, if it was stopped while it ran.
    pub(super) fn end(&mut self, id: ItemId) -> Option<Stopped> {
        let entry = self.entries.get_mut(&id)?;
        let stage = std::mem::replace(&mut entry.stage, Stage::Ended);
        let (target, slot) = (entry.item.target(), entry.item.slot);
        let place = (entry.item.rank, entry.item.key.run, id);
        // An item that has ended already is of no target any more.
        let lanes = self.targets.get_mut(&target).filter(|_| !matches!(stage, Stage::Ended))?;
        let stopped = match stage {
            Stage::Running(_, stopped) => {
                lanes.running -= 1;
                self.running -= 1;
                stopped
            }
            Stage::Waiting | Stage::Ended => {
                lanes.waiting.remove(&place);
                self.waiting -= 1;
                None
            }
        };
        free_slot(lanes, slot);
        self.refresh(&target);
        stopped
    }

    /// Stops an item: true if it ran and its task will report its end; false if it has none, and is ended now.
    pub(super) fn stop(&mut self, id: ItemId, why: Stopped) -> bool {
        match self.entries.get_mut(&id).map(|entry| &mut entry.stage) {
            Some(Stage::Running(cancel, stopped)) => {
                stopped.get_or_insert(why);
                cancel.cancel();
                true
            }
            Some(Stage::Waiting) => {
                self.end(id);
                false
            }
            Some(Stage::Ended) | None => false,
        }
    }

    /// Whether an item still waits or runs.
    pub(super) fn is_open(&self, id: ItemId) -> bool {
        self.entries.get(&id).is_some_and(|entry| !matches!(entry.stage, Stage::Ended))
    }

    /// An item and the claim that it is held by.
    pub(super) fn held(&self, id: ItemId) -> Option<Held> {
        let item = &self.entries.get(&id)?.item;
        Some(Held { key: item.key.clone(), attempt: item.attempt })
    }

    /// An item.
    pub(super) fn item(&self, id: ItemId) -> Option<&Arc<WorkItem>> {
        Some(&self.entries.get(&id)?.item)
    }

    /// The id of an item.
    pub(super) fn find(&self, key: &ItemKey) -> Option<ItemId> {
        self.by_key.get(key).copied()
    }

    /// All items.
    pub(super) fn all(&self) -> Vec<ItemId> {
        self.entries.keys().copied().collect()
    }

    /// All items that wait or run.
    pub(super) fn open(&self) -> Vec<ItemId> {
        self.entries.keys().copied().filter(|&id| self.is_open(id)).collect()
    }

    /// All items that wait.
    pub(super) fn waiting_items(&self) -> Vec<ItemId> {
        self.targets.values().flat_map(|lanes| lanes.waiting.iter().map(|place| place.2)).collect()
    }

    /// All items of a run.
    pub(super) fn of_run(&self, run: RunId) -> Vec<ItemId> {
        self.by_run.get(&run).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    /// Forgets an item.
    pub(super) fn remove(&mut self, id: ItemId) {
        self.end(id);
        let Some(entry) = self.entries.remove(&id) else { return };
        self.by_key.remove(&entry.item.key);
        if let Some(ids) = self.by_run.get_mut(&entry.item.key.run) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_run.remove(&entry.item.key.run);
            }
        }
    }

    /// Puts a target where it belongs among the ready ones.
    fn refresh(&mut self, target: &Target) {
        let Some(lanes) = self.targets.get_mut(target) else { return };
        let has_room = lanes.running < lanes.slots.len();
        let place = if has_room { lanes.waiting.first().copied() } else { None };
        if place != lanes.ready {
            if let Some(old) = lanes.ready {
                self.ready.remove(&(old, target.clone()));
            }
            if let Some(new) = place {
                self.ready.insert((new, target.clone()));
            }
            lanes.ready = place;
        }
        if lanes.slots.is_empty() {
            self.targets.remove(target);
        }
    }
}

fn free_slot(lanes: &mut Lanes, slot: i16) {
    if let Some(items) = lanes.slots.get_mut(&slot) {
        *items -= 1;
        if *items == 0 {
            lanes.slots.remove(&slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use domain::diagnostic_run::{CheckKey, Priority};
    use domain::{CheckCode, ComponentName, CorrelationId, TenantId};
    use std::time::Duration;
    use uuid::Uuid;

    fn item(number: u32, component: &str, slot: i16) -> WorkItem {
        let moment = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(number.into());
        WorkItem {
            key: ItemKey {
                run: RunId(Uuid::from_u128(1)),
                check: CheckKey {
                    check: CheckCode::new(format!("C-{number}")).unwrap(),
                    component: ComponentName::new(component).unwrap(),
                },
            },
            deployment: Uuid::from_u128(2).into(),
            version: "v".to_owned(),
            priority: Priority::Normal,
            queued_at: moment,
            rank: moment,
            deadline: moment + TimeDelta::hours(1),
            timeout: Duration::from_secs(1),
            attempt: 1,
            crashes: 0,
            slot,
            tenant: TenantId::default(),
            correlation: CorrelationId(Uuid::nil()),
            causation: None,
            traceparent: None,
            started: true,
        }
    }

    fn codes(stock: &mut Stock) -> Vec<(ItemId, String)> {
        std::iter::from_fn(|| stock.start_next().map(|(id, item, _)| (id, item.key.check.check.to_string()))).collect()
    }

    #[test]
    fn no_more_of_a_target_run_than_its_slots_and_others_pass() {
        let mut stock = Stock::default();
        for number in 1..=4 {
            stock.take(item(number, "one", 1));
        }
        stock.take(item(5, "two", 1));
        let started = codes(&mut stock);
        assert_eq!(started.iter().map(|(_, code)| code.as_str()).collect::<Vec<_>>(), ["C-1", "C-5"]);
        assert_eq!(stock.end(started[0].0), None);
        assert_eq!(codes(&mut stock)[0].1, "C-2");
        assert_eq!((stock.waiting(), stock.running(), stock.len()), (2, 2, 5));
    }

    #[test]
    fn a_slot_whose_items_have_all_ended_no_longer_counts() {
        let mut stock = Stock::default();
        stock.take(item(1, "one", 1));
        stock.take(item(2, "one", 2));
        stock.take(item(3, "one", 2));
        let started = codes(&mut stock);
        assert_eq!(started.len(), 2, "two slots");
        stock.end(started[1].0);
        // Slot 1 still carries C-1 (running), slot 2 still carries C-3: both count.
        assert_eq!(codes(&mut stock).len(), 1);
        let mut stock = Stock::default();
        stock.take(item(1, "one", 1));
        stock.take(item(2, "one", 2));
        stock.take(item(3, "one", 1));
        let started = codes(&mut stock);
        stock.end(started[1].0);
        // Only slot 1 is left, and C-1 runs in it.
        assert_eq!(codes(&mut stock), []);
    }

    #[test]
    fn adopting_takes_the_new_attempt_and_slot() {
        let mut stock = Stock::default();
        stock.take(item(1, "one", 1));
        let again = WorkItem { attempt: 2, slot: 3, ..item(1, "one", 1) };
        assert_eq!(stock.take(again), Taken::Adopted);
        let started = codes(&mut stock);
        assert_eq!(started.len(), 1);
        assert_eq!(stock.held(started[0].0).unwrap().attempt, 2);
        stock.end(started[0].0);
        stock.remove(started[0].0);
        assert!(stock.targets.is_empty() && stock.by_run.is_empty() && stock.ready.is_empty() && stock.len() == 0);
    }

    #[test]
    fn stopping_cancels_what_runs_and_ends_what_waits() {
        let mut stock = Stock::default();
        stock.take(item(1, "one", 1));
        stock.take(item(2, "one", 1));
        let (id, _, cancel) = stock.start_next().unwrap();
        assert!(stock.stop(id, Stopped::RunEnded));
        assert!(cancel.is_cancelled());
        assert!(!stock.stop(id + 1, Stopped::RunEnded));
        assert!(!stock.is_open(id + 1) && stock.is_open(id));
        assert_eq!(stock.end(id), Some(Stopped::RunEnded));
    }
}
