//! How work on files ends: at its end, at its deadline, or when it is stopped.

use crate::action::{ActionError, ActionTarget};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long work that was told to end may take to notice: it looks after each chunk and before each change.
const GRACE: Duration = Duration::from_secs(5);

/// Told to end. Looked at before each change and after each chunk that is read.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    token: CancellationToken,
    #[cfg(test)]
    looks_left: Option<std::sync::Arc<std::sync::atomic::AtomicI64>>,
}

#[cfg(test)]
tokio::task_local! {
    /// Ends the work after so many looks: as a kill between any two changes would.
    pub(crate) static LOOKS: i64;
}

impl Stop {
    fn of(target: &ActionTarget) -> Self {
        Self {
            token: target.cancel.child_token(),
            #[cfg(test)]
            looks_left: LOOKS.try_with(|looks| std::sync::Arc::new((*looks).into())).ok(),
        }
    }

    /// One that nobody tells to end.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self { token: CancellationToken::new(), looks_left: None }
    }

    /// An error once it is to end.
    pub(crate) fn look(&self) -> Result<(), ActionError> {
        #[cfg(test)]
        if let Some(left) = &self.looks_left
            && left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) <= 0
        {
            return Err(ActionError::cancelled());
        }
        if self.token.is_cancelled() { Err(ActionError::cancelled()) } else { Ok(()) }
    }
}

/// Runs work on a thread of its own until it is done or told to end, and waits for it to notice: nothing goes on behind
/// whoever called.
pub(crate) async fn blocking<T: Send + 'static>(
    target: &ActionTarget,
    work: impl FnOnce(&Stop) -> Result<T, ActionError> + Send + 'static,
) -> Result<T, ActionError> {
    let stop = Stop::of(target);
    let (token, deadline) = (stop.token.clone(), target.deadline);
    // Also where this future is dropped.
    let _ends_with_us = token.clone().drop_guard();
    stop.look()?;
    let mut thread = tokio::task::spawn_blocking(move || work(&stop));
    let joined = tokio::select! {
        biased;
        joined = &mut thread => joined,
        () = tokio::time::sleep(deadline) => {
            token.cancel();
            // What was done in time counts, whatever the clock says now.
            return match tokio::time::timeout(GRACE, thread).await {
                Ok(Ok(Ok(done))) => Ok(done),
                _ => Err(ActionError::timed_out(deadline)),
            };
        }
    };
    joined.map_err(|failed| ActionError::internal(format!("the thread of the action ended early: {failed}")))?
}
