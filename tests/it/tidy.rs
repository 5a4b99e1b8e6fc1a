//! The layout's rules as tests: who may use whom, sizes, names, banned calls, one check one file one page.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LINE_COLUMNS_MAX: usize = 120;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

/// Which rooms a room may depend on (outside its own tests). The composition root and the tests may use all.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("migrations", &[]),
    ("private-servers", &["migrations"]),
    ("event-store", &["domain"]),
    ("vault", &["domain", "event-store"]),
    ("audit", &["domain", "event-store"]),
    ("command-side", &["domain", "event-store", "vault"]),
    ("engine", &["domain", "event-store", "vault", "command-side"]),
    ("projections", &["domain", "event-store"]),
    ("query-side", &["domain", "event-store", "projections"]),
    ("export", &["domain", "event-store", "query-side"]),
    ("api", &["domain", "event-store", "vault", "command-side", "query-side"]),
    ("lab", &["private-servers"]),
];

/// Text that may not stand in the code, where it may stand all the same, and what to use instead.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("std::thread::sleep", &["lab/", "/tests/", "tests/"], "tokio::time, bounded"),
    (
        "Utc::now()",
        &["command-side/src/clock.rs", "/testing.rs", "lab/", "cmdiag/", "bench/", "/tests/", "tests/"],
        "the Clock handed in",
    ),
    ("SystemTime::now()", &["lab/", "cmdiag/", "bench/", "/tests/", "tests/"], "the Clock handed in"),
    (
        "println!",
        &["/bin/", "cmdiag/src/main.rs", "cmdiag/src/telemetry/", "build.rs", "bench/", "/tests/", "tests/"],
        "tracing, or cmdiag::output",
    ),
    ("process::exit", &[], "an ExitCode returned from main"),
    ("#[allow(", &[], "#[expect(…, reason = …)]"),
    ("todo!(", &[], "working code"),
    ("unimplemented!(", &[], "working code"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The files that git tracks or would track, with their text (binary ones are left out).
fn files() -> Vec<(String, String)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let read = |name: &str| fs::read_to_string(root().join(name)).ok().map(|text| (name.to_owned(), text));
    names.lines().filter_map(read).collect()
}

fn rust_files() -> Vec<(String, String)> {
    files().into_iter().filter(|(name, _)| name.ends_with(".rs") && !name.starts_with("tests/it/tidy.rs")).collect()
}

fn report(broken: &[String]) {
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn rooms_use_only_what_they_may() {
    let mut broken = Vec::new();
    for (room, may) in ROOMS {
        let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap();
        let table: toml::Table = manifest.parse().unwrap();
        let dependencies = table.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        for name in dependencies.keys() {
            let ours = ROOMS.iter().any(|(other, _)| other == name) || name == "cmdiag";
            if ours && !may.contains(&name.as_str()) {
                broken.push(format!("{room} uses {name}"));
            }
            let outward = ["tokio", "sqlx", "reqwest", "axum", "redis"].contains(&name.as_str());
            if *room == "domain" && outward {
                broken.push(format!("the domain uses {name}: it does no I/O"));
            }
        }
    }
    report(&broken);
}

#[test]
fn lines_and_files_are_bounded() {
    let mut broken = Vec::new();
    for (name, text) in rust_files() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{name}: {lines} lines, split it"));
        }
        for (number, line) in text.lines().enumerate() {
            // A text is not broken up where nobody would find it any more.
            if line.chars().count() > LINE_COLUMNS_MAX && !line.contains('"') {
                broken.push(format!("{name}:{}: over {LINE_COLUMNS_MAX} columns", number + 1));
            }
        }
    }
    report(&broken);
}

#[test]
fn functions_are_bounded() {
    let mut broken = Vec::new();
    for (name, text) in rust_files().into_iter().filter(|(name, _)| name.contains("src/")) {
        for (line, function, length) in functions(&text) {
            if length > FUNCTION_LINES_MAX {
                broken.push(format!("{name}:{line}: {function} has {length} lines"));
            }
        }
    }
    report(&broken);
}

/// Functions with their first line and length. Formatted code closes a function at the indentation it opened at.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let mut words = line
            .split_whitespace()
            .skip_while(|word| word.starts_with("pub") || ["async", "const", "unsafe", "extern"].contains(word));
        if words.next() != Some("fn") {
            continue;
        }
        let name = words.next().unwrap_or_default().split(['(', '<']).next().unwrap_or_default().to_owned();
        let opening = lines[start..].iter().find(|line| line.ends_with([';', '{', '}']));
        if opening.is_none_or(|line| line.ends_with(';')) {
            continue; // declared in a trait, without a body
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let end = lines[start..].iter().position(|line| *line == closing).unwrap_or(0);
        found.push((start + 1, name, end + 1));
    }
    found
}

