//! Which rules are about a plan, and what they say of it together.

use super::definition::{Automatic, Mode, PolicyDefinition, Rule};
use super::glob::Glob;
use super::request::AdmissionRequest;
use super::standing::Verdict;
use super::state::PolicyState;
use crate::ids::ActionName;
use crate::remediation::{Admission, Trigger};
use chrono::{DateTime, Utc};

/// What the rules say.
pub(super) enum Ruling {
    /// Not at all, and why.
    Never(String),
    /// Not before then, and why.
    NotNow(DateTime<Utc>, String),
    /// With this agreement.
    Agreed(Agreed),
}

/// The strictest of what the rules ask for.
#[derive(Default)]
pub(super) struct Agreed {
    people: u8,
    unattended: bool,
    automatic: Option<Automatic>,
    rules: Vec<String>,
}

/// What the rules say of a plan: for each action the first that applies, and of these the strictest.
pub(super) fn rule_on(definition: &PolicyDefinition, request: &AdmissionRequest, now: DateTime<Utc>) -> Ruling {
    let mut agreed = Agreed::default();
    let mut not_before: Option<(DateTime<Utc>, String)> = None;
    for (action, _) in &request.actions {
        let about: Vec<&Rule> = definition.rules.iter().filter(|rule| rule.is_about(action, request)).collect();
        let Some(rule) = about.iter().find(|rule| rule.is_within_hours(now)) else {
            let opening =
                about.iter().flat_map(|rule| &rule.windows).filter_map(|window| window.next_beginning(now)).min();
            match opening {
                Some(at) if not_before.as_ref().is_none_or(|(latest, _)| at > *latest) => {
                    not_before = Some((at, format!("no rule is about {action} at this hour")));
                }
                Some(_) => {}
                None => return Ruling::Never(format!("no rule is about {action} here")),
            }
            continue;
        };
        match &rule.mode {
            Mode::Never => return Ruling::Never(format!("rule {:?} forbids {action}", rule.name)),
            Mode::Approval(approval) => agreed.people = agreed.people.max(approval.people),
            Mode::Unattended => agreed.unattended = true,
            Mode::Automatic(automatic) => {
                agreed.automatic = Some(agreed.automatic.map_or(*automatic, |other| other.and(*automatic)));
            }
        }
        if !agreed.rules.contains(&rule.name) {
            agreed.rules.push(rule.name.clone());
        }
    }
    match not_before {
        Some((at, reason)) => Ruling::NotNow(at, reason),
        None => Ruling::Agreed(agreed),
    }
}

impl Rule {
    fn is_about(&self, action: &ActionName, request: &AdmissionRequest) -> bool {
        let any = |globs: &[Glob], name: &str| globs.is_empty() || globs.iter().any(|glob| glob.matches(name));
        any(&self.actions, action.as_str())
            && any(&self.checks, request.check.as_str())
            && (self.severities.is_empty() || self.severities.contains(&request.severity))
            && (self.deployments.is_empty()
                || self.deployments.iter().any(|glob| glob.selects(&request.deployment_name, &request.labels)))
    }

    fn is_within_hours(&self, now: DateTime<Utc>) -> bool {
        self.windows.is_empty() || self.windows.iter().any(|window| window.contains(now))
    }
}

impl Agreed {
    /// Who must agree to this plan now.
    pub(super) fn decide(self, state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> Verdict {
        let definition = state.definition();
        let rules = self.rules.join(", ");
        let approval = |people| Admission::Approval { people, expires_at: now + definition.approval_ttl.delta() };
        let verdict = Verdict::of;
        if request.always_approve || !request.reversible {
            let people = self.people.max(definition.irreversible_people);
            let why = if request.reversible { "a step is always to be approved" } else { "it can not be taken back" };
            return verdict(approval(people), format!("{why} (rules: {rules})"));
        }
        if self.people > 0 {
            return verdict(approval(self.people), format!("to be approved (rules: {rules})"));
        }
        if self.unattended {
            return verdict(Admission::Unattended, format!("a person may have it done (rules: {rules})"));
        }
        let Some(automatic) = self.automatic else {
            return verdict(Admission::Forbidden, "no rule is about it".to_owned());
        };
        let posterior = state.statistics.of(&request.statistics_key());
        let (bound, earned) = posterior.earned(&automatic);
        let (seen, good) = (posterior.samples(), posterior.successes);
        let (admission, reason) = match earned {
            Ok(()) if request.flapping && request.trigger == Trigger::Person => {
                let why = "the finding changes to and fro: to be approved";
                (approval(automatic.otherwise_people), format!("{why} (rules: {rules})"))
            }
            Ok(()) => {
                let why = format!("{good} of {seen} succeeded: at least {bound} by {}", automatic.confidence);
                (Admission::Automatic, format!("{why} (rules: {rules})"))
            }
            Err(why) => (approval(automatic.otherwise_people), format!("not yet by itself: {why} (rules: {rules})")),
        };
        Verdict { automatic: Some(automatic), lower_bound: Some(bound), ..verdict(admission, reason) }
    }
}

#[cfg(test)]
mod tests;
