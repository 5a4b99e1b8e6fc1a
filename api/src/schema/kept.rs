//! Whose answers may be kept.

use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};

/// The root fields that read nothing but the views through [`query_side::Queries`], which writes down what they rest
/// on. Any other field's answer is made anew each time: to be listed here is a decision.
const KEPT: [&str; 12] = [
    "__typename",
    "checkResultHistory",
    "checkResults",
    "deployment",
    "deploymentNamed",
    "deployments",
    "finding",
    "findings",
    "node",
    "nodes",
    "run",
    "runs",
];

/// Whether the answer of each operation of the document may be kept, if what it rests on can be told.
pub fn may_be_kept(document: &ExecutableDocument) -> bool {
    document.operations.iter().all(|(_, operation)| {
        operation.node.ty == OperationType::Query && of_set(document, &operation.node.selection_set.node, 0)
    })
}

/// Fragments are looked into as deep as a document may be; the gate has refused those that contain themselves.
fn of_set(document: &ExecutableDocument, set: &SelectionSet, depth: usize) -> bool {
    const DEPTH_MAX: usize = 16;
    depth < DEPTH_MAX
        && set.items.iter().all(|selection| match &selection.node {
            Selection::Field(field) => KEPT.contains(&field.node.name.node.as_str()),
            Selection::InlineFragment(inline) => of_set(document, &inline.node.selection_set.node, depth + 1),
            Selection::FragmentSpread(spread) => document
                .fragments
                .get(&spread.node.fragment_name.node)
                .is_some_and(|fragment| of_set(document, &fragment.node.selection_set.node, depth + 1)),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;

    #[test]
    fn only_queries_of_listed_fields_may() {
        let cases = [
            ("{ run(id: 1) { id } }", true),
            ("query a { __typename runs { nodes { id } } }", true),
            ("{ x: platform { ready } }", false),
            ("{ run: platform { ready } }", false),
            ("{ run(id: 1) { id } platform { ready } }", false),
            ("{ __schema { types { name } } }", false),
            ("{ ... on Query { run(id: 1) { id } } }", true),
            ("{ ... on Query { platform { ready } } }", false),
            ("{ ...f } fragment f on Query { run(id: 1) { id } }", true),
            ("{ ...f } fragment f on Query { ...g } fragment g on Query { history }", false),
            ("{ ...unknown }", false),
            ("mutation { run(id: 1) { id } }", false),
            ("subscription { run(id: 1) { id } }", false),
            ("query a { run(id: 1) { id } } mutation b { requestRun { id } }", false),
        ];
        for (text, expected) in cases {
            assert_eq!(may_be_kept(&parse_query(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn every_listed_field_is_one() {
        assert!(KEPT.is_sorted());
        let sdl = crate::schema::sdl();
        let query = sdl.split("type Query {").nth(1).unwrap();
        let query = &query[..query.find("\n}").unwrap()];
        for field in &KEPT[1..] {
            let declared = query.lines().any(|line| {
                let line = line.trim_start();
                line.starts_with(&format!("{field}(")) || line.starts_with(&format!("{field}:"))
            });
            assert!(declared, "{field} is no field of Query");
        }
    }
}