#[test]
fn banned_calls_stay_out() {
    let mut broken = Vec::new();
    for (name, text) in rust_files() {
        // A file's own tests may do what tests do.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (banned, allowed, instead) in BANNED {
            if allowed.iter().any(|place| name.contains(place)) {
                continue;
            }
            for (number, line) in code.lines().enumerate() {
                if line.contains(banned) && !line.trim_start().starts_with("//") {
                    broken.push(format!("{name}:{}: {banned} (use {instead})", number + 1));
                }
            }
        }
    }
    report(&broken);
}

#[test]
fn names_say_what_is_in_them() {
    let mut broken = Vec::new();
    for (name, _) in files() {
        for part in Path::new(&name).components() {
            let stem = Path::new(part.as_os_str()).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if ["util", "utils", "common", "helper", "helpers", "misc"].contains(&stem) {
                broken.push(format!("{name}: {stem} says nothing"));
            }
        }
    }
    report(&broken);
}

#[test]
fn every_source_file_is_part_of_its_crate_and_says_what_it_is() {
    let all = rust_files();
    let mut broken = Vec::new();
    for (name, text) in &all {
        let tests = name.contains("/tests/") || name.ends_with("/tests.rs");
        if !text.starts_with("//!") && !tests {
            broken.push(format!("{name}: begins without a module comment"));
        }
        let path = Path::new(name);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let free =
            ["lib", "main", "mod", "build"].contains(&stem) || name.contains("/bin/") || name.contains("/benches/");
        if free {
            continue;
        }
        let folder = path.parent().unwrap();
        let declared = format!("mod {stem};");
        let declares = |other: &str, text: &str| {
            let other = Path::new(other);
            let beside = other.parent() == Some(folder);
            let above = other.with_extension("") == folder;
            (beside || above) && text.contains(&declared)
        };
        if !all.iter().any(|(other, text)| other != name && declares(other, text)) {
            broken.push(format!("{name}: no file declares `{declared}`"));
        }
    }
    report(&broken);
}

#[test]
fn every_check_has_its_file_and_its_page() {
    let mut broken = Vec::new();
    let mut codes = BTreeMap::new();
    for (name, text) in files() {
        if let Some(rest) = name.strip_prefix("packs/")
            && rest.ends_with(".toml")
            && !rest.ends_with("pack.toml")
            && !rest.contains("/runbooks/")
        {
            let stem = Path::new(rest).file_stem().unwrap().to_str().unwrap().to_owned();
            let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
            if table.get("code").and_then(toml::Value::as_str) != Some(&stem) {
                broken.push(format!("{name}: its code is not its name"));
            }
            if let Some(other) = codes.insert(stem, name.clone()) {
                broken.push(format!("{name}: its code stands in {other}, too"));
            }
        }
    }
    assert!(codes.len() >= 46, "only {} checks found", codes.len());
    for code in codes.keys() {
        let page = fs::read_to_string(root().join(format!("docs/checks/{code}.md"))).unwrap_or_default();
        if !page.starts_with(&format!("# {code}")) {
            broken.push(format!("docs/checks/{code}.md: missing, or its title is not `# {code}: …`"));
        }
    }
    for (name, _) in files() {
        let code = name.strip_prefix("docs/checks/").and_then(|rest| rest.strip_suffix(".md"));
        if let Some(code) = code
            && code != "README"
            && !codes.contains_key(code)
        {
            broken.push(format!("{name}: no check has this code"));
        }
    }
    report(&broken);
}

#[test]
fn every_page_has_a_title_and_every_migration_a_reason() {
    let mut broken = Vec::new();
    for (name, text) in files() {
        if name.ends_with(".md") && !text.starts_with("# ") {
            broken.push(format!("{name}: begins without a title"));
        }
        if name.starts_with("migrations/") && name.ends_with(".sql") && !text.starts_with("-- ") {
            broken.push(format!("{name}: its first line does not say why it is there"));
        }
    }
    report(&broken);
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut broken = Vec::new();
    let link = regex::Regex::new(r"\]\(([^)#: ]+)(#[^)]*)?\)").unwrap();
    for (name, text) in files().into_iter().filter(|(name, _)| name.ends_with(".md")) {
        let folder = root().join(&name).parent().unwrap().to_path_buf();
        for found in link.captures_iter(&text) {
            if !folder.join(&found[1]).exists() {
                broken.push(format!("{name}: {} leads nowhere", &found[1]));
            }
        }
    }
    report(&broken);
}

#[test]
fn the_rules_see_what_they_must() {
    let sample = "fn short() {\n}\n\nimpl X {\n    pub async fn long(&self) {\n        1\n    }\n}\n";
    let found = functions(sample);
    assert_eq!(found, [(1, "short".to_owned(), 2), (5, "long".to_owned(), 3)]);
}
