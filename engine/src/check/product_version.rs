//! Product versions (`9.4`, `23.3.1`) and requirements on them (`>=9.4`, `25.x`, `>=10, <25`).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A product's version: whole numbers separated by dots. `10` and `10.0` are equal.
#[derive(Debug, Clone, Eq)]
pub struct ProductVersion(Vec<u32>);

impl ProductVersion {
    fn part(&self, index: usize) -> u32 {
        self.0.get(index).copied().unwrap_or(0)
    }
}

impl PartialEq for ProductVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl PartialOrd for ProductVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ProductVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = self.0.len().max(other.0.len());
        (0..parts).map(|i| self.part(i).cmp(&other.part(i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl FromStr for ProductVersion {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // Products append a build or an edition: "23.4 (build 512)", "10.1-patch3".
        let number = text.trim().trim_start_matches(['v', 'V']);
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let parts: Result<Vec<u32>, _> = number[..end].trim_end_matches('.').split('.').map(str::parse).collect();
        parts.map(Self).map_err(|_| format!("{text:?} is not a version such as 9.4 or 23.3.1"))
    }
}

/// What a check requires of the product's version: all of its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRequirement {
    text: String,
    bounds: Vec<Bound>,
}

#[derive(Debug, Clone, PartialEq)]
enum Bound {
    Compare {
        version: ProductVersion,
        allowed: &'static [Ordering],
    },
    /// The version starts with these parts: `25.x`, `25`.
    Prefix(Vec<u32>),
}

impl VersionRequirement {
    /// Whether the version fulfils it.
    pub fn matches(&self, version: &ProductVersion) -> bool {
        self.bounds.iter().all(|bound| match bound {
            Bound::Compare { version: limit, allowed } => allowed.contains(&version.cmp(limit)),
            Bound::Prefix(parts) => parts.iter().enumerate().all(|(i, part)| version.part(i) == *part),
        })
    }
}

impl FromStr for VersionRequirement {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bounds: Result<Vec<Bound>, String> = text.split(',').map(|part| parse_bound(part.trim())).collect();
        Ok(Self { text: text.to_owned(), bounds: bounds? })
    }
}

fn parse_bound(text: &str) -> Result<Bound, String> {
    use Ordering::{Equal, Greater, Less};
    // The two-character operators come first: ">=" starts with ">".
    let operators: [(&str, &'static [Ordering]); 5] =
        [(">=", &[Greater, Equal]), ("<=", &[Less, Equal]), (">", &[Greater]), ("<", &[Less]), ("=", &[Equal])];
    for (operator, allowed) in operators {
        if let Some(rest) = text.strip_prefix(operator) {
            return Ok(Bound::Compare { version: exact(rest.trim())?, allowed });
        }
    }
    let prefix = text.trim_end_matches(".x").trim_end_matches(".*");
    exact(prefix).map(|version| Bound::Prefix(version.0))
}

fn exact(text: &str) -> Result<ProductVersion, String> {
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(format!("{text:?} is not a version: write >=9.4, <25, =10.1 or 25.x, separated by commas"));
    }
    text.parse()
}

impl fmt::Display for VersionRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_written() {
        let cases = [
            (">=9.4", "9.4", true),
            (">=9.4", "9.3", false),
            (">=9.4", "25.1", true),
            (">=9.4", "10.0", true),
            ("25.x", "25.3.1", true),
            ("25.x", "24.9", false),
            ("10", "10.0.2", true),
            (">=10, <25", "24.3", true),
            (">=10, <25", "25.0", false),
            ("=10", "10.0", true),
            ("<=23.3", "23.3.1", false),
            (">=23.4", "23.4 (build 512)", true),
        ];
        for (requirement, version, expected) in cases {
            let requirement: VersionRequirement = requirement.parse().unwrap();
            assert_eq!(requirement.matches(&version.parse().unwrap()), expected, "{requirement} {version}");
        }
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", ">=", "nine", ">=9..4", "9.4,", "~9"] {
            assert!(text.parse::<VersionRequirement>().is_err(), "{text}");
        }
        assert!("unknown".parse::<ProductVersion>().is_err());
    }
}
