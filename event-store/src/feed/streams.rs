//! Followers of single streams: each is woken by its own stream only, however many there are.

use super::{LiveFeed, Progress};
use crate::log::{LogError, RecordedEvent, StreamId};
use domain::StreamVersion;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A follower that is so many events behind is sent back to the log.
const INBOX_MAX: usize = 256;
/// Events of one read of the log.
const READ: usize = 500;

/// Who follows which stream.
#[derive(Default)]
pub(super) struct Followers {
    by_stream: Mutex<HashMap<StreamId, Vec<Arc<Inbox>>>>,
}

/// What arrived for one follower.
#[derive(Default)]
struct Inbox {
    mail: Mutex<Mail>,
    woken: Notify,
}

#[derive(Default)]
struct Mail {
    events: VecDeque<Arc<RecordedEvent>>,
    /// Something may have been missed: the log is to be read.
    read_log: bool,
}

impl Followers {
    /// Hands events to those who follow their streams.
    pub fn deliver(&self, batch: &[Arc<RecordedEvent>]) {
        let by_stream = lock(&self.by_stream);
        if by_stream.is_empty() {
            return;
        }
        for event in batch {
            let Some(inboxes) = by_stream.get(&event.stream) else { continue };
            for inbox in inboxes {
                inbox.put(event);
            }
        }
    }

    /// Makes everybody look again: the feed has failed, recovered or ended.
    pub fn wake_all(&self) {
        for inbox in lock(&self.by_stream).values().flatten() {
            inbox.woken.notify_one();
        }
    }

    fn add(&self, stream: &StreamId) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        lock(&self.by_stream).entry(stream.clone()).or_default().push(Arc::clone(&inbox));
        inbox
    }

    fn remove(&self, stream: &StreamId, inbox: &Arc<Inbox>) {
        let mut by_stream = lock(&self.by_stream);
        let Some(inboxes) = by_stream.get_mut(stream) else { return };
        inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
        if inboxes.is_empty() {
            by_stream.remove(stream);
        }
    }

    #[cfg(test)]
    fn streams(&self) -> usize {
        lock(&self.by_stream).len()
    }
}

impl Inbox {
    fn put(&self, event: &Arc<RecordedEvent>) {
        let mut mail = lock(&self.mail);
        if mail.events.len() >= INBOX_MAX {
            mail.events.clear();
            mail.read_log = true;
        } else if !mail.read_log {
            mail.events.push_back(Arc::clone(event));
        }
        drop(mail);
        self.woken.notify_one();
    }

    /// Takes what follows on `after` without a gap. Where there is a gap, the log is to be read.
    fn take(&self, after: StreamVersion) -> (Vec<Arc<RecordedEvent>>, bool) {
        let mut mail = lock(&self.mail);
        let read_log = std::mem::take(&mut mail.read_log);
        let mut next = after.0 + 1;
        let mut taken = Vec::new();
        while let Some(event) = mail.events.front() {
            if event.version.0 > next {
                return (taken, true);
            }
            if event.version.0 == next {
                taken.push(Arc::clone(event));
                next += 1;
            }
            mail.events.pop_front();
        }
        (taken, read_log)
    }
}

/// A place in one stream that moves forward: first through what the log holds already, then live; by the stream's own
/// versions, so nothing is lost or doubled.
pub struct StreamSubscription {
    feed: Arc<LiveFeed>,
    stream: StreamId,
    after: StreamVersion,
    inbox: Arc<Inbox>,
    read_log: bool,
}

impl StreamSubscription {
    pub(super) fn new(feed: Arc<LiveFeed>, stream: StreamId, after: StreamVersion) -> Self {
        // From here on nothing that the feed reads is missed; what it read before is in the log.
        let inbox = feed.followers.add(&stream);
        Self { feed, stream, after, inbox, read_log: true }
    }

    /// The next events of the stream in order, never none; waits until there are some. Dropping the future loses
    /// nothing. An error is final: the log is damaged, or the feed has ended.
    pub async fn next(&mut self) -> Result<Vec<Arc<RecordedEvent>>, LogError> {
        loop {
            if self.read_log {
                let read = self.feed.read(|log| log.read_stream(self.stream.clone(), self.after, READ)).await?;
                // A full read may have more behind it.
                self.read_log = read.len() == READ;
                if let Some(last) = read.last() {
                    self.after = last.version;
                    return Ok(read.into_iter().map(Arc::new).collect());
                }
            }
            let (taken, read_log) = self.inbox.take(self.after);
            self.read_log = read_log;
            if let Some(last) = taken.last() {
                self.after = last.version;
                return Ok(taken);
            }
            if !self.read_log {
                self.wait().await?;
            }
        }
    }

    /// The version of the last event that [`Self::next`] gave, or where the subscription started.
    pub fn version(&self) -> StreamVersion {
        self.after
    }

    async fn wait(&self) -> Result<(), LogError> {
        if let Progress { failure: Some(failure), .. } = &*self.feed.progress.borrow() {
            return Err(failure.clone());
        }
        self.inbox.woken.notified().await;
        Ok(())
    }
}

impl Drop for StreamSubscription {
    fn drop(&mut self) {
        self.feed.followers.remove(&self.stream, &self.inbox);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere can not leave a list or map half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::testing::event;

    fn versions(taken: &[Arc<RecordedEvent>]) -> Vec<i64> {
        taken.iter().map(|event| event.version.0).collect()
    }

    #[test]
    fn mail_is_taken_without_gap_or_double() {
        let followers = Followers::default();
        let stream = StreamId::new("Thing", "1");
        let inbox = followers.add(&stream);
        let mail: Vec<_> =
            [(7, 3), (9, 4), (12, 6)].map(|(at, version)| Arc::new(event("Thing", "1", at, version))).into();
        followers.deliver(&mail);
        followers.deliver(&[Arc::new(event("Thing", "2", 13, 1))]);
        let (taken, read_log) = inbox.take(StreamVersion(3));
        assert_eq!((versions(&taken), read_log), (vec![4], true), "6 does not follow on 4");
        let (taken, read_log) = inbox.take(StreamVersion(5));
        assert_eq!((versions(&taken), read_log), (vec![6], false));
    }

    #[test]
    fn a_slow_follower_is_sent_to_the_log() {
        let inbox = Inbox::default();
        for version in 1..=INBOX_MAX as i64 + 3 {
            inbox.put(&Arc::new(event("Thing", "1", version, version)));
        }
        let (taken, read_log) = inbox.take(StreamVersion(0));
        assert_eq!((versions(&taken), read_log), (vec![], true));
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let followers = Followers::default();
        let stream = StreamId::new("Thing", "1");
        let (one, other) = (followers.add(&stream), followers.add(&stream));
        followers.remove(&stream, &one);
        assert_eq!(followers.streams(), 1);
        followers.remove(&stream, &other);
        assert_eq!(followers.streams(), 0);
    }
}
