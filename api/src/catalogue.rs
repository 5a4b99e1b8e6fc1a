//! The checks that this installation knows, as the API shows them. The engine implements this; the API only shows it.

use crate::what_if::WhatIfAnswers;
use std::sync::Arc;

/// One check, as its pack declares it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckInfo {
    /// Its code, such as `CM-FILE-MISSING`.
    pub code: String,
    /// Its title.
    pub title: String,
    /// The pack that declares it.
    pub pack: String,
    /// The version of its definition (first 12 hex digits of the SHA-256 of its file).
    pub version: String,
    /// The kind of component that it looks at, such as `document-store`.
    pub component: String,
    /// The kind of its probe, such as `sql`.
    pub probe: String,
    /// The profiles that it is part of.
    pub profiles: Vec<String>,
    /// The product's versions that it is for, such as `>=9.4`; none: all.
    pub versions: Option<String>,
    /// Whether the platform can undo the remedy: `yes`, `no`, `self` or `none`.
    pub reversible: String,
    /// Its thresholds.
    pub thresholds: Vec<ThresholdInfo>,
    /// Where its page is, such as `docs/checks/CM-FILE-MISSING.md`.
    pub page: String,
}

/// One threshold of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThresholdInfo {
    /// Its name, such as `used_percent`.
    pub name: String,
    /// The Nagios range outside of which it warns.
    pub warning: Option<String>,
    /// The Nagios range outside of which it is critical.
    pub critical: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
}

/// All checks that this installation knows.
pub trait CheckCatalogue: Send + Sync + 'static {
    /// Who can tell what changed checks would have found, where somebody can.
    fn what_if(&self) -> Option<Arc<dyn WhatIfAnswers>> {
        None
    }

    /// All of them, by code.
    fn checks(&self) -> Vec<CheckInfo>;

    /// One of them.
    fn check(&self, code: &str) -> Option<CheckInfo> {
        self.checks().into_iter().find(|check| check.code == code)
    }
}
