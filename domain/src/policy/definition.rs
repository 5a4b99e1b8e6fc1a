//! What a policy says. The same form in events, over the API, and as a TOML file (`docs/examples/policy.toml`).

use super::calendar::{Blackout, Weekly};
use super::glob::Glob;
use super::quantities::{Share, Span};
use crate::outcome::Outcome;
use crate::remediation::BlastRadius;
use crate::text::{REASON_CHARS_MAX, TextRefusal, required};
use serde::{Deserialize, Serialize};

/// The most rules of a policy.
pub const RULES_MAX: usize = 100;
/// The most patterns or windows in one list of a rule.
pub const LIST_MAX: usize = 64;
/// The most blackouts of a policy.
pub const BLACKOUTS_MAX: usize = 200;
/// The longest name of a rule, in characters.
pub const RULE_NAME_CHARS_MAX: usize = 64;
/// The most open remediations that a policy can allow.
pub const OPEN_MAX: u32 = 10_000;
/// The most people that an approval can take.
pub const PEOPLE_MAX: u8 = 2;

/// What may run by itself, what needs whose approval, and what holds all of it back. What is left out is as in the
/// built-in policy ([`PolicyDefinition::default`]): nothing runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PolicyDefinition {
    /// For each action of a plan the first rule that applies counts; of their modes the strictest decides. A plan with
    /// an action that no rule is about is forbidden.
    pub rules: Vec<Rule>,
    /// How many people must approve a plan that can not be taken back in full, or one of whose steps is always to be
    /// approved, whatever the rules say: 1 or 2.
    pub irreversible_people: u8,
    /// How long an approval is waited for, and is good for once given.
    pub approval_ttl: Span,
    /// When nothing is done.
    pub blackouts: Vec<Blackout>,
    /// How much may be touched at a time by all open remediations together.
    pub budget: Budget,
    /// How often the same resource may be touched.
    pub rate: RateLimit,
    /// When failures stop further ones.
    pub breaker: BreakerSettings,
    /// What holds back a flood.
    pub storm: StormGuard,
    /// Which of several runbooks for the same finding is taken.
    pub choose: Choosing,
}

/// What a rule is about, and what it says of that. An empty list is about all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// Its name, for the reasons that people are given.
    pub name: String,
    /// Actions, such as `postgres.*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Glob>,
    /// Checks, such as `CM-STORE-*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Glob>,
    /// Deployments by name, or by label: `label:tier=test*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<Glob>,
    /// `warning`, `critical`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub severities: Vec<Outcome>,
    /// Outside of these hours the rule does not apply: the next one that does decides. Where there is none, the plan
    /// waits for the hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Weekly>,
    /// What it says.
    pub mode: Mode,
}

/// Who must have agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Not at all.
    Never,
    /// After approval.
    Approval(Approval),
    /// A person has it done; nobody approves.
    Unattended,
    /// By itself, where it has earned that.
    Automatic(Automatic),
}

/// How many people approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Approval {
    /// Different ones: 1 or 2.
    pub people: u8,
}

/// What earns the right to run by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Automatic {
    /// The share of successes is at least this,
    pub min_lower_bound: Share,
    /// with this probability, given all that has been seen of the runbook (in its version) for the check (in its),
    #[serde(default = "default_confidence")]
    pub confidence: Share,
    /// and it has been seen this often.
    pub min_samples: u32,
    /// After a failure: so many successes in a row, under approval, before the figures count again.
    #[serde(default = "default_probation")]
    pub probation: u32,
    /// How many people approve as long as the right is not earned.
    #[serde(default = "default_people")]
    pub otherwise_people: u8,
}

const fn default_confidence() -> Share {
    Share::millionths(950_000)
}

const fn default_probation() -> u32 {
    1
}

const fn default_people() -> u8 {
    1
}

/// How much may be touched at a time. Reserved when a plan is admitted, released when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Budget {
    /// Deployments.
    pub deployments: u64,
    /// Document stores.
    pub stores: u64,
    /// Documents or files.
    pub documents: u64,
    /// Users.
    pub users: u64,
    /// Bytes.
    pub bytes: u64,
    /// Open remediations.
    pub max_open: u32,
}

impl Budget {
    /// The first unit in which this is too much: its name, how much it is, how much may be.
    pub fn exceeded_by(&self, blast: &BlastRadius) -> Option<(&'static str, u64, u64)> {
        [
            ("deployments", blast.deployments, self.deployments),
            ("stores", blast.stores, self.stores),
            ("documents", blast.documents, self.documents),
            ("users", blast.users, self.users),
            ("bytes", blast.bytes, self.bytes),
        ]
        .into_iter()
        .find(|(_, is, may)| is > may)
    }
}

/// So many admissions of the same resource within a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RateLimit {
    /// How many.
    pub per_resource: u32,
    /// Within what.
    pub per: Span,
}

/// When a circuit breaker opens, and when it tries again. There is one for each action in each deployment, and one for
/// each resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BreakerSettings {
    /// After so many failures
    pub open_after: u32,
    /// within this span.
    pub within: Span,
    /// So long after it has opened, one is let through to try.
    pub half_open_after: Span,
}

/// What holds back a flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StormGuard {
    /// The most admissions in one deployment within a minute.
    pub per_deployment_minute: u32,
    /// What the policy itself wants to do about a flapping finding waits so long; what a person asks for needs an
    /// approval.
    pub flapping_wait: Span,
}

/// Which of several runbooks for the same finding is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choosing {
    /// The first.
    First,
    /// Each as often as it is likely to be the best, given what has been seen (Thompson sampling).
    Thompson,
}

