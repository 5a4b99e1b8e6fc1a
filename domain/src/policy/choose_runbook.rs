//! Chooses one of several runbooks for the same finding. By Thompson sampling: each is drawn for from what is known of
//! its success, and the highest draw wins; so each is taken as often as it is likely to be the best.
//!
//! The draws follow from the seed in the command and are in the event with what they were drawn from: anybody can make
//! the same choice again. Nothing to do where the choice was made.

use super::quantities::Share;
use super::request::StatisticsKey;
use super::statistics::Posterior;
use super::{Choosing, PolicyEvent, PolicyRefusal, PolicyState};
use crate::decider::Context;
use crate::ids::{CheckCode, PolicyName, RemediationId, RunbookName};
use crate::text::required;
use serde::{Deserialize, Serialize};

/// The most runbooks to choose from.
pub const CANDIDATES_MAX: usize = 32;
const VERSION_CHARS_MAX: usize = 64;

/// A runbook that could be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The runbook.
    pub runbook: RunbookName,
    /// Its version.
    pub version: String,
}

/// What a remediation asks the policy to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceRequest {
    /// The policy that it is sent to.
    pub policy: PolicyName,
    /// The remediation.
    pub remediation: RemediationId,
    /// The check that raised the finding.
    pub check: CheckCode,
    /// The version of the check in force.
    pub check_version: String,
    /// The runbooks, best known first; each can put the finding right.
    pub candidates: Vec<Candidate>,
    /// What the draws follow from; drawn by whoever sends it.
    pub seed: u64,
}

/// One candidate's draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw {
    /// The candidate.
    pub candidate: Candidate,
    /// What was known of it.
    pub posterior: Posterior,
    /// The even draw that follows from the seed; `None` where nothing was drawn.
    pub uniform: Option<Share>,
    /// The share of successes that the posterior gives for it.
    pub drawn: Option<Share>,
}

/// A choice, with all that it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// For which remediation.
    pub remediation: RemediationId,
    /// The chosen one.
    pub chosen: Candidate,
    /// How.
    pub by: Choosing,
    /// All candidates.
    pub draws: Vec<Draw>,
    /// The seed.
    pub seed: u64,
}

/// The choice among these; `None` where there are none.
pub fn choose_runbook(state: &PolicyState, request: &ChoiceRequest) -> Option<Choice> {
    let by = state.definition().choose;
    let mut draws = Vec::with_capacity(request.candidates.len());
    for (index, candidate) in request.candidates.iter().enumerate() {
        let key = StatisticsKey {
            runbook: candidate.runbook.clone(),
            runbook_version: candidate.version.clone(),
            check: request.check.clone(),
            check_version: request.check_version.clone(),
        };
        let posterior = state.statistics.of(&key);
        let uniform = (by == Choosing::Thompson).then(|| uniform(request.seed, index));
        let drawn = uniform.map(|uniform| posterior.draw(uniform));
        draws.push(Draw { candidate: candidate.clone(), posterior, uniform, drawn });
    }
    // Of equal draws the first wins, so that with nothing drawn the first candidate does.
    let best = draws.iter().reduce(|best, draw| if draw.drawn > best.drawn { draw } else { best })?;
    let chosen = best.candidate.clone();
    Some(Choice { remediation: request.remediation, chosen, by, draws, seed: request.seed })
}

/// The even draw of this number from this seed (SplitMix64), strictly between 0 and 1.
fn uniform(seed: u64, index: usize) -> Share {
    let mut mixed = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // The high half of the product spreads evenly over the millionths, but for their ends.
    let spread = u128::from(mixed) * u128::from(Share::WHOLE - 1);
    Share::millionths(1 + (spread >> 64) as u32)
}

pub(super) fn decide(
    state: &PolicyState,
    request: &ChoiceRequest,
    context: &Context,
) -> Result<Vec<PolicyEvent>, PolicyRefusal> {
    state.require_name(&request.policy)?;
    if request.candidates.is_empty() || request.candidates.len() > CANDIDATES_MAX {
        return Err(PolicyRefusal::CandidatesOutOfBounds { max: CANDIDATES_MAX });
    }
    required("the check's version", &request.check_version, VERSION_CHARS_MAX)?;
    for candidate in &request.candidates {
        required("a runbook's version", &candidate.version, VERSION_CHARS_MAX)?;
    }
    let same = |choice: &Choice| choice.draws.iter().map(|draw| &draw.candidate).eq(&request.candidates);
    if state.choice(request.remediation).is_some_and(same) {
        return Ok(Vec::new());
    }
    let choice = choose_runbook(state, request);
    let policy = request.policy.clone();
    let chosen = choice.map(|choice| PolicyEvent::RunbookChosen { policy, choice, at: context.now });
    Ok(chosen.into_iter().collect())
}

#[cfg(test)]
mod tests;
