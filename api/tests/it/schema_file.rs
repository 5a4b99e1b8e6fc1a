//! The schema that is checked in is the schema that is served.

use std::path::Path;

#[test]
fn schema_graphql_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    let served = api::schema::sdl();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &served).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = served.lines().zip(checked_in.lines()).position(|(one, other)| one != other);
    let line = differing.unwrap_or_else(|| served.lines().count().min(checked_in.lines().count())) + 1;
    assert!(
        served == checked_in,
        "api/schema.graphql differs from line {line} on; look at the change, then run this test with UPDATE_SCHEMA=1"
    );
}

#[test]
fn everything_in_the_schema_is_explained() {
    let sdl = api::schema::sdl();
    let lines: Vec<&str> = sdl.lines().collect();
    let ours = |name: &str| !["Edge", "Connection", "PageInfo"].iter().any(|relay| name.contains(relay));
    let mut unexplained = Vec::new();
    for pair in lines.windows(2) {
        let (above, line) = (pair[0].trim(), pair[1]);
        let mut words = line.split_whitespace();
        let (Some(kind), Some(name)) = (words.next(), words.next()) else { continue };
        if ["type", "input", "enum", "union", "interface"].contains(&kind) && ours(name) && !above.ends_with("\"\"\"") {
            unexplained.push(line.to_owned());
        }
    }
    assert!(unexplained.is_empty(), "without a word: {unexplained:#?}");
}
