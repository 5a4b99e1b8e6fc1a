//! The packs of this repository: they load, their cases hold, and every check has its page.

use engine::check::{Check, check_file_schema};
use engine::pack::Packs;
use engine::runbook::runbook_file_schema;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn packs() -> Packs {
    Packs::load(&repository().join("packs")).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_check_passes_its_own_cases() {
    let failures: Vec<String> = packs().run_cases().iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_check_has_its_page() {
    let sections =
        ["## What it means", "## Why it matters", "## How to fix", "## Can it be undone", "## What it measures"];
    let mut missing = Vec::new();
    for check in packs().checks() {
        let page = repository().join(format!("docs/checks/{}.md", check.code));
        let Ok(text) = fs::read_to_string(&page) else {
            missing.push(format!("docs/checks/{}.md is missing", check.code));
            continue;
        };
        let title = format!("# {}: {}", check.code, check.title);
        if text.lines().next() != Some(title.as_str()) {
            missing.push(format!("docs/checks/{}.md does not start with {title:?}", check.code));
        }
        for section in sections.iter().filter(|section| !text.lines().any(|line| line == **section)) {
            missing.push(format!("docs/checks/{}.md has no {section:?}", check.code));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_page_has_its_check() {
    let packs = packs();
    let codes: BTreeSet<String> = packs.checks().map(|check| check.code.to_string()).collect();
    let pages = fs::read_dir(repository().join("docs/checks")).unwrap();
    let stray: Vec<String> = pages
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".md").map(str::to_owned))
        .filter(|name| name != "README" && !codes.contains(name))
        .collect();
    assert!(stray.is_empty(), "pages without a check: {stray:?}");
}

#[test]
fn the_embedded_packs_are_those_of_the_folder() {
    let versions = |packs: &Packs| -> Vec<(String, String)> {
        let name = |check: &Check| (check.code.to_string(), check.version.clone());
        packs.checks().map(|check| name(check)).collect()
    };
    let embedded = Packs::embedded().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(versions(&embedded), versions(&packs()));
}

#[test]
fn the_schema_is_the_one_checked_in_and_accepts_every_check() {
    let path = repository().join("packs/check.schema.json");
    let schema = check_file_schema();
    let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "packs/check.schema.json is out of date: run this test with UPDATE_SNAPSHOTS=1");

    let validator = jsonschema::validator_for(&schema).unwrap();
    for check in packs().checks() {
        let file = fs::read_to_string(repository().join("packs").join(&check.file)).unwrap();
        let json: serde_json::Value = serde_json::to_value(toml::from_str::<toml::Value>(&file).unwrap()).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {}", check.file, errors.join("; "));
    }
}

#[test]
fn the_schema_of_runbooks_is_the_one_checked_in_and_accepts_every_runbook() {
    let path = repository().join("packs/runbook.schema.json");
    let schema = runbook_file_schema();
    let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "packs/runbook.schema.json is out of date: run this test with UPDATE_SNAPSHOTS=1");

    let validator = jsonschema::validator_for(&schema).unwrap();
    let demo = demo_packs();
    for (folder, packs) in [("packs", &packs()), ("lab/packs", &demo)] {
        for runbook in packs.runbooks() {
            let file = fs::read_to_string(repository().join(folder).join(&runbook.file)).unwrap();
            let json: serde_json::Value = serde_json::to_value(toml::from_str::<toml::Value>(&file).unwrap()).unwrap();
            let errors: Vec<String> =
                validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(errors.is_empty(), "{}: {}", runbook.file, errors.join("; "));
        }
    }
}

/// The packs that stay out of the product: to try remediation by hand.
fn demo_packs() -> Packs {
    Packs::load(&repository().join("lab/packs")).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_demo_pack_passes_its_own_cases() {
    let packs = demo_packs();
    assert_eq!(packs.runbooks().count(), 1);
    let failures: Vec<String> = packs.run_cases().iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}
