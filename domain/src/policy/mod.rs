//! What may be done about findings, by whom, when and how much of it at a time; and what was learned from doing it.
//!
//! One policy governs one remediation: that of the deployment's label `policy`, else the one named `default`. Where
//! none was defined, the built-in one decides ([`PolicyDefinition::default`]): nothing runs by itself.
//!
//! A plan is admitted by a reservation ([`PolicyEvent::RemediationReserved`]) and ends it by its settlement
//! ([`PolicyEvent::ReservationReleased`]); all on one stream, so that two plans can not spend the same budget. To be
//! held back is an accepted decision, not a refused command: a replay shows it. What a state says of a plan at a moment
//! is [`standing`]; a flood of plans about one resource is answered from there and records next to nothing.

mod admit;
mod beta;
mod breaker;
mod calendar;
mod choose_runbook;
mod define_policy;
mod definition;
mod glob;
mod memory;
mod quantities;
mod refusal;
mod request;
mod reset_breaker;
mod retire_policy;
mod revise_policy;
mod rules;
mod settle;
mod standing;
mod state;
mod statistics;
#[cfg(test)]
mod story;

use crate::decider::{Context, Decider, DomainEvent, ExpectedStream, RefusalCode};
use crate::ids::{ActionName, Actor, DeploymentId, PolicyName, RemediationId, ResourceName};
use crate::remediation::Admission;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use breaker::{Breaker, BreakerStatus, Breakers, OPEN_BREAKERS_MAX};
pub use calendar::{Blackout, Day, Days, TimeOfDay, UtcOffset, Weekly, When, in_force};
pub use choose_runbook::{CANDIDATES_MAX, Candidate, Choice, ChoiceRequest, Draw, choose_runbook};
pub use definition::{
    Approval, Automatic, BLACKOUTS_MAX, BreakerSettings, Budget, Choosing, DefinitionRefusal, LIST_MAX, Mode, OPEN_MAX,
    PEOPLE_MAX, PolicyDefinition, RULES_MAX, RateLimit, Rule, StormGuard,
};
pub use glob::{GLOB_CHARS_MAX, Glob};
pub use memory::{ADMISSIONS_MAX, Memory, NOTES_MAX, ResourceId};
pub use quantities::{Share, Span};
pub use refusal::PolicyRefusal;
pub use request::{About, AdmissionRequest, BreakerKey, DeploymentFacts, Guard, Settlement, StatisticsKey};
pub use standing::{Verdict, answer, held_back, judge, standing};
pub use state::{CHOICES_MAX, PolicyState, Reservation, SETTLED_MAX, Settled};
pub use statistics::{Posterior, STATISTICS_MAX, Statistic, Statistics};

/// The label of a deployment that names its policy.
pub const POLICY_LABEL: &str = "policy";
/// The name of the policy of deployments without that label.
pub const DEFAULT_POLICY: &str = "default";

/// What can be asked of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyCommand {
    /// Define it, in place of the built-in one.
    Define { policy: PolicyName, definition: PolicyDefinition },
    /// Let it say something else from now on. What is reserved stays reserved.
    Revise { definition: PolicyDefinition, reason: String },
    /// The built-in policy decides again.
    Retire { reason: String },
    /// A plan wants to go on. Accepted whatever the answer: see [`answer`].
    Admit { request: Box<AdmissionRequest> },
    /// It has ended: what it holds is released, and counted. `attributable`: whether the outcome says something of the
    /// runbook. `failed_actions`: whose fault a failure is, where that is known; else all the plan's actions bear it.
    Settle { remediation: RemediationId, outcome: Settlement, attributable: bool, failed_actions: Vec<ActionName> },
    /// A person closes a circuit breaker.
    ResetBreaker { breaker: BreakerKey, reason: String },
    /// Which of several runbooks to take.
    ChooseRunbook { request: ChoiceRequest },
}

/// What was counted of a remediation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Under what.
    pub key: StatisticsKey,
    /// What is known under it from now on.
    pub posterior: Posterior,
}

