//! How a request comes by its answer: one that is kept and true, one that an identical request is just getting, or its
//! own, which is then kept for the next.

use super::graphql::body_of;
use super::params::{Malformed, Params};
use crate::auth::Caller;
use crate::schema::documents::AllowedOperations;
use crate::state::ApiState;
use async_graphql::Response as GraphqlResponse;
use axum::body::Bytes;
use axum::http::Uri;
use query_side::{Answers, Entered, Question};
use std::sync::Arc;
use tracing::Instrument;

/// What was sent, as it was sent.
pub enum Asked {
    /// In the query string.
    ByGet(Uri),
    /// In the body.
    ByPost(Bytes),
}

/// Why a request gets no answer of GraphQL.
pub enum Turned {
    /// It is none.
    Malformed(Malformed),
    /// Too many are in work.
    Away,
}

/// An answer.
pub enum Answered {
    /// Without errors, ready to be sent.
    Fine(Bytes),
    /// As GraphQL has it.
    Response(Box<GraphqlResponse>),
}

impl From<Malformed> for Turned {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Asked {
    fn params(&self) -> Result<Params, Malformed> {
        match self {
            Self::ByGet(uri) => Params::from_uri(uri),
            Self::ByPost(body) => Params::from_json(body),
        }
    }

    /// All that the answer depends on beside the data. Who asks is not in it: an answer that depends on that is not
    /// kept (`schema::context::caller`).
    fn question(&self, scope: &Arc<str>) -> Question {
        let (by, asked) = match self {
            Self::ByGet(uri) => ("GET", uri.query().unwrap_or_default().as_bytes()),
            Self::ByPost(body) => ("POST", &body[..]),
        };
        Question { scope: Arc::clone(scope), by, asked: asked.into() }
    }
}

/// The answer of a request.
pub async fn answered(
    state: &ApiState,
    caller: Caller,
    allowed: AllowedOperations,
    asked: Asked,
) -> Result<Answered, Turned> {
    let Some(answers) = state.queries.cache().answers() else {
        return Box::pin(executed(state, asked.params()?, caller, allowed)).await;
    };
    let question = asked.question(&state.scope);
    if let Some(body) = answers.get(&question).await {
        state.metrics.kept_answers.inc();
        return Ok(Answered::Fine(body));
    }
    let params = asked.params()?;
    // On the heap: what answers most requests is small, and is not to be moved about with all that this may hold.
    if params.may_be_kept(&state.documents) {
        Box::pin(shared(state, answers, &question, params, (caller, allowed))).await
    } else {
        Box::pin(executed(state, params, caller, allowed)).await
    }
}

/// By whoever of those who ask the same is the first.
async fn shared(
    state: &ApiState,
    answers: &Answers,
    question: &Question,
    params: Params,
    (caller, allowed): (Caller, AllowedOperations),
) -> Result<Answered, Turned> {
    let answering = match answers.enter(question).await {
        Entered::Answered(body) => {
            state.metrics.kept_answers.inc();
            return Ok(Answered::Fine(body));
        }
        Entered::Alone => return executed(state, params, caller, allowed).await,
        Entered::Yours(answering) => answering,
    };
    let _admitted = state.admission.admit().await.ok_or(Turned::Away)?;
    // After it is ours to answer: what is read is then as new as anything that those who wait could have seen.
    let (queries, reads) = state.queries.recording().await;
    let mut prepared = params.into_request(&queries, caller, allowed);
    prepared.request = prepared.request.data(queries.clone()).data(reads);
    let response = run(state, prepared.request).await;
    match fine(&response) {
        Some(body) => {
            answering.landed(body.clone(), queries.basis());
            Ok(Answered::Fine(body))
        }
        None => {
            answering.unshared();
            Ok(Answered::of(response))
        }
    }
}

/// For this request alone.
async fn executed(
    state: &ApiState,
    params: Params,
    caller: Caller,
    allowed: AllowedOperations,
) -> Result<Answered, Turned> {
    let _admitted = state.admission.admit().await.ok_or(Turned::Away)?;
    Ok(Answered::of(run(state, params.into_request(&state.queries, caller, allowed).request).await))
}

async fn run(state: &ApiState, request: async_graphql::Request) -> GraphqlResponse {
    let span = tracing::debug_span!("graphql.request", graphql.operation.name = request.operation_name);
    state.schema.execute(request).instrument(span).await
}

/// The body of an answer that any other would get, too: nothing went wrong, and no resolver spoke to HTTP.
fn fine(response: &GraphqlResponse) -> Option<Bytes> {
    let is_fine = response.errors.is_empty() && response.http_headers.is_empty();
    is_fine.then(|| body_of(response).ok().map(Bytes::from)).flatten()
}

impl Answered {
    fn of(response: GraphqlResponse) -> Self {
        Self::Response(Box::new(response))
    }
}
