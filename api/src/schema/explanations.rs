//! The queries that explain: why something is there, what lies between two runs, what another check would have found.

use super::codes::{BAD_USER_INPUT, INTERNAL, UNAVAILABLE, coded};
use super::context::{at_least, queries, query_error, tenant};
use super::ids::{local, optional};
use super::query::deployment;
use super::scalars::PositionScalar;
use super::types::{RunComparison, WhatIfReport, Why};
use crate::catalogue::CheckCatalogue;
use crate::what_if::{
    CHECK_FILE_BYTES_MAX, CHECK_FILES_MAX, THRESHOLDS_MAX, WhatIfAnswers, WhatIfProblem, WhatIfQuestion, WhatIfSteps,
};
use async_graphql::{Context, Error, ID, InputObject, Object, Result};
use chrono::{DateTime, Utc};
use domain::{CommandId, FindingId, RemediationId, RunId};
use query_side::{WhyBounds, WhySubject};
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// The most runs that one question over the API judges anew.
const RUNS_MAX: i32 = 10_000;

/// What is asked about: one of them.
#[derive(InputObject)]
#[expect(clippy::struct_field_names, reason = "the names are the schema's")]
pub struct WhySubjectInput {
    /// A finding: where it comes from and what followed.
    finding_id: Option<ID>,
    /// A run.
    run_id: Option<ID>,
    /// A remediation.
    remediation_id: Option<ID>,
    /// An event, by its UUID.
    event_id: Option<Uuid>,
    /// A command, also a refused one, by its UUID.
    command_id: Option<Uuid>,
}

impl WhySubjectInput {
    fn subject(&self) -> Result<WhySubject> {
        let finding = optional::<FindingId>(self.finding_id.as_ref())?.map(WhySubject::Finding);
        let run = optional::<RunId>(self.run_id.as_ref())?.map(WhySubject::Run);
        let remediation = optional::<RemediationId>(self.remediation_id.as_ref())?.map(WhySubject::Remediation);
        let event = self.event_id.map(WhySubject::Event);
        let command = self.command_id.map(|id| WhySubject::Command(CommandId(id)));
        let given: Vec<WhySubject> = [finding, run, remediation, event, command].into_iter().flatten().collect();
        match given.as_slice() {
            [one] => Ok(*one),
            _ => Err(coded(BAD_USER_INPUT, "exactly one of the ids is to be given")),
        }
    }
}

/// What would have been if a check or a threshold had been another one.
#[derive(InputObject)]
pub struct WhatIfInput {
    /// Whose runs are judged anew.
    deployment_id: ID,
    /// Runs that were asked for at that time or later; all where there is none.
    since: Option<DateTime<Utc>>,
    /// Runs that were asked for before; all where there is none.
    until: Option<DateTime<Utc>>,
    /// The texts of changed check files (TOML), at most 50.
    #[graphql(default)]
    check_files: Vec<String>,
    /// Changed thresholds, `CHECK[/THRESHOLD]=WARNING[,CRITICAL]`, at most 100.
    #[graphql(default)]
    thresholds: Vec<String>,
    /// The most runs that are judged anew, 1 to 10,000.
    #[graphql(default = 200)]
    runs_max: i32,
}

/// Explanations.
#[derive(Default)]
pub struct Explanations;

#[Object]
impl Explanations {
    /// Why something is there, up to who asked for it, and what followed from it; null where there is no such thing.
    #[graphql(complexity = "50 + child_complexity")]
    async fn why(
        &self,
        ctx: &Context<'_>,
        subject: WhySubjectInput,
        #[graphql(desc = "How far, 1 to 32: events that answer each other count one each.", default = 8)] depth: i32,
        #[graphql(desc = "How many nodes, 1 to 1000.", default = 200)] nodes: i32,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
    ) -> Result<Option<Why>> {
        self::at_least(ctx, at_least).await?;
        let bounds = WhyBounds { depth: i64::from(depth), nodes: i64::from(nodes) };
        let found = queries(ctx)?.why(tenant(ctx)?, subject.subject()?, bounds).await;
        Ok(found.map_err(|error| query_error(&error))?.map(Into::into))
    }

    /// Two runs of one deployment beside each other, and what happened in between; null where there are no such two.
    #[graphql(complexity = "50 + child_complexity")]
    async fn compare_runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The run that is compared with.")] base: ID,
        #[graphql(desc = "The run that is compared.")] head: ID,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
    ) -> Result<Option<RunComparison>> {
        self::at_least(ctx, at_least).await?;
        let found = queries(ctx)?.compare_runs(tenant(ctx)?, local(&base)?, local(&head)?).await;
        Ok(found.map_err(|error| query_error(&error))?.map(Into::into))
    }

    /// Judges stored measurements anew, by changed checks or thresholds: which findings would have been raised, when,
    /// and which would never have been there. Nothing is measured. `whatIfProgress` is the same with progress, for
    /// questions that take longer than a request may.
    #[graphql(complexity = "100 + child_complexity")]
    async fn what_if(&self, ctx: &Context<'_>, input: WhatIfInput) -> Result<WhatIfReport> {
        let (answers, question) = asked(ctx, input).await?;
        let answer = answers.ask(question, watch::Sender::new(WhatIfSteps::default())).await;
        answered(answer)
    }
}

/// Who answers, and the question, of a deployment of the caller's.
pub(super) async fn asked(ctx: &Context<'_>, input: WhatIfInput) -> Result<(Arc<dyn WhatIfAnswers>, WhatIfQuestion)> {
    let wrong = |message: String| Err(coded(BAD_USER_INPUT, message));
    if !(1..=RUNS_MAX).contains(&input.runs_max) {
        return wrong(format!("runsMax must be between 1 and {RUNS_MAX}"));
    }
    if input.check_files.len() > CHECK_FILES_MAX || input.thresholds.len() > THRESHOLDS_MAX {
        return wrong(format!("at most {CHECK_FILES_MAX} checkFiles and {THRESHOLDS_MAX} thresholds are taken"));
    }
    if input.check_files.iter().any(|text| text.len() > CHECK_FILE_BYTES_MAX) {
        return wrong(format!("a check file has at most {CHECK_FILE_BYTES_MAX} bytes"));
    }
    let Some(found) = deployment(ctx, local(&input.deployment_id)?).await? else {
        return wrong("there is no such deployment".to_owned());
    };
    let answers = ctx.data::<Arc<dyn CheckCatalogue>>()?.what_if();
    let answers = answers.ok_or_else(|| coded(UNAVAILABLE, "this installation answers no what-if questions"))?;
    let question = WhatIfQuestion {
        deployment: found.0.id,
        since: input.since,
        until: input.until,
        check_files: input.check_files,
        thresholds: input.thresholds,
        runs_max: input.runs_max as usize,
    };
    Ok((answers, question))
}

/// The answer as the schema has it.
pub(super) fn answered(answer: Result<serde_json::Value, WhatIfProblem>) -> Result<WhatIfReport> {
    let report = answer.map_err(|problem| refused(&problem))?;
    serde_json::from_value(report).map_err(|error| {
        tracing::error!(%error, "a what-if report is not in the schema's form");
        coded(INTERNAL, "the answer can not be shown; the platform's log says why")
    })
}

fn refused(problem: &WhatIfProblem) -> Error {
    match problem {
        WhatIfProblem::Wrong(why) => coded(BAD_USER_INPUT, why.clone()),
        WhatIfProblem::Unavailable(why) => {
            tracing::warn!(error = %why, "a what-if question was not answered");
            coded(UNAVAILABLE, "the stored measurements can not be read just now")
        }
    }
}