/// What can have happened to a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PolicyEvent {
    /// It says something from now on.
    PolicyDefined {
        policy: PolicyName,
        definition: Arc<PolicyDefinition>,
        /// Counts definitions and revisions, from 1.
        revision: u32,
        by: Actor,
        at: DateTime<Utc>,
    },
    /// It says something else from now on.
    PolicyRevised { definition: Arc<PolicyDefinition>, revision: u32, by: Actor, reason: String, at: DateTime<Utc> },
    /// The built-in policy decides again.
    PolicyRetired { by: Actor, reason: String, at: DateTime<Utc> },
    /// A plan may go on; what it touches is reserved. `admission` is automatic, approval or unattended; `revision` is
    /// that of the definition which said so, 0 for the built-in one.
    RemediationReserved {
        request: Box<AdmissionRequest>,
        admission: Admission,
        reason: String,
        automatic: Option<Automatic>,
        posterior: Posterior,
        lower_bound: Option<Share>,
        revision: u32,
        at: DateTime<Utc>,
    },
    /// A plan may not go on now. Recorded once per resource until `retry_at`.
    AdmissionDeferred {
        policy: PolicyName,
        remediation: RemediationId,
        deployment: DeploymentId,
        resource: ResourceName,
        guard: Guard,
        reason: String,
        retry_at: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    /// A plan may not go on at all. Recorded once per resource until `noted_until`.
    AdmissionForbidden {
        policy: PolicyName,
        remediation: RemediationId,
        deployment: DeploymentId,
        resource: ResourceName,
        reason: String,
        noted_until: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    /// A remediation has ended: what it held is free. `failed` are the breakers that count it as a failure.
    ReservationReleased {
        remediation: RemediationId,
        deployment: DeploymentId,
        outcome: Settlement,
        attributable: bool,
        counted: Option<Counted>,
        failed: Vec<BreakerKey>,
        at: DateTime<Utc>,
    },
    /// A person has taken a success back: it counts as a failure.
    SettlementCorrected { remediation: RemediationId, key: StatisticsKey, posterior: Posterior, at: DateTime<Utc> },
    /// It may run by itself from now on.
    AutomaticRightGained { key: StatisticsKey, posterior: Posterior, lower_bound: Share, at: DateTime<Utc> },
    /// It must be approved again, and why.
    AutomaticRightLost {
        key: StatisticsKey,
        posterior: Posterior,
        lower_bound: Share,
        reason: String,
        at: DateTime<Utc>,
    },
    /// Too many failures: nothing more until then.
    BreakerOpened { breaker: BreakerKey, failures: u32, until: DateTime<Utc>, at: DateTime<Utc> },
    /// One is let through to try.
    BreakerHalfOpened { breaker: BreakerKey, probe: RemediationId, at: DateTime<Utc> },
    /// It works again, or a person (`by`) says so.
    BreakerClosed { breaker: BreakerKey, by: Option<Actor>, reason: String, at: DateTime<Utc> },
    /// A runbook was chosen among several.
    RunbookChosen { policy: PolicyName, choice: Choice, at: DateTime<Utc> },
}

impl PolicyEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PolicyDefined { .. } => "PolicyDefined",
            Self::PolicyRevised { .. } => "PolicyRevised",
            Self::PolicyRetired { .. } => "PolicyRetired",
            Self::RemediationReserved { .. } => "RemediationReserved",
            Self::AdmissionDeferred { .. } => "AdmissionDeferred",
            Self::AdmissionForbidden { .. } => "AdmissionForbidden",
            Self::ReservationReleased { .. } => "ReservationReleased",
            Self::SettlementCorrected { .. } => "SettlementCorrected",
            Self::AutomaticRightGained { .. } => "AutomaticRightGained",
            Self::AutomaticRightLost { .. } => "AutomaticRightLost",
            Self::BreakerOpened { .. } => "BreakerOpened",
            Self::BreakerHalfOpened { .. } => "BreakerHalfOpened",
            Self::BreakerClosed { .. } => "BreakerClosed",
            Self::RunbookChosen { .. } => "RunbookChosen",
        }
    }
}

impl DomainEvent for PolicyEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// Decides what may be done.
#[derive(Debug, Clone, Copy)]
pub struct Policy;

impl Decider for Policy {
    const TYPE: &'static str = crate::any_event::POLICY;
    type State = PolicyState;
    type Command = PolicyCommand;
    type Event = PolicyEvent;
    type Refusal = PolicyRefusal;

    fn decide(
        state: &PolicyState,
        command: PolicyCommand,
        context: &Context,
    ) -> Result<Vec<PolicyEvent>, PolicyRefusal> {
        match command {
            PolicyCommand::Define { policy, definition } => define_policy::decide(state, policy, definition, context),
            PolicyCommand::Revise { definition, reason } => revise_policy::decide(state, definition, reason, context),
            PolicyCommand::Retire { reason } => retire_policy::decide(state, reason, context),
            PolicyCommand::Admit { request } => admit::decide(state, request, context),
            PolicyCommand::Settle { remediation, outcome, attributable, failed_actions } => {
                settle::decide(state, remediation, &settle::Ended { outcome, attributable, failed_actions }, context)
            }
            PolicyCommand::ResetBreaker { breaker, reason } => reset_breaker::decide(state, breaker, reason, context),
            PolicyCommand::ChooseRunbook { request } => choose_runbook::decide(state, &request, context),
        }
    }

    fn evolve(state: &mut PolicyState, event: &PolicyEvent) {
        state.evolve(event);
    }

    fn refusal_code(refusal: &PolicyRefusal) -> RefusalCode {
        refusal.code()
    }

    fn command_name(command: &PolicyCommand) -> &'static str {
        match command {
            PolicyCommand::Define { .. } => "define_policy",
            PolicyCommand::Revise { .. } => "revise_policy",
            PolicyCommand::Retire { .. } => "retire_policy",
            PolicyCommand::Admit { .. } => "admit_remediation",
            PolicyCommand::Settle { .. } => "settle_remediation",
            PolicyCommand::ResetBreaker { .. } => "reset_breaker",
            PolicyCommand::ChooseRunbook { .. } => "choose_runbook",
        }
    }

    /// A policy may have reservations by the built-in definition before it is defined: nothing starts its stream.
    fn expected_stream(_command: &PolicyCommand) -> ExpectedStream {
        ExpectedStream::Any
    }

    fn state_weight(state: &PolicyState) -> u32 {
        let kilobytes = 4 + state.open.len() + state.breakers.all().len() / 4 + state.statistics.all().len() / 4;
        u32::try_from(kilobytes + state.memory.len() / 20 + state.choices.len()).unwrap_or(u32::MAX)
    }
}
