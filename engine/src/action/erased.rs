//! An action behind JSON: what the executor and the process of an action see.

use super::{Act, ActionError, ActionSpec, ActionTarget, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// What an action is told, with all outputs of earlier steps filled in.
pub type Arguments = BTreeMap<String, Value>;

/// An action as the executor sees it.
pub trait Action: Send + Sync + 'static {
    /// What it says of itself.
    fn spec(&self) -> &'static ActionSpec;
    /// The JSON Schema of its parameters.
    fn parameters(&self) -> Value;
    /// Says what is wrong with arguments; those that are outputs of earlier steps are not among them yet.
    fn check(&self, arguments: &Arguments) -> Result<(), ActionError>;
    /// See [`Act::capture`].
    fn capture<'a>(&'a self, arguments: &'a Arguments, target: &'a ActionTarget) -> Phase<'a, Value>;
    /// See [`Act::preview`] and [`Act::blast`].
    fn preview(&self, arguments: &Arguments, before: &Value) -> Result<(Vec<Change>, BlastRadius), ActionError>;
    /// See [`Act::apply`].
    fn apply<'a>(&'a self, arguments: &'a Arguments, target: &'a ActionTarget, before: &'a Value)
    -> Phase<'a, Outputs>;
    /// See [`Act::verify`].
    fn verify<'a>(
        &'a self,
        arguments: &'a Arguments,
        target: &'a ActionTarget,
        before: &'a Value,
    ) -> Phase<'a, Verified>;
    /// See [`Act::undo`].
    fn undo<'a>(&'a self, arguments: &'a Arguments, target: &'a ActionTarget, before: &'a Value) -> Phase<'a, ()>;
}

/// One phase under way.
pub type Phase<'a, T> = BoxFuture<'a, Result<T, ActionError>>;

/// Makes an [`Action`] of an [`Act`].
pub struct Erased<A>(PhantomData<fn() -> A>);

impl<A> Erased<A> {
    /// The action.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A> Default for Erased<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Act> Action for Erased<A> {
    fn spec(&self) -> &'static ActionSpec {
        const { &A::SPEC }
    }

    fn parameters(&self) -> Value {
        schemars::schema_for!(A::Parameters).to_value()
    }

    fn check(&self, arguments: &Arguments) -> Result<(), ActionError> {
        parameters::<A>(arguments).map(drop)
    }

    fn capture<'a>(&'a self, arguments: &'a Arguments, target: &'a ActionTarget) -> Phase<'a, Value> {
        async move {
            let parameters = parameters::<A>(arguments)?;
            let state = A::capture(&parameters, target).await?;
            serde_json::to_value(state)
                .map_err(|error| ActionError::internal(format!("its state can not be written: {error}")))
        }
        .boxed()
    }

    fn preview(&self, arguments: &Arguments, before: &Value) -> Result<(Vec<Change>, BlastRadius), ActionError> {
        let (parameters, before) = (parameters::<A>(arguments)?, state::<A>(before)?);
        Ok((A::preview(&parameters, &before), A::blast(&parameters, &before)))
    }

    fn apply<'a>(
        &'a self,
        arguments: &'a Arguments,
        target: &'a ActionTarget,
        before: &'a Value,
    ) -> Phase<'a, Outputs> {
        async move { A::apply(&parameters::<A>(arguments)?, target, &state::<A>(before)?).await }.boxed()
    }

    fn verify<'a>(
        &'a self,
        arguments: &'a Arguments,
        target: &'a ActionTarget,
        before: &'a Value,
    ) -> Phase<'a, Verified> {
        async move { A::verify(&parameters::<A>(arguments)?, target, &state::<A>(before)?).await }.boxed()
    }

    fn undo<'a>(&'a self, arguments: &'a Arguments, target: &'a ActionTarget, before: &'a Value) -> Phase<'a, ()> {
        async move { A::undo(&parameters::<A>(arguments)?, target, &state::<A>(before)?).await }.boxed()
    }
}

fn parameters<A: Act>(arguments: &Arguments) -> Result<A::Parameters, ActionError> {
    read(arguments.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
        .map_err(|error| ActionError::configuration(format!("arguments of {}: {error}", A::SPEC.name)))
}

fn state<A: Act>(before: &Value) -> Result<A::State, ActionError> {
    read(before.clone())
        .map_err(|error| ActionError::internal(format!("the before-image of {} does not read: {error}", A::SPEC.name)))
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(value)
}
