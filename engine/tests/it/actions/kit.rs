//! What every action is put through: done twice, taken back twice, and taken back without having been done.

use chrono::Utc;
use domain::ContentHash;
use domain::deployment::{Component, ComponentKind};
use domain::remediation::Outputs;
use engine::action::{Action, ActionError, ActionErrorKind, ActionTarget, Arguments, UndoSpec, Verified, list};
use serde_json::Value;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// One action on one target.
pub struct Driven {
    pub action: &'static dyn Action,
    pub arguments: Arguments,
    pub target: ActionTarget,
}

/// A target: the first component, in a deployment of all of them.
pub fn target(components: &[Component]) -> ActionTarget {
    ActionTarget {
        deployment: domain::testing::DEPLOYMENT,
        component: components[0].clone(),
        components: Arc::new(components.iter().map(|one| (one.name.clone(), one.clone())).collect()),
        idempotency_key: uuid::Uuid::new_v4().to_string(),
        now: Utc::now(),
        deadline: Duration::from_secs(60),
        cancel: CancellationToken::new(),
    }
}

pub fn component(name: &str, kind: ComponentKind, settings: &[(&str, &str)]) -> Component {
    Component {
        name: name.parse().unwrap(),
        kind,
        settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        secrets: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
    }
}

pub fn arguments(given: &Value) -> Arguments {
    given.as_object().unwrap().clone().into_iter().collect()
}

pub fn hash(state: &Value) -> ContentHash {
    ContentHash::of(state).unwrap()
}

impl Driven {
    pub fn new(name: &str, given: &Value, target: &ActionTarget) -> Self {
        let action = list::named(name).unwrap_or_else(|| panic!("no action {name}"));
        action.check(&arguments(given)).unwrap();
        Self { action, arguments: arguments(given), target: target.clone() }
    }

    pub async fn try_capture(&self) -> Result<Value, ActionError> {
        self.action.capture(&self.arguments, &self.target).await
    }

    pub async fn capture(&self) -> Value {
        self.try_capture().await.unwrap_or_else(|error| panic!("{}: {error}", self.action.spec().name))
    }

    /// What it would change, in words.
    pub fn preview(&self, before: &Value) -> Vec<String> {
        let (changes, _) = self.action.preview(&self.arguments, before).unwrap();
        changes.into_iter().map(|change| change.summary).collect()
    }

    pub async fn try_apply(&self, before: &Value) -> Result<(), ActionError> {
        self.action.apply(&self.arguments, &self.target, before).await.map(drop)
    }

    /// Applies, and gives what later steps may be told.
    pub async fn gives(&self, before: &Value) -> Outputs {
        let applied = self.action.apply(&self.arguments, &self.target, before).await;
        applied.unwrap_or_else(|error| panic!("{}: {error}", self.action.spec().name))
    }

    pub async fn apply(&self, before: &Value) {
        self.try_apply(before).await.unwrap_or_else(|error| panic!("{}: {error}", self.action.spec().name));
    }

    pub async fn verify(&self, before: &Value) -> Verified {
        self.action.verify(&self.arguments, &self.target, before).await.unwrap()
    }

    pub async fn undo(&self, before: &Value) {
        self.action.undo(&self.arguments, &self.target, before).await.unwrap();
    }

    /// The way there, twice.
    pub async fn is_done_twice(&self, before: &Value) {
        assert!(!self.preview(before).is_empty(), "a dry run shows something");
        for _ in 0..2 {
            self.apply(before).await;
            assert_eq!(self.verify(before).await, Verified::Done, "{}", self.action.spec().name);
        }
    }

    /// The whole way, for an action that can be taken back: at the end all is as it was, by the hash.
    pub async fn proves_itself(&self) -> Value {
        assert_eq!(self.action.spec().undo, UndoSpec::FromBeforeImage);
        let before = self.capture().await;
        self.undo(&before).await;
        assert_eq!(hash(&self.capture().await), hash(&before), "taken back without having been done");
        assert!(matches!(self.verify(&before).await, Verified::NotDone(_)), "not done yet");
        self.is_done_twice(&before).await;
        for _ in 0..2 {
            self.undo(&before).await;
            let after = self.capture().await;
            assert_eq!(hash(&after), hash(&before), "{after} and not {before}");
        }
        assert!(matches!(self.verify(&before).await, Verified::NotDone(_)), "not done any more");
        before
    }

    /// Waits for a statement of the action that can not go on, cancels the phase, and sees that nothing is left of it.
    pub async fn is_cancelled_while_waiting(&self, admin: &PgPool, before: &Value) {
        let name = format!("cmdiag action {}", self.target.idempotency_key);
        let apply = self.try_apply(before);
        let cancel = async {
            until("the statement waits", async || sessions(admin, &name, "wait_event_type = 'Lock'").await > 0).await;
            self.target.cancel.cancel();
        };
        let begin = Instant::now();
        let (applied, ()) = tokio::join!(apply, cancel);
        let error = applied.unwrap_err();
        assert_eq!(error.kind, ActionErrorKind::Cancelled, "{}: {error}", self.action.spec().name);
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
        until("nothing of it is left on the server", async || sessions(admin, &name, "true").await == 0).await;
    }
}

pub async fn sessions(admin: &PgPool, application: &str, condition: &str) -> i64 {
    let text = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = left($1, 63) AND {condition}");
    sqlx::query_scalar(&text).bind(application).fetch_one(admin).await.unwrap()
}

/// Waits for a condition, looking often.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
