//! A what-if question with its progress.

use crate::schema::explanations::{WhatIfInput, answered, asked};
use crate::schema::types::WhatIfProgress;
use crate::what_if::WhatIfSteps;
use async_graphql::{Context, Result, Subscription};
use futures::stream::{self, BoxStream, StreamExt};
use std::pin::Pin;
use tokio::sync::watch;

/// What-if questions.
#[derive(Default)]
pub struct WhatIfSubscription;

#[Subscription]
impl WhatIfSubscription {
    /// Judges stored measurements anew, as the query `whatIf` does, and tells how far it has come; the last thing sent
    /// has the report.
    async fn what_if_progress(
        &self,
        ctx: &Context<'_>,
        input: WhatIfInput,
    ) -> Result<BoxStream<'static, Result<WhatIfProgress>>> {
        let (answers, question) = asked(ctx, input).await?;
        let steps = watch::Sender::new(WhatIfSteps::default());
        let seen = steps.subscribe();
        // Asked within the stream: who goes away takes the question along.
        let answer: Answer = Box::pin(async move { answers.ask(question, steps).await });
        Ok(stream::unfold(Some(Asking { answer, seen }), next).boxed())
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<serde_json::Value, crate::what_if::WhatIfProblem>> + Send>>;

struct Asking {
    answer: Answer,
    seen: watch::Receiver<WhatIfSteps>,
}

async fn next(asking: Option<Asking>) -> Option<(Result<WhatIfProgress>, Option<Asking>)> {
    let mut asking = asking?;
    tokio::select! {
        biased;
        answer = &mut asking.answer => {
            let steps = *asking.seen.borrow();
            Some((answered(answer).map(|report| progress(steps, Some(report))), None))
        }
        Ok(()) = asking.seen.changed() => {
            let steps = *asking.seen.borrow_and_update();
            Some((Ok(progress(steps, None)), Some(asking)))
        }
    }
}

fn progress(steps: WhatIfSteps, report: Option<crate::schema::types::WhatIfReport>) -> WhatIfProgress {
    WhatIfProgress { runs: steps.runs as i64, results: steps.results as i64, at: steps.at, report }
}
