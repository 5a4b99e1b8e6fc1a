//! A check as its pack declares it.

use super::enums::Reversible;
use crate::catalogue::{CheckInfo, ThresholdInfo};
use async_graphql::SimpleObject;

/// A check: what it looks at and by which thresholds it judges.
#[derive(Debug, Clone, SimpleObject)]
pub struct Check {
    /// Its code, such as `CM-FILE-MISSING`.
    code: String,
    /// Its title.
    title: String,
    /// The pack that declares it.
    pack: String,
    /// The version of its definition: the first 12 hex digits of the SHA-256 of its file.
    version: String,
    /// The kind of component that it looks at, such as `document-store`.
    component: String,
    /// The kind of its probe, such as `sql`.
    probe: String,
    /// The profiles that it is part of.
    profiles: Vec<String>,
    /// The product's versions that it is for; null: all.
    product_versions: Option<String>,
    /// Whether the platform can undo the remedy.
    reversible: Reversible,
    /// Its thresholds, each overridable per deployment.
    thresholds: Vec<CheckThreshold>,
    /// Where its page is, within the documentation.
    page: String,
}

/// A threshold of a check, as Nagios ranges: it alerts outside of them.
#[derive(Debug, Clone, SimpleObject)]
pub struct CheckThreshold {
    /// Its name.
    name: String,
    /// The range outside of which it warns.
    warning: Option<String>,
    /// The range outside of which it is critical.
    critical: Option<String>,
    /// Its unit.
    unit: Option<String>,
}

impl From<CheckInfo> for Check {
    fn from(info: CheckInfo) -> Self {
        Self {
            reversible: Reversible::of(&info.reversible),
            code: info.code,
            title: info.title,
            pack: info.pack,
            version: info.version,
            component: info.component,
            probe: info.probe,
            profiles: info.profiles,
            product_versions: info.versions,
            thresholds: info.thresholds.into_iter().map(CheckThreshold::from).collect(),
            page: info.page,
        }
    }
}

impl From<ThresholdInfo> for CheckThreshold {
    fn from(info: ThresholdInfo) -> Self {
        Self { name: info.name, warning: info.warning, critical: info.critical, unit: info.unit }
    }
}
