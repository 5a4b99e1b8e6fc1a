//! Every action file is listed, every action has its page, and pages say what they must.

use engine::action::list;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What every page says, in this order.
const SECTIONS: [&str; 7] = [
    "What it does",
    "What it reads before",
    "What it changes",
    "How it is verified",
    "How it is taken back",
    "What it never does",
    "Parameters",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// All Rust files below the actions' folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The name that a file gives to its action: a file that implements `Act` has one.
fn named_in(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.contains("impl Act for").then(|| {
        let after = text.split("const SPEC: ActionSpec").nth(1).unwrap_or_else(|| panic!("{}", path.display()));
        let name = after.split("name: \"").nth(1).and_then(|rest| rest.split('"').next());
        name.unwrap_or_else(|| panic!("{} names no action", path.display())).to_owned()
    })
}

#[test]
fn every_action_file_is_listed_once_and_in_order() {
    let names: Vec<&str> = list::all().iter().map(|action| action.spec().name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    let files = sources(&root().join("engine/src/action"));
    let written: BTreeSet<String> = files.iter().filter_map(|path| named_in(path)).collect();
    let listed: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(written, listed);
}

#[test]
fn every_action_says_what_it_is() {
    for action in list::all() {
        let spec = action.spec();
        let (family, verb) = spec.name.split_once('.').unwrap_or_else(|| panic!("{}", spec.name));
        let is_plain = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(is_plain(family) && is_plain(verb), "{}", spec.name);
        assert!(spec.version > 0 && !spec.components.is_empty() && !spec.deadline.is_zero(), "{}", spec.name);
        assert!(!spec.title.ends_with('.') && spec.title.len() < 100, "{}", spec.title);
        let schema = action.parameters();
        assert_eq!(schema["type"], "object", "{}", spec.name);
        assert_eq!(schema["additionalProperties"], false, "{}: unknown arguments are refused", spec.name);
        for (name, parameter) in schema["properties"].as_object().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{}: parameter {name} says nothing of itself", spec.name);
        }
    }
}

#[test]
fn every_action_has_its_page_and_every_page_its_action() {
    let folder = root().join("docs/actions");
    let mut wrong = Vec::new();
    for action in list::all() {
        let spec = action.spec();
        let path = folder.join(format!("{}.md", spec.name));
        let Ok(text) = std::fs::read_to_string(&path) else {
            wrong.push(format!("{} has no page", spec.name));
            continue;
        };
        let title = format!("# {}: {}\n", spec.name, spec.title);
        if !text.starts_with(&title) {
            wrong.push(format!("{}: the page begins otherwise than {title:?}", spec.name));
        }
        let sections: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        if sections != SECTIONS {
            wrong.push(format!("{}: {sections:?}", spec.name));
        }
        for parameter in action.parameters()["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if !text.contains(&format!("`{parameter}`")) {
                wrong.push(format!("{}: the page does not name parameter {parameter}", spec.name));
            }
        }
    }
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let action = name.strip_suffix(".md").unwrap_or(&name);
        if action != "README" && list::named(action).is_none() {
            wrong.push(format!("{name} is the page of no action"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
