//! Reads packs from a folder or from the binary.

use super::{Pack, PackErrors, Packs};
use crate::check::{Check, CheckError, MAX_FILE_BYTES, SourceFile, parse_check};
use crate::runbook::{Runbook, pack_mistakes, parse_runbook};
use include_dir::Dir;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The most files in all packs: a wrong folder must not be read for minutes.
const MAX_FILES: usize = 2_000;
const PACK_FILE: &str = "pack.toml";
/// The folder of a pack that holds its runbooks.
const RUNBOOKS: &str = "runbooks";

/// Collects packs and their mistakes.
#[derive(Default)]
pub(super) struct Loader {
    packs: Packs,
    errors: Vec<CheckError>,
    files: usize,
}

impl Loader {
    /// Takes one file of a pack.
    pub(super) fn file(&mut self, pack: &str, file: &str, text: &str) {
        self.files += 1;
        if self.files > MAX_FILES {
            return;
        }
        let shown = format!("{pack}/{file}");
        if file == PACK_FILE {
            self.pack_file(pack, &shown, text);
            return;
        }
        if let Some(name) = file.strip_prefix(RUNBOOKS).and_then(|rest| rest.strip_prefix('/')) {
            match parse_runbook(pack, &shown, text) {
                Err(errors) => self.errors.extend(errors),
                Ok(runbook) => self.runbook(runbook, name, text),
            }
            return;
        }
        match parse_check(pack, &shown, text) {
            Err(errors) => self.errors.extend(errors),
            Ok(check) => self.check(check, file, text),
        }
    }

    fn pack_file(&mut self, pack: &str, shown: &str, text: &str) {
        let source = SourceFile { name: shown.to_owned(), text: Arc::from(text) };
        match toml::from_str::<Pack>(text) {
            Err(error) => self.errors.push(source.toml_error("", &error)),
            Ok(read) if read.name != pack => {
                self.errors.push(source.error(
                    Some("name"),
                    None,
                    format!("is {:?} in the folder {pack:?}", read.name),
                ));
            }
            Ok(read) => {
                self.packs.packs.insert(pack.to_owned(), read);
            }
        }
    }

    fn check(&mut self, check: Check, file: &str, text: &str) {
        let source = SourceFile { name: check.file.clone(), text: Arc::from(text) };
        if file.strip_suffix(".toml") != Some(check.code.as_str()) {
            let message = format!("{} is not the file's name: one check a file, named by its code", check.code);
            self.errors.push(source.error(Some("code"), None, message));
        }
        if let Some(other) = self.packs.checks.get(&check.code) {
            self.errors.push(source.error(Some("code"), None, format!("{} is also in {}", check.code, other.file)));
        }
        self.packs.checks.insert(check.code.clone(), Arc::new(check));
    }

    fn runbook(&mut self, runbook: Runbook, file: &str, text: &str) {
        let source = SourceFile { name: runbook.file.clone(), text: Arc::from(text) };
        let name = &runbook.name;
        if file.strip_suffix(".toml") != Some(name.as_str()) {
            let message = format!("{name} is not the file's name: one runbook a file, named by its name");
            self.errors.push(source.error(Some("name"), None, message));
        }
        if let Some(other) = self.packs.runbooks.get(name) {
            self.errors.push(source.error(Some("name"), None, format!("{name} is also in {}", other.file)));
        }
        self.packs.runbooks.insert(name.clone(), Arc::new(runbook));
    }

    fn trouble(&mut self, name: &str, message: String) {
        let source = SourceFile { name: name.to_owned(), text: Arc::from("") };
        self.errors.push(source.error(None, None, message));
    }

    /// The packs, if nothing was wrong.
    pub(super) fn finish(mut self) -> Result<Packs, PackErrors> {
        if self.files > MAX_FILES {
            self.trouble("packs", format!("hold more than {MAX_FILES} files"));
        }
        // Whether the checks that runbooks name exist is told only where all checks could be read.
        if self.errors.is_empty() {
            let mistakes = self.packs.runbooks.values().flat_map(|runbook| pack_mistakes(runbook, &self.packs));
            self.errors = mistakes.collect();
        }
        let of_checks = self.packs.checks.values().map(|check| check.pack.clone());
        let of_runbooks = self.packs.runbooks.values().map(|runbook| runbook.pack.clone());
        let orphans: BTreeSet<String> = of_checks.chain(of_runbooks).collect();
        for pack in orphans {
            if !self.packs.packs.contains_key(&pack)
                && !self.errors.iter().any(|e| e.file == format!("{pack}/{PACK_FILE}"))
            {
                self.trouble(&format!("{pack}/{PACK_FILE}"), "is missing".to_owned());
            }
        }
        if self.errors.is_empty() { Ok(self.packs) } else { Err(PackErrors(self.errors)) }
    }
}

