//! Sends the commands of many events at once: those to one stream one after the other, the streams side by side.

use super::runner::{Process, ProcessError};
use super::status::StatusBoard;
use crate::clock::Clock;
use crate::trace;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use std::collections::HashMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where and how commands are sent.
pub(crate) struct Dispatch<'a> {
    pub parallel: usize,
    pub stop: &'a CancellationToken,
    pub board: &'a StatusBoard,
    pub clock: &'a dyn Clock,
}

impl Dispatch<'_> {
    /// Performs all of it; what is given back is the last of each stream. Stops at the first thing that can not be
    /// helped.
    pub async fn perform<P: Process>(
        &self,
        hands: &P::Hands,
        work: Vec<P::Work>,
    ) -> Result<Vec<P::Done>, ProcessError> {
        let mut lanes: HashMap<Uuid, Vec<P::Work>> = HashMap::new();
        for piece in work {
            lanes.entry(P::lane(&piece)).or_default().push(piece);
        }
        let lanes = lanes.into_values().map(|lane| async move {
            let mut last = None;
            let sent = lane.len();
            for piece in lane {
                let cause = P::cause(&piece);
                let span = tracing::debug_span!("process.react", otel.name = P::NAME, cause = %cause.event_id);
                trace::adopt(&span, cause.traceparent.as_deref());
                last = Some(self.persist::<P>(hands, &piece).instrument(span).await?);
            }
            self.board.sent(sent);
            Ok::<_, ProcessError>(last)
        });
        let done: Vec<Option<P::Done>> =
            stream::iter(lanes).buffer_unordered(self.parallel.max(1)).try_collect().await?;
        Ok(done.into_iter().flatten().collect())
    }

    /// Tries for as long as the trouble may pass.
    async fn persist<P: Process>(&self, hands: &P::Hands, piece: &P::Work) -> Result<P::Done, ProcessError> {
        let mut pause = PAUSE_MIN;
        loop {
            let answer = self.stop.run_until_cancelled(P::perform(hands, piece)).await.ok_or(ProcessError::Stopped)?;
            match answer {
                Ok(done) => return Ok(done),
                Err(error) if error.is_transient() => {
                    self.board.fail(self.clock.now(), &error.to_string());
                    self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.ok_or(ProcessError::Stopped)?;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
