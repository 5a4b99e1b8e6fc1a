//! A path below a root, as arguments and before-images hold it: it can not lead out.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

const PATH_BYTES_MAX: usize = 1_024;
const PART_BYTES_MAX: usize = 255;
const PARTS_MAX: usize = 16;
/// Ours: what is set aside. No argument may name it.
pub(super) const OWN: &str = ".cmdiag";

/// A path of plain names with `/` between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Relative(String);

impl Relative {
    /// Checks a path. The dataset writes `\` where we write `/`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let path = text.replace('\\', "/");
        let refuse = |why: &str| Err(format!("{text:?} is no path below a folder: {why}"));
        if path.is_empty() || path.len() > PATH_BYTES_MAX {
            return refuse("it must have 1 to 1024 bytes");
        }
        if path.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        if path.split('/').count() > PARTS_MAX {
            return refuse("it has more than 16 parts");
        }
        for part in path.split('/') {
            match part {
                "" => return refuse("a part of it is empty"),
                "." | ".." => return refuse("it leads elsewhere"),
                OWN => return refuse("that is where the platform sets things aside"),
                part if part.len() > PART_BYTES_MAX => return refuse("a part of it is too long"),
                _ => {}
            }
        }
        Ok(Self(path))
    }

    /// A path of ours that was made from checked parts.
    pub(super) fn own(path: String) -> Self {
        Self(path)
    }

    /// This below another one.
    pub(crate) fn below(&self, folder: &str) -> Self {
        Self(format!("{folder}/{}", self.0))
    }

    /// The path.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last part.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder it is in; none where that is the root.
    pub(crate) fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// All folders above it, the highest first.
    pub(crate) fn parents(&self) -> Vec<Self> {
        self.0.match_indices('/').map(|(at, _)| Self(self.0[..at].to_owned())).collect()
    }
}

impl TryFrom<String> for Relative {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Relative> for String {
    fn from(path: Relative) -> Self {
        path.0
    }
}

impl fmt::Display for Relative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Relative {
    fn schema_name() -> Cow<'static, str> {
        "Relative".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 1, "maxLength": PATH_BYTES_MAX,
            "description": "A path below a folder: plain names with / between them, no . or .. among them"
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_taken_and_hostile_ones_are_not() {
        for good in ["a", "000/00000001.PDF", "003\\x.tif", "a b/ü.txt", "..a/b.."] {
            assert!(Relative::parse(good).is_ok(), "{good}");
        }
        let long = "x".repeat(300);
        let deep = ["a"; 17].join("/");
        let many = ["abcdefgh"; 130].join("/");
        let hostile = [
            "",
            "/",
            "/etc/passwd",
            "..",
            ".",
            "a/..",
            "../a",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "\\\\host\\share",
            "..\\..\\windows",
            "a\0b",
            "a\nb",
            ".cmdiag",
            ".cmdiag/x",
            "a/.cmdiag/x",
            &long,
            &deep,
            &many,
        ];
        for path in hostile {
            assert!(Relative::parse(path).is_err(), "{path:?}");
            assert!(serde_json::from_value::<Relative>(path.into()).is_err(), "{path:?}");
        }
    }

    #[test]
    fn knows_its_parts() {
        let path = Relative::parse("a/b/c.txt").unwrap();
        assert_eq!((path.name(), path.parent().unwrap().as_str()), ("c.txt", "a/b"));
        let parents: Vec<String> = path.parents().into_iter().map(String::from).collect();
        assert_eq!(parents, ["a", "a/b"]);
        assert_eq!(path.below("D1/1").as_str(), "D1/1/a/b/c.txt");
        assert!(Relative::parse("c").unwrap().parent().is_none());
    }
}