pub(super) fn from_folder(dir: &Path) -> Result<Packs, PackErrors> {
    let mut loader = Loader::default();
    let shown = dir.display().to_string();
    match sorted_names(dir) {
        Err(error) => loader.trouble(&shown, format!("can not be read: {error}")),
        Ok(packs) => {
            for pack in packs.iter().filter(|pack| dir.join(pack).is_dir()) {
                read_pack(&mut loader, pack, &dir.join(pack));
            }
            if loader.files == 0 && loader.errors.is_empty() {
                loader.trouble(&shown, "holds no packs".to_owned());
            }
        }
    }
    loader.finish()
}

fn read_pack(loader: &mut Loader, pack: &str, dir: &Path) {
    read_files(loader, pack, "", dir);
    let runbooks = dir.join(RUNBOOKS);
    if runbooks.is_dir() {
        read_files(loader, pack, "runbooks/", &runbooks);
    }
}

fn read_files(loader: &mut Loader, pack: &str, prefix: &str, dir: &Path) {
    let names = match sorted_names(dir) {
        Ok(names) => names,
        Err(error) => return loader.trouble(&format!("{pack}/{prefix}"), format!("can not be read: {error}")),
    };
    for name in names.iter().filter(|name| is_toml(name)) {
        let file = format!("{prefix}{name}");
        match read_bounded(&dir.join(name)) {
            Ok(text) => loader.file(pack, &file, &text),
            Err(error) => loader.trouble(&format!("{pack}/{file}"), format!("can not be read: {error}")),
        }
    }
}

pub(super) fn from_embedded(root: &Dir<'_>) -> Result<Packs, PackErrors> {
    let mut loader = Loader::default();
    for pack in root.dirs() {
        let pack_name = pack.path().to_string_lossy();
        let runbooks = pack.get_dir(pack.path().join(RUNBOOKS));
        for file in pack.files().chain(runbooks.into_iter().flat_map(Dir::files)) {
            let name = file.path().strip_prefix(pack.path()).unwrap_or(file.path()).to_string_lossy();
            match file.contents_utf8() {
                _ if !is_toml(&name) => {}
                Some(text) => loader.file(&pack_name, &name, text),
                None => loader.trouble(&format!("{pack_name}/{name}"), "is not UTF-8".to_owned()),
            }
        }
    }
    loader.finish()
}

fn is_toml(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "toml")
}

fn sorted_names(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)?.take(MAX_FILES) {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// One byte more than is allowed is read, so that the parser can say that the file is too large.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: &str = "name = \"a\"\ntitle = \"A\"\nversion = \"1\"\nproduct = \"x\"\n";

    fn check(code: &str) -> String {
        format!(
            r#"
code = "{code}"
title = "T"
component = "host"
reversible = "none"
[probe]
kind = "host"
[judge]
each = "row"
resource = "{{{{ component }}}}"
critical_when = "row.a > 1"
[text]
symptom = "s"
cause = "c"
impact = "i"
advice = "a"
[[case]]
name = "good"
rows = [{{ a = 1 }}]
outcome = "ok"
[[case]]
name = "bad"
rows = [{{ a = 2 }}]
outcome = "critical"
"#
        )
    }

    #[test]
    fn loads_all_or_tells_all() {
        let (x, y) = (check("X-1"), check("Y-1"));
        let good = Packs::from_texts([("a", "pack.toml", PACK), ("a", "X-1.toml", &x), ("a", "Y-1.toml", &y)]).unwrap();
        assert_eq!(good.checks().count(), 2);
        assert!(good.run_cases().is_empty());

        let bad = [("a", "pack.toml", PACK), ("a", "X-1.toml", &x), ("a", "Z.toml", &y), ("b", "X-1.toml", &x)];
        let errors = Packs::from_texts(bad).unwrap_err().to_string();
        for part in
            ["a/Z.toml: code: Y-1 is not the file's name", "X-1 is also in a/X-1.toml", "b/pack.toml: is missing"]
        {
            assert!(errors.contains(part), "{errors}");
        }
    }

    #[test]
    fn a_folder_without_packs_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Packs::load(dir.path()).unwrap_err().to_string().contains("holds no packs"));
        assert!(Packs::load(&dir.path().join("none")).unwrap_err().to_string().contains("can not be read"));
    }
}