impl Default for Budget {
    fn default() -> Self {
        Self { deployments: 1, stores: 2, documents: 1_000, users: 100, bytes: 10_000_000_000, max_open: 10 }
    }
}

impl Default for PolicyDefinition {
    fn default() -> Self {
        let all = Rule {
            name: "built-in".to_owned(),
            actions: Vec::new(),
            checks: Vec::new(),
            deployments: Vec::new(),
            severities: Vec::new(),
            windows: Vec::new(),
            mode: Mode::Approval(Approval { people: 1 }),
        };
        Self {
            rules: vec![all],
            irreversible_people: 2,
            approval_ttl: Span::seconds(8 * 3_600),
            blackouts: Vec::new(),
            budget: Budget::default(),
            rate: RateLimit { per_resource: 5, per: Span::seconds(3_600) },
            breaker: BreakerSettings {
                open_after: 3,
                within: Span::seconds(3_600),
                half_open_after: Span::seconds(1_800),
            },
            storm: StormGuard { per_deployment_minute: 30, flapping_wait: Span::seconds(600) },
            choose: Choosing::First,
        }
    }
}

/// Why a definition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionRefusal {
    /// Something is out of bounds or could never be met.
    #[error("{0}")]
    OutOfBounds(&'static str),
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
}

pub(super) const fn refuse(what: &'static str) -> Result<(), DefinitionRefusal> {
    Err(DefinitionRefusal::OutOfBounds(what))
}

impl PolicyDefinition {
    /// Refuses what is out of bounds or could never be met.
    pub fn check(&self) -> Result<(), DefinitionRefusal> {
        if self.rules.is_empty() || self.rules.len() > RULES_MAX {
            return refuse("a policy has 1 to 100 rules");
        }
        self.rules.iter().try_for_each(Rule::check)?;
        check_people(self.irreversible_people)?;
        if self.approval_ttl < Span::seconds(60) || self.approval_ttl > Span::seconds(30 * 86_400) {
            return refuse("approval-ttl is not between 1m and 30d");
        }
        if self.blackouts.len() > BLACKOUTS_MAX {
            return refuse("a policy has at most 200 blackouts");
        }
        for blackout in &self.blackouts {
            required("a blackout's reason", &blackout.reason, REASON_CHARS_MAX)?;
            blackout.check()?;
        }
        if !(1..=OPEN_MAX).contains(&self.budget.max_open) {
            return refuse("max-open is not between 1 and 10,000");
        }
        if !(1..=1_000).contains(&self.rate.per_resource) {
            return refuse("per-resource is not between 1 and 1,000");
        }
        if self.rate.per < Span::seconds(1) || self.rate.per > Span::seconds(7 * 86_400) {
            return refuse("the rate's span is not between 1s and 7d");
        }
        if !(1..=100).contains(&self.breaker.open_after) {
            return refuse("open-after is not between 1 and 100");
        }
        if self.breaker.within < Span::seconds(1) || self.breaker.half_open_after < Span::seconds(1) {
            return refuse("the breaker's spans are not at least 1s");
        }
        if !(1..=1_000).contains(&self.storm.per_deployment_minute) {
            return refuse("per-deployment-minute is not between 1 and 1,000");
        }
        if self.storm.flapping_wait < Span::seconds(1) {
            return refuse("flapping-wait is not at least 1s");
        }
        Ok(())
    }
}

impl Rule {
    fn check(&self) -> Result<(), DefinitionRefusal> {
        required("a rule's name", &self.name, RULE_NAME_CHARS_MAX)?;
        let lists = [self.actions.len(), self.checks.len(), self.deployments.len(), self.windows.len()];
        if lists.into_iter().any(|length| length > LIST_MAX) {
            return refuse("a list of a rule has more than 64 entries");
        }
        if self.severities.iter().any(|severity| !matches!(severity, Outcome::Warning | Outcome::Critical)) {
            return refuse("a rule's severities are warning and critical: nothing is done about anything else");
        }
        if self.severities.len() > 2 {
            return refuse("a rule names a severity twice");
        }
        self.windows.iter().try_for_each(Weekly::check)?;
        match &self.mode {
            Mode::Never | Mode::Unattended => Ok(()),
            Mode::Approval(approval) => check_people(approval.people),
            Mode::Automatic(automatic) => automatic.check(),
        }
    }
}

impl Automatic {
    fn check(&self) -> Result<(), DefinitionRefusal> {
        let within = |share: Share, from, until| (from..=until).contains(&share.as_millionths());
        if !within(self.min_lower_bound, 1, 999_000) {
            return refuse("min-lower-bound is not above 0 and at most 0.999");
        }
        if !within(self.confidence, 500_000, 999_999) {
            return refuse("confidence is not between 0.5 and 0.999999");
        }
        if !(1..=100_000).contains(&self.min_samples) {
            return refuse("min-samples is not between 1 and 100,000");
        }
        if !(1..=1_000).contains(&self.probation) {
            return refuse("probation is not between 1 and 1,000");
        }
        check_people(self.otherwise_people)
    }

    /// What satisfies both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            min_lower_bound: self.min_lower_bound.max(other.min_lower_bound),
            confidence: self.confidence.max(other.confidence),
            min_samples: self.min_samples.max(other.min_samples),
            probation: self.probation.max(other.probation),
            otherwise_people: self.otherwise_people.max(other.otherwise_people),
        }
    }
}

fn check_people(people: u8) -> Result<(), DefinitionRefusal> {
    if (1..=PEOPLE_MAX).contains(&people) { Ok(()) } else { refuse("an approval takes 1 or 2 people") }
}

#[cfg(test)]
mod tests;
