//! Time travel: a query's root field that is asked as of a moment is answered from that moment, and so is all that is
//! asked below it.
//!
//! The moment is written down under the root field's name in the answer; resolvers below find it by where they stand.
//! Two root fields of one request may look at two moments.

use super::codes::{BAD_USER_INPUT, coded};
use super::context::{at_least, queries, query_error, waited};
use super::scalars::PositionScalar;
use crate::options::ApiOptions;
use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, Object, OneofObject, QueryPathSegment, Request, Result, SimpleObject};
use chrono::{DateTime, Utc};
use query_side::{
    AsOf, DeploymentLoader, FindingLoader, FindingsByDeploymentLoader, FindingsByRunLoader, Moment, Queries,
    QueryError, ResultsByRunLoader, RunLoader,
};
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// A moment of the past: a position of the log, or a time.
#[derive(Debug, Clone, Copy, OneofObject)]
pub enum AsOfInput {
    /// With the event at this position and none after it: the same answer for ever.
    Position(PositionScalar),
    /// With all that was recorded at or before this time.
    Time(DateTime<Utc>),
}

impl From<AsOfInput> for Moment {
    fn from(input: AsOfInput) -> Self {
        match input {
            AsOfInput::Position(PositionScalar(position)) => Self::Position(position),
            AsOfInput::Time(time) => Self::Time(time),
        }
    }
}

/// The moment that an answer is of.
#[derive(SimpleObject)]
#[graphql(name = "AsOf")]
pub struct AsOfMoment {
    /// The last event that the answer knows of; 0: none.
    position: PositionScalar,
    /// When that was recorded; null where there is none.
    recorded_at: Option<DateTime<Utc>>,
}

/// What a connection says of itself beside its rows.
pub struct Told;

#[Object(name = "ConnectionMoment")]
impl Told {
    /// The moment that the answer is of; null: the present.
    async fn as_of(&self, ctx: &Context<'_>) -> Option<AsOfMoment> {
        told(ctx)
    }
}

/// The moments that the root fields of one request look at, by their names in the answer.
#[derive(Default)]
pub struct Moments(Mutex<HashMap<String, Arc<Then>>>);

/// One of them: queries and loaders that look at it.
pub struct Then {
    queries: Queries,
    loaders: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

/// Does something with each loader that there is.
macro_rules! each_loader {
    ($queries:expr, $take:ident) => {
        $take!(DeploymentLoader($queries.clone()));
        $take!(RunLoader($queries.clone()));
        $take!(FindingLoader($queries.clone()));
        $take!(ResultsByRunLoader($queries.clone()));
        $take!(FindingsByRunLoader($queries.clone()));
        $take!(FindingsByDeploymentLoader($queries.clone()));
    };
}

/// Loaders of one request: what it asks for one by one is read in one statement each.
pub(crate) fn with_loaders(request: Request, queries: &Queries) -> Request {
    let mut request = request.data(Moments::default());
    macro_rules! add {
        ($loader:expr) => {
            request = request.data(DataLoader::new($loader, tokio::spawn));
        };
    }
    each_loader!(queries, add);
    request
}

impl Then {
    fn new(queries: Queries) -> Self {
        let mut loaders: HashMap<TypeId, Box<dyn Any + Send + Sync>> = HashMap::new();
        macro_rules! add {
            ($loader:expr) => {
                let loader = DataLoader::new($loader, tokio::spawn);
                loaders.insert(loader.type_id(), Box::new(loader));
            };
        }
        each_loader!(queries, add);
        Self { queries, loaders }
    }

    fn loader<L: Send + Sync + 'static>(&self) -> Option<&DataLoader<L>> {
        self.loaders.get(&TypeId::of::<DataLoader<L>>())?.downcast_ref()
    }

    /// Its queries.
    pub fn queries(&self) -> &Queries {
        &self.queries
    }
}

impl Moments {
    /// A poisoned lock is a panic while a map was read or added to: it holds what it held.
    fn get(&self, ctx: &Context<'_>) -> Option<Arc<Then>> {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.is_empty() { None } else { moments.get(root(ctx)?).cloned() }
    }
}

/// The name in the answer of the root field that this is part of.
fn root<'a>(ctx: &Context<'a>) -> Option<&'a str> {
    let mut node = ctx.path_node?;
    while let Some(parent) = node.parent {
        node = *parent;
    }
    match node.segment {
        QueryPathSegment::Name(name) => Some(name),
        QueryPathSegment::Index(_) => None,
    }
}

/// The moment that is looked at here; none: the present.
pub fn then(ctx: &Context<'_>) -> Option<Arc<Then>> {
    ctx.data_opt::<Moments>()?.get(ctx)
}

/// [`then`], for an answer.
pub fn told(ctx: &Context<'_>) -> Option<AsOfMoment> {
    let then = then(ctx)?;
    let AsOf { position, recorded_at, .. } = *then.queries.looks_at()?;
    Some(AsOfMoment { position: position.into(), recorded_at })
}

/// What counts as now here, where that is not the present.
pub fn now_then(ctx: &Context<'_>) -> Option<DateTime<Utc>> {
    then(ctx).and_then(|then| Some(then.queries.looks_at()?.now))
}

/// Begins a root field: it looks at a moment, or at a present that has come as far as a position.
pub async fn begin(ctx: &Context<'_>, as_of: Option<AsOfInput>, position: Option<PositionScalar>) -> Result<()> {
    let Some(moment) = as_of else { return at_least(ctx, position).await };
    if position.is_some() {
        return Err(coded(BAD_USER_INPUT, "atLeast is of the present, asOf of the past: one of them"));
    }
    let (Some(moments), Some(root)) = (ctx.data_opt::<Moments>(), root(ctx)) else {
        return Err(coded(BAD_USER_INPUT, "asOf is taken by queries"));
    };
    let bound = ctx.data::<ApiOptions>()?.at_least_timeout;
    let queries = waited(queries(ctx)?.as_of(moment.into(), bound).await)?;
    let then = Arc::new(Then::new(queries));
    moments.0.lock().unwrap_or_else(PoisonError::into_inner).insert(root.to_owned(), then);
    Ok(())
}

/// Loads by key, of the moment that is looked at here.
pub async fn load<L, K>(ctx: &Context<'_>, key: K) -> Result<Option<L::Value>>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    L: Loader<K, Error = QueryError>,
{
    let found = match then(ctx).as_deref().and_then(Then::loader::<L>) {
        Some(loader) => loader.load_one(key).await,
        None => ctx.data::<DataLoader<L>>()?.load_one(key).await,
    };
    found.map_err(|error| query_error(&error))
}
