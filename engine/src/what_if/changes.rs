//! What is another one: checks by their files, thresholds by their ranges.

use crate::check::{Check, CheckError, parse_check};
use crate::judge::Range;
use domain::CheckCode;
use domain::deployment::ThresholdOverride;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The most changes of one question.
const CHANGES_MAX: usize = 200;

/// A threshold's other ranges: `CHECK[/THRESHOLD]=WARNING[,CRITICAL]`, by the Nagios contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdChange {
    /// The check.
    pub check: CheckCode,
    /// The threshold's name; the check's only one where there is none.
    pub threshold: Option<String>,
    /// Its range for a warning; as it was where there is none.
    pub warning: Option<String>,
    /// Its range for critical; as it was where there is none.
    pub critical: Option<String>,
}

/// Why a change can not be asked about.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is not written as a change of a threshold is.
    #[error("{text:?} is not CHECK[/THRESHOLD]=WARNING[,CRITICAL]: {reason}")]
    Threshold {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The check's file has mistakes.
    #[error("{}", Listed(.0))]
    Check(Vec<CheckError>),
    /// Two files are about one check.
    #[error("check {0} is given twice")]
    Twice(CheckCode),
    /// Too much at once.
    #[error("at most {CHANGES_MAX} changes can be asked about at once")]
    TooMany,
}

struct Listed<'a>(&'a [CheckError]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mistakes in the check", self.0.len())?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl FromStr for ThresholdChange {
    type Err = ChangeError;

    fn from_str(text: &str) -> Result<Self, ChangeError> {
        let fail =
            |reason: &str| ChangeError::Threshold { text: text.chars().take(120).collect(), reason: reason.into() };
        let (what, ranges) = text.split_once('=').ok_or_else(|| fail("there is no = in it"))?;
        let (check, threshold) = match what.split_once('/') {
            Some((check, threshold)) if !threshold.is_empty() => (check, Some(threshold.to_owned())),
            Some(_) => return Err(fail("the threshold's name is empty")),
            None => (what, None),
        };
        let check = CheckCode::new(check).map_err(|error| fail(&error.to_string()))?;
        let (warning, critical) = ranges.split_once(',').unwrap_or((ranges, ""));
        let range = |text: &str| match text {
            "" => Ok(None),
            text => text.parse::<Range>().map(|_| Some(text.to_owned())).map_err(|error| fail(&error.to_string())),
        };
        let (warning, critical) = (range(warning)?, range(critical)?);
        if warning.is_none() && critical.is_none() {
            return Err(fail("it has no range"));
        }
        Ok(Self { check, threshold, warning, critical })
    }
}

/// All that is another one.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    checks: BTreeMap<CheckCode, Arc<Check>>,
    thresholds: BTreeMap<CheckCode, Vec<ThresholdChange>>,
}

