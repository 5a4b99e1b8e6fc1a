//! Ending what one session is at: what `postgres.cancel-query` and `postgres.terminate-idle-in-transaction` share. What
//! they mean, and the signal that they send, is their own.

use super::backend::{self, Backend, BackendName};
use super::{LOOKS, pause_after};
use crate::action::sql::{Access, Session};
use crate::action::{ActionError, ActionTarget, Verified};
use chrono::{DateTime, Utc};
use domain::remediation::{BlastRadius, Outputs};

/// What is ended, and how.
pub(super) struct Ending {
    /// Whether the session is at what is meant.
    pub is_meant: fn(&Backend) -> bool,
    /// Why it is left alone where it is not: `{session} is {state}` is said before it.
    pub otherwise: &'static str,
    /// When what it is at began: another one is none of ours.
    pub began: fn(&Backend) -> Option<DateTime<Utc>>,
    /// Sends the signal to session `$1` of start `$2`, where it is still at what began at `$3`: judged where the signal
    /// is sent.
    pub signal: &'static str,
    /// Whether the session, as it is now, is still at what it was at before.
    pub goes_on: fn(&Backend, &Backend) -> bool,
    /// What it is said to be still at where it goes on.
    pub still: &'static str,
}

impl Ending {
    pub(super) async fn capture(&self, name: &BackendName, target: &ActionTarget) -> Result<Backend, ActionError> {
        let mut session = Session::open(target, Access::Read).await?;
        let found = backend::find(&mut session, name).await?;
        session.close().await;
        let gone = || ActionError::precondition(format!("session {} is gone: nothing is to be done", name.pid));
        let found = found.ok_or_else(gone)?;
        if !(self.is_meant)(&found) {
            let state = found.state.as_deref().unwrap_or("?");
            let text = format!("{} is {state}{}", found.shown(), self.otherwise);
            return Err(ActionError::precondition(text));
        }
        Ok(found)
    }

    pub(super) async fn apply(
        &self,
        name: &BackendName,
        target: &ActionTarget,
        before: &Backend,
    ) -> Result<Outputs, ActionError> {
        let mut session = Session::open(target, Access::Write).await?;
        let [pid, start] = name.values();
        if let Some(began) = (self.began)(before) {
            session.execute(self.signal, &[pid, start, began.into()]).await?;
        }
        session.close().await;
        Ok(Outputs::new())
    }

    /// It is gone; or it has gone on by itself, and is at something else.
    pub(super) async fn verify(
        &self,
        name: &BackendName,
        target: &ActionTarget,
        before: &Backend,
    ) -> Result<Verified, ActionError> {
        let goes_on = |now: &Backend| (self.goes_on)(now, before);
        let mut session = Session::open(target, Access::Read).await?;
        for look in 0..LOOKS {
            let now = backend::find(&mut session, name).await?;
            if !now.as_ref().is_some_and(goes_on) {
                session.close().await;
                return Ok(Verified::Done);
            }
            session.pause(pause_after(look)).await?;
        }
        Ok(Verified::NotDone(format!("{} {}", before.shown(), self.still)))
    }
}

/// One session is one user.
pub(super) fn blast() -> BlastRadius {
    BlastRadius { users: 1, ..BlastRadius::default() }
}
