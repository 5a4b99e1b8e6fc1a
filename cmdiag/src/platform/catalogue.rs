//! The packs as the API shows them.

use super::WhatIfs;
use api::catalogue::{CheckCatalogue, CheckInfo, ThresholdInfo};
use api::what_if::WhatIfAnswers;
use engine::check::Check;
use engine::judge::Range;
use engine::pack::Packs;
use std::sync::Arc;

/// The packs in force.
pub struct Catalogue {
    /// The packs.
    pub packs: Arc<Packs>,
    /// Who answers what-if questions.
    pub what_ifs: WhatIfs,
}

impl CheckCatalogue for Catalogue {
    fn what_if(&self) -> Option<Arc<dyn WhatIfAnswers>> {
        Some(Arc::new(self.what_ifs.clone()))
    }

    fn checks(&self) -> Vec<CheckInfo> {
        self.packs.checks().map(|check| info(check)).collect()
    }

    fn check(&self, code: &str) -> Option<CheckInfo> {
        self.packs.check(&code.parse().ok()?).map(|check| info(check))
    }
}

fn info(check: &Check) -> CheckInfo {
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let thresholds = check.thresholds.iter().map(|(name, threshold)| ThresholdInfo {
        name: name.clone(),
        warning: threshold.warning.as_ref().map(Range::to_string),
        critical: threshold.critical.as_ref().map(Range::to_string),
        unit: threshold.unit.clone(),
    });
    CheckInfo {
        code: check.code.to_string(),
        title: check.title.clone(),
        pack: check.pack.clone(),
        version: check.version.clone(),
        component: word(serde_json::to_value(check.component)),
        probe: check.probe.spec.kind().to_owned(),
        profiles: check.profiles.clone(),
        versions: check.versions.as_ref().map(ToString::to_string),
        reversible: word(serde_json::to_value(check.reversible)),
        thresholds: thresholds.collect(),
        page: format!("docs/checks/{}.md", check.code),
    }
}
