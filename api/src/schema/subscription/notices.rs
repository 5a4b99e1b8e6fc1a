//! Following the dispatcher's notices.

use crate::schema::codes::{SLOW_CLIENT, UNAVAILABLE, coded};
use crate::topics::{Notice, Topics};
use async_graphql::{Error, ErrorExtensions, Result};
use domain::{Position, TenantId};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

struct Follower {
    receiver: Receiver<Arc<Notice>>,
    ended: CancellationToken,
    tenant: TenantId,
    last: Option<Position>,
    done: bool,
}

/// The notices of a tenant that `choose` makes something of. A follower that falls too far behind ends with an error
/// that says from where to resume.
pub fn follow<T: Send + 'static>(
    topics: &Topics,
    tenant: TenantId,
    choose: impl Fn(&Notice) -> Option<T> + Send + Sync + 'static,
) -> BoxStream<'static, Result<T>> {
    let follower =
        Follower { receiver: topics.subscribe(), ended: topics.ended().clone(), tenant, last: None, done: false };
    let choose = Arc::new(choose);
    stream::unfold(follower, move |mut follower| {
        let choose = Arc::clone(&choose);
        async move {
            let next = follower.next(choose.as_ref()).await?;
            Some((next, follower))
        }
    })
    .boxed()
}

impl Follower {
    async fn next<T>(&mut self, choose: &(impl Fn(&Notice) -> Option<T> + Sync)) -> Option<Result<T>> {
        if self.done {
            return None;
        }
        loop {
            let received = self.ended.run_until_cancelled(self.receiver.recv()).await;
            match received {
                Some(Ok(notice)) => {
                    self.last = Some(notice.recorded.position);
                    if notice.recorded.metadata.tenant == self.tenant
                        && let Some(chosen) = choose(&notice)
                    {
                        return Some(Ok(chosen));
                    }
                }
                Some(Err(RecvError::Lagged(missed))) => {
                    self.done = true;
                    return Some(Err(lagged(missed, self.last)));
                }
                Some(Err(RecvError::Closed)) | None => {
                    self.done = true;
                    return Some(Err(coded(UNAVAILABLE, "the live feed has ended; subscribe again")));
                }
            }
        }
    }
}

fn lagged(missed: u64, last: Option<Position>) -> Error {
    let error = coded(SLOW_CLIENT, format!("{missed} events went by; resume with events(after:) and subscribe again"));
    match last {
        Some(position) => error.extend_with(|_, extensions| {
            extensions.set("code", SLOW_CLIENT);
            extensions.set("resumeAfter", position.0);
        }),
        None => error,
    }
}
