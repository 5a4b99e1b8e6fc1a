//! A remediation driven over the command bus, as the executor would: the API's tests need no executor.

use crate::support::Api;
use chrono::{TimeDelta, Utc};
use domain::remediation::{Admission, Outputs, Remediation, RemediationCommand as Command, Trigger};
use domain::{Actor, CommandId, DeploymentId, FindingId, Metadata, Outcome, RemediationId, TenantId};
use domain::{remediation::Problem, testing as sample};
use serde_json::json;
use uuid::Uuid;

const CHECK_VERSION: &str = "0123456789ab";
const REMEDIATOR: &str = "system:remediator";

/// One remediation and who drives it.
pub struct Life<'a> {
    api: &'a Api,
    pub id: RemediationId,
}

impl<'a> Life<'a> {
    /// One that is there already.
    pub const fn of(api: &'a Api, id: RemediationId) -> Self {
        Self { api, id }
    }

    /// Asked for by the policy, for a finding of the sample check.
    pub async fn requested(api: &'a Api, deployment: DeploymentId, finding: FindingId, resource: &str) -> Self {
        let life = Self::of(api, RemediationId(Uuid::now_v7()));
        let resource = resource.parse().unwrap();
        let problem = Problem { finding, deployment, resource, ..sample::problem() };
        let command = Command::Request { problem, runbook: None, trigger: Trigger::Policy, dry_run: false };
        life.tell("ann@example.org", command).await;
        life
    }

    /// A command that must be accepted.
    pub async fn tell(&self, by: &str, command: Command) {
        let tenant = TenantId::default();
        let metadata = Metadata::new(Actor::new(by).unwrap(), tenant, CommandId(Uuid::now_v7()));
        self.api.bus.execute::<Remediation>(self.id.0, command, metadata).await.unwrap();
    }

    /// Planned, run dry, and admitted in this way.
    pub async fn admitted(&self, admission: Admission) {
        let check_version = CHECK_VERSION.to_owned();
        self.tell(REMEDIATOR, Command::RecordPlan { plan: sample::remediation_plan(), check_version }).await;
        self.tell(REMEDIATOR, Command::RecordDryRun { previews: sample::remediation_previews() }).await;
        let (policy, reason) = ("default".parse().unwrap(), "by rule 1".to_owned());
        self.tell(REMEDIATOR, Command::Admit { policy, admission, reason }).await;
    }

    /// People are asked.
    pub async fn waiting(&self) {
        let expires_at = Utc::now() + TimeDelta::hours(1);
        self.admitted(Admission::Approval { people: 1, expires_at }).await;
    }

    /// The target is as it was approved.
    pub async fn begun(&self) {
        let states = sample::remediation_states();
        self.tell(REMEDIATOR, Command::Begin { states, check_version: CHECK_VERSION.to_owned() }).await;
    }

    pub async fn step_done(&self, step: &str) {
        let outputs = match step {
            "find-copy" => Outputs::from([("copy".to_owned(), json!("/backup/rec_0000012.docx"))]),
            _ => Outputs::new(),
        };
        let (step, image) = (sample::step_name(step), sample::step_image(step));
        self.tell(REMEDIATOR, Command::StartStep { step: step.clone() }).await;
        self.tell(REMEDIATOR, Command::RecordBeforeImage { step: step.clone(), image }).await;
        self.tell(REMEDIATOR, Command::RecordStepSucceeded { step, outputs, found_done: false }).await;
    }

    /// All steps, and the post-check with this outcome.
    pub async fn executed(&self, outcome: Outcome) {
        self.begun().await;
        for step in ["find-copy", "recount", "restore-file"] {
            self.step_done(step).await;
        }
        self.tell(REMEDIATOR, Command::RecordPostCheck { results: sample::post_check_results(outcome) }).await;
    }

    /// All steps are taken back; the state of `recount` is this one afterwards.
    pub async fn taken_back(&self, recounted: &str) {
        for (step, state) in [("restore-file", Some("restore-file")), ("recount", Some(recounted)), ("find-copy", None)]
        {
            let (step, state) = (sample::step_name(step), state.map(sample::content_hash));
            self.tell(REMEDIATOR, Command::StartUndo { step: step.clone() }).await;
            self.tell(REMEDIATOR, Command::RecordStepUndone { step, state }).await;
        }
    }
}

/// A deployment with a critical finding of the sample check.
pub async fn found(api: &Api, name: &str, resource: &str) -> (DeploymentId, FindingId) {
    let deployment = api.deployment(name).await;
    let run = api.run(deployment, 1).await;
    let finding = api.sighting(deployment, run, resource, Outcome::Critical).await;
    api.projected().await;
    (deployment, finding)
}
