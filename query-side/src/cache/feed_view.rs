//! How this process sees the log: how far its feed has read, and how far the caches have taken that in.

use super::freshness::Freshness;
use domain::Position;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a read waits for the feed's newest events to be taken in: normally microseconds.
const CATCH_UP: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub(super) struct FeedView {
    pub freshness: Arc<Freshness>,
    /// The newest event that the feed has read.
    pub newest: watch::Receiver<Position>,
}

impl FeedView {
    /// Waits until all that the feed has read is taken in, and says how far that is. What the views of this process
    /// show came through its feed, so whatever is then found true is not older than they are. None where nothing cached
    /// can be trusted just now.
    pub async fn caught_up(&self) -> Option<Position> {
        let newest = *self.newest.borrow();
        let followed = self.freshness.followed()?;
        if followed >= newest {
            return Some(followed);
        }
        if !self.freshness.has_seen(newest, CATCH_UP).await {
            return None;
        }
        self.freshness.followed().filter(|followed| *followed >= newest)
    }
}
