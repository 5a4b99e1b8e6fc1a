//! One action on one component, tried as the executor would: what every action of a remote target must stand.

use super::{ActionError, ActionErrorKind, ActionTarget, Arguments, Verified, list};
use chrono::Utc;
use domain::deployment::{Component, ComponentKind, SecretRef};
use domain::remediation::{Change, Outputs, Undoing};
use domain::{ComponentName, ContentHash};
use lab::{LabDescription, SecretPlace};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Bounds for one phase in a test, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// One action, told something, on a target.
pub(crate) struct Trial {
    pub action: &'static str,
    pub arguments: Arguments,
    pub target: ActionTarget,
}

/// The components of a lab, as they would be registered.
pub(crate) fn components(lab: &LabDescription) -> BTreeMap<ComponentName, Component> {
    let component = |one: &lab::LabComponent| {
        let kind: ComponentKind = serde_json::from_value(one.kind.clone().into()).unwrap();
        let secret = |(purpose, SecretPlace::File(path)): (&String, &SecretPlace)| {
            (purpose.clone(), SecretRef::File(path.clone()))
        };
        Component {
            name: one.name.parse().unwrap(),
            kind,
            settings: one.settings.clone(),
            secrets: one.secrets.iter().map(secret).collect(),
            labels: one.labels.clone(),
        }
    };
    lab.components.iter().map(component).map(|one| (one.name.clone(), one)).collect()
}

/// A target among components.
pub(crate) fn target(components: &BTreeMap<ComponentName, Component>, name: &str) -> ActionTarget {
    ActionTarget {
        deployment: domain::testing::DEPLOYMENT,
        component: components[&name.parse::<ComponentName>().unwrap()].clone(),
        components: Arc::new(components.clone()),
        idempotency_key: "0198aaaa-0000-7000-8000-000000000001/step".to_owned(),
        now: Utc::now(),
        deadline: DEADLINE,
        cancel: CancellationToken::new(),
    }
}

impl Trial {
    pub(crate) fn new(action: &'static str, arguments: &Value, target: ActionTarget) -> Self {
        let arguments =
            arguments.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { action, arguments, target }
    }

    fn action(&self) -> &'static dyn super::Action {
        list::named(self.action).unwrap()
    }

    pub(crate) async fn capture(&self) -> Result<Value, ActionError> {
        self.action().capture(&self.arguments, &self.target).await
    }

    pub(crate) fn preview(&self, before: &Value) -> Vec<Change> {
        self.action().preview(&self.arguments, before).unwrap().0
    }

    pub(crate) async fn apply(&self, before: &Value) -> Result<Outputs, ActionError> {
        self.action().apply(&self.arguments, &self.target, before).await
    }

    pub(crate) async fn verify(&self, before: &Value) -> Result<Verified, ActionError> {
        self.action().verify(&self.arguments, &self.target, before).await
    }

    pub(crate) async fn undo(&self, before: &Value) -> Result<(), ActionError> {
        self.action().undo(&self.arguments, &self.target, before).await
    }

    /// It says what it would change, is done once and again, can be seen to be done, and stops when told. Gives what
    /// was there before.
    pub(crate) async fn repeats(&self) -> Value {
        self.stops().await;
        let before = self.capture().await.unwrap();
        assert!(!self.preview(&before).is_empty(), "{} says nothing of what it would change", self.action);
        for time in ["first", "second"] {
            self.apply(&before).await.unwrap_or_else(|error| panic!("{} for the {time} time: {error}", self.action));
            let verified = self.verify(&before).await.unwrap();
            let taken_for_done = matches!(verified, Verified::Done | Verified::NoTrace(_));
            assert!(taken_for_done, "{} {time}: {verified:?}", self.action);
        }
        before
    }

    /// All of that; and what it changed is put back, once and again, and where nothing was changed. Gives what was
    /// there.
    pub(crate) async fn undoes(&self) -> Value {
        assert_eq!(Undoing::from(self.action().spec().undo), Undoing::FromBeforeImage);
        let hash = |value: &Value| ContentHash::of(value).unwrap();
        let untouched = self.capture().await.unwrap();
        assert!(matches!(self.verify(&untouched).await.unwrap(), Verified::NotDone(_)), "{} is not done", self.action);
        self.undo(&untouched).await.unwrap();
        assert_eq!(self.capture().await.unwrap(), untouched, "{}: undo where nothing was applied", self.action);
        let before = self.repeats().await;
        assert_eq!(hash(&before), hash(&untouched));
        for time in ["first", "second"] {
            self.undo(&before).await.unwrap();
            let after = self.capture().await.unwrap();
            assert_eq!(hash(&after), hash(&before), "{}: {time} undo: {after} is not {before}", self.action);
        }
        before
    }

    /// A phase that is told to stop stops, and changes nothing.
    pub(crate) async fn stops(&self) {
        let before = self.capture().await.unwrap();
        let stopped = Self {
            action: self.action,
            arguments: self.arguments.clone(),
            target: ActionTarget { cancel: CancellationToken::new(), ..self.target.clone() },
        };
        stopped.target.cancel.cancel();
        let error = stopped.apply(&before).await.unwrap_err();
        assert_eq!(error.kind, ActionErrorKind::Cancelled, "{}: {error}", self.action);
        assert_eq!(self.capture().await.unwrap(), before, "{} changed something although it was stopped", self.action);
    }

    /// Without a user of its own it does nothing.
    pub(crate) async fn refuses_without_user(&self) {
        let mut target = self.target.clone();
        target.component.settings.remove("action_user");
        let error = self.action().capture(&self.arguments, &target).await.unwrap_err();
        assert_eq!(error.kind, ActionErrorKind::Configuration);
        assert!(error.message.contains("action_user"), "{error}");
    }
}