impl Changes {
    /// Whether nothing is: all is judged as it was.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.thresholds.is_empty()
    }

    /// Judges by this check file instead. `pack` and `file` are its names as shown.
    pub fn add_check_file(&mut self, pack: &str, file: &str, text: &str) -> Result<CheckCode, ChangeError> {
        let check = parse_check(pack, file, text).map_err(ChangeError::Check)?;
        let code = check.code.clone();
        self.add_check(Arc::new(check))?;
        Ok(code)
    }

    /// Judges by this check instead.
    pub fn add_check(&mut self, check: Arc<Check>) -> Result<(), ChangeError> {
        self.room()?;
        let code = check.code.clone();
        match self.checks.insert(code.clone(), check) {
            Some(_) => Err(ChangeError::Twice(code)),
            None => Ok(()),
        }
    }

    /// Judges by these ranges instead.
    pub fn add_threshold(&mut self, change: ThresholdChange) -> Result<(), ChangeError> {
        self.room()?;
        self.thresholds.entry(change.check.clone()).or_default().push(change);
        Ok(())
    }

    fn room(&self) -> Result<(), ChangeError> {
        let given = self.checks.len() + self.thresholds.values().map(Vec::len).sum::<usize>();
        if given < CHANGES_MAX { Ok(()) } else { Err(ChangeError::TooMany) }
    }

    /// Whether results of this check are judged anew.
    pub fn affects(&self, check: &CheckCode) -> bool {
        self.is_empty() || self.checks.contains_key(check) || self.thresholds.contains_key(check)
    }

    /// The checks that are asked about; none: all of them.
    pub fn checks(&self) -> Vec<CheckCode> {
        let mut codes: Vec<CheckCode> = self.checks.keys().chain(self.thresholds.keys()).cloned().collect();
        codes.sort();
        codes.dedup();
        codes
    }

    /// The check that judges instead.
    pub(super) fn check(&self, code: &CheckCode) -> Option<&Arc<Check>> {
        self.checks.get(code)
    }

    /// The deployment's own thresholds, with the changed ones; the error says why a change does not fit the check.
    pub(super) fn overrides(
        &self,
        check: &Check,
        in_force: &BTreeMap<String, ThresholdOverride>,
    ) -> Result<BTreeMap<String, ThresholdOverride>, String> {
        let mut all = in_force.clone();
        for change in self.thresholds.get(&check.code).into_iter().flatten() {
            let name = named(check, change)?;
            let one = all.entry(name).or_insert(ThresholdOverride { warning: None, critical: None });
            if change.warning.is_some() {
                one.warning.clone_from(&change.warning);
            }
            if change.critical.is_some() {
                one.critical.clone_from(&change.critical);
            }
        }
        Ok(all)
    }
}

fn named(check: &Check, change: &ThresholdChange) -> Result<String, String> {
    let known = || check.thresholds.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let version = &check.version;
    match &change.threshold {
        Some(name) if check.thresholds.contains_key(name) => Ok(name.clone()),
        Some(name) => Err(format!("version {version} of the check has no threshold {name:?}, only: {}", known())),
        None => match check.thresholds.keys().next() {
            Some(only) if check.thresholds.len() == 1 => Ok(only.clone()),
            Some(_) => Err(format!("version {version} of the check has several thresholds, name one of: {}", known())),
            None => Err(format!("version {version} of the check has no threshold")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_read_as_it_is_written() {
        let change = |threshold: Option<&str>, warning: Option<&str>, critical: Option<&str>| ThresholdChange {
            check: CheckCode::new("CM-X").unwrap(),
            threshold: threshold.map(str::to_owned),
            warning: warning.map(str::to_owned),
            critical: critical.map(str::to_owned),
        };
        for (text, expected) in [
            ("CM-X=80", change(None, Some("80"), None)),
            ("CM-X=80,@90:95", change(None, Some("80"), Some("@90:95"))),
            ("CM-X/used=,90", change(Some("used"), None, Some("90"))),
        ] {
            assert_eq!(text.parse::<ThresholdChange>().unwrap(), expected);
        }
        for wrong in ["", "CM-X", "CM-X=", "CM-X=,", "cm=8", "CM-X/=8", "CM-X=a", "CM-X=8,b", "=8"] {
            assert!(wrong.parse::<ThresholdChange>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn nothing_changed_affects_everything() {
        let mut changes = Changes::default();
        let (x, y) = (CheckCode::new("CM-X").unwrap(), CheckCode::new("CM-Y").unwrap());
        assert!(changes.affects(&x) && changes.affects(&y));
        changes.add_threshold("CM-X=80".parse().unwrap()).unwrap();
        assert!(changes.affects(&x) && !changes.affects(&y));
        for _ in 1..CHANGES_MAX {
            changes.add_threshold("CM-X=80".parse().unwrap()).unwrap();
        }
        assert!(matches!(changes.add_threshold("CM-X=80".parse().unwrap()), Err(ChangeError::TooMany)));
    }
}
