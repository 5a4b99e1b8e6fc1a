//! The GraphQL schema. Resolvers are thin: a query is one call of query-side, a mutation one command, a subscription
//! one view of the live feed. No SQL, no decisions.

#![expect(clippy::unused_async, reason = "the schema's macros want every resolver to be async")]

pub(crate) mod as_of;
pub mod codes;
mod context;
pub mod documents;
mod explanations;
mod filters;
mod guard;
pub mod ids;
mod kept;
mod mutation;
mod projections;
mod query;
mod remedies;
mod scalars;
mod subscription;
mod types;

use crate::metrics::Metrics;
use crate::options::ApiOptions;
use async_graphql::{SDLExportOptions, Schema, SchemaBuilder};
use documents::Documents;
use mutation::Mutation;
use query::Query;
use std::sync::Arc;
use subscription::Subscription;

pub(crate) use subscription::HealthWatch;

/// The schema's type.
pub type ApiSchema = Schema<Query, Mutation, Subscription>;

/// The schema with its limits, without its data.
pub(crate) fn builder(
    options: &ApiOptions,
    documents: &Arc<Documents>,
    metrics: &Arc<Metrics>,
) -> SchemaBuilder<Query, Mutation, Subscription> {
    let limits = &options.limits;
    let builder = Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .limit_depth(limits.depth)
        .limit_complexity(limits.complexity)
        // Fragments count as a level of their own here.
        .limit_recursive_depth(limits.depth * 2 + 2)
        .limit_directives(limits.directives)
        .extension(documents::DocumentGates::new(Arc::clone(documents), Arc::clone(metrics)));
    if options.introspection { builder } else { builder.disable_introspection().disable_suggestions() }
}

/// The schema's definition, sorted: what `api/schema.graphql` holds.
pub fn sdl() -> String {
    let options = SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items();
    let defaults = ApiOptions::default();
    let documents = Arc::new(Documents::new(&defaults));
    let schema = builder(&defaults, &documents, &Metrics::new(Vec::new())).finish();
    schema.sdl_with_options(options)
}
