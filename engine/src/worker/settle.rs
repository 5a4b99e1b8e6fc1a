//! What an outcome of a recording command means for the results that it carried: a pure decision.

use super::recorder::Batch;
use super::stock::ItemId;
use command_side::CommandError;
use domain::Outcome;
use domain::diagnostic_run::CheckResult;

/// What is to be done with a batch whose command was sent.
#[derive(Debug)]
pub(super) enum Settlement {
    /// They are in their run, or were already.
    Recorded(Vec<ItemId>),
    /// Their run does not take them, now or ever.
    Useless(Vec<ItemId>),
    /// These are to be sent instead, at once.
    Instead(Vec<Batch>),
    /// The same is to be sent again.
    Later {
        /// What.
        batch: Batch,
        /// What failed.
        why: String,
        /// Whether the log as a whole does not answer.
        outage: bool,
    },
}

/// Decides what an outcome means.
pub(super) fn settle(batch: Batch, outcome: Result<(), CommandError>) -> Settlement {
    let error = match outcome {
        Ok(()) => return Settlement::Recorded(batch.items()),
        Err(error) => error,
    };
    let why = error.to_string();
    match error {
        CommandError::Refused { code, message } => refused(batch, &code, message),
        CommandError::TooLarge => apart(batch, "it is larger than the event log takes"),
        // The derived id belongs to another content: two claims with one number, after the queue's rows were restored.
        CommandError::CommandReused => Settlement::Instead(vec![salted(batch)]),
        CommandError::Conflict | CommandError::Overloaded => Settlement::Later { batch, why, outage: false },
        CommandError::Unavailable(_) | CommandError::Damaged { .. } => Settlement::Later { batch, why, outage: true },
    }
}

fn refused(batch: Batch, code: &str, message: String) -> Settlement {
    match code {
        "run_already_ended" => Settlement::Useless(batch.items()),
        "run_unknown" | "run_misaddressed" => {
            tracing::error!(run = %batch.facts.run, code, "a run does not take its results");
            Settlement::Useless(batch.items())
        }
        // Decided from a state that was behind the event that queued the work. A refusal is on record for its command's
        // id: the next try is another command.
        "run_not_planned" => Settlement::Later { batch: salted(batch), why: message, outage: false },
        _ if batch.results.is_empty() => Settlement::Useless(Vec::new()),
        "check_not_planned" if batch.results.len() == 1 => {
            tracing::error!(run = %batch.facts.run, message, "a result is of a check that its run does not have");
            Settlement::Useless(batch.items())
        }
        _ => apart(batch, &message),
    }
}

/// Something in the batch can not be recorded: halves it until that stands alone, and says so instead of it.
fn apart(mut batch: Batch, why: &str) -> Settlement {
    if batch.results.len() > 1 {
        let rest = batch.results.split_off(batch.results.len() / 2);
        let rest = Batch { facts: batch.facts.clone(), results: rest, salt: batch.salt };
        return Settlement::Instead(vec![batch, rest]);
    }
    match batch.results.pop() {
        Some(one) if one.result.unknown_cause.as_deref().is_none_or(|cause| !cause.starts_with(NOT_RECORDED)) => {
            tracing::error!(run = %batch.facts.run, check = %one.result.key.check, why, "a result can not be recorded");
            let result = not_recorded(&one.result, why);
            batch.results.push(super::recorder::Pending { result, ..one });
            Settlement::Instead(vec![salted(batch)])
        }
        // Not even that it can not be recorded could be: the run times out, and names the check as missing.
        Some(one) => Settlement::Useless(vec![one.id]),
        None => Settlement::Useless(Vec::new()),
    }
}

const NOT_RECORDED: &str = "the result could not be recorded: ";

