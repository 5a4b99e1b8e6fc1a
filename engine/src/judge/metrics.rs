//! The figures that a result carries: the columns that the check names.

use super::verdict::Bench;
use domain::ResourceName;
use std::collections::BTreeMap;

/// The most figures in one result.
const MAX_METRICS: usize = 16;
const MAX_NAME_CHARS: usize = 100;

#[derive(Default)]
pub(super) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Records a row's figures: under the column's name where the row is the component itself, with the resource in
    /// brackets otherwise (`used_percent[store-1/Main]`), so that a name means the same from run to run.
    pub(super) fn record(&mut self, bench: &Bench<'_>, resource: &ResourceName) {
        for column in &bench.check.judge.metric {
            if self.0.len() >= MAX_METRICS {
                return;
            }
            let Ok(value) = bench.number(column) else { continue };
            let name = if resource.as_str() == bench.subject.component {
                column.clone()
            } else {
                let resource = domain::personal::by_subject(resource.as_str());
                crate::check::cut(&format!("{column}[{resource}]"), MAX_NAME_CHARS)
            };
            self.0.entry(name).or_insert(value);
        }
    }

    pub(super) fn into_map(self) -> BTreeMap<String, f64> {
        self.0
    }
}