fn not_recorded(result: &CheckResult, why: &str) -> CheckResult {
    let cause: String = format!("{NOT_RECORDED}{why}").chars().take(1_000).collect();
    CheckResult {
        key: result.key.clone(),
        version: result.version.chars().take(64).collect(),
        outcome: Outcome::Unknown,
        summary: cause.clone(),
        unknown_cause: Some(cause),
        observations: Vec::new(),
        omitted: 0,
        metrics: std::collections::BTreeMap::new(),
        evidence: None,
        measured_at: result.measured_at,
        duration_ms: result.duration_ms,
    }
}

fn salted(batch: Batch) -> Batch {
    Batch { salt: batch.salt.wrapping_add(1), ..batch }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::recorder::{Pending, RunFacts};
    use domain::testing::{RUN, check_result, start};
    use domain::{CorrelationId, TenantId};
    use std::time::Duration;

    fn batch(results: u32) -> Batch {
        let facts = RunFacts {
            run: RUN,
            tenant: TenantId::default(),
            correlation: CorrelationId(RUN.0),
            causation: None,
            traceparent: None,
            deadline: start(),
        };
        let pending =
            |number: u32| Pending { id: number.into(), attempt: 1, result: check_result(number, Outcome::Ok) };
        Batch { facts, results: (0..results).map(pending).collect(), salt: 0 }
    }

    fn refusal(code: &str) -> Result<(), CommandError> {
        Err(CommandError::Refused { code: code.to_owned(), message: "no".to_owned() })
    }

    /// In short: what is to be done, and with how many results (of each batch, and its salt).
    fn verdict(results: u32, outcome: Result<(), CommandError>) -> String {
        match settle(batch(results), outcome) {
            Settlement::Recorded(items) => format!("recorded {}", items.len()),
            Settlement::Useless(items) => format!("useless {}", items.len()),
            Settlement::Instead(batches) => {
                let parts: Vec<_> = batches.iter().map(|one| format!("{}/{}", one.results.len(), one.salt)).collect();
                format!("instead {}", parts.join(" "))
            }
            Settlement::Later { batch, outage, .. } => {
                format!("later {}/{} outage {outage}", batch.results.len(), batch.salt)
            }
        }
    }

    #[test]
    fn outcomes_are_judged() {
        let damaged = CommandError::Damaged { reason: "x".to_owned() };
        let away = CommandError::Unavailable(Duration::from_secs(2));
        for (results, outcome, expected) in [
            (3, Ok(()), "recorded 3"),
            (0, Ok(()), "recorded 0"),
            (3, refusal("run_already_ended"), "useless 3"),
            (3, refusal("run_unknown"), "useless 3"),
            (3, refusal("run_not_planned"), "later 3/1 outage false"),
            (0, refusal("anything"), "useless 0"),
            (5, refusal("outcome_mismatch"), "instead 2/0 3/0"),
            (1, refusal("outcome_mismatch"), "instead 1/1"),
            (2, refusal("check_not_planned"), "instead 1/0 1/0"),
            (1, refusal("check_not_planned"), "useless 1"),
            (4, Err(CommandError::TooLarge), "instead 2/0 2/0"),
            (2, Err(CommandError::CommandReused), "instead 2/1"),
            (2, Err(CommandError::Conflict), "later 2/0 outage false"),
            (2, Err(CommandError::Overloaded), "later 2/0 outage false"),
            (2, Err(away), "later 2/0 outage true"),
            (2, Err(damaged), "later 2/0 outage true"),
        ] {
            assert_eq!(verdict(results, outcome.clone()), expected, "{outcome:?}");
        }
    }

    #[test]
    fn what_stands_for_a_refused_result_is_tried_once() {
        let Settlement::Instead(mut batches) = settle(batch(1), refusal("outcome_mismatch")) else { panic!() };
        let stand_in = batches.remove(0);
        assert_eq!(stand_in.results[0].result.outcome, Outcome::Unknown);
        assert_ne!(stand_in.command_id(), batch(1).command_id(), "the refusal of the first is on record");
        assert!(matches!(settle(stand_in, refusal("text_too_long")), Settlement::Useless(items) if items == [0]));
    }
}
