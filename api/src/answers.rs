//! What `/metrics` says of the kept answers.

use crate::metrics::{MetricSource, Sample, SampleKind};
use query_side::Cache;

/// Asks the cache.
pub(crate) struct AnswerSamples(pub Cache);

impl MetricSource for AnswerSamples {
    fn samples(&self) -> Vec<Sample> {
        let Some(answers) = self.0.answers() else { return Vec::new() };
        let figures = answers.figures();
        let results =
            [("hit", figures.hits), ("shared", figures.shared), ("miss", figures.misses), ("stale", figures.stale)];
        let mut samples: Vec<Sample> = results
            .into_iter()
            .map(|(result, count)| Sample {
                name: "cmdiag_answers_asked",
                help: "Queries by what was kept for them; stale ones are misses or shared, too",
                kind: SampleKind::Counter,
                labels: vec![("result", result.to_owned())],
                value: count as f64,
            })
            .collect();
        let plain = |name, help, kind, value: u64| Sample { name, help, kind, labels: Vec::new(), value: value as f64 };
        samples.push(plain("cmdiag_answers_unkept", "Answers not kept", SampleKind::Counter, figures.unkept));
        samples.push(plain("cmdiag_answers_kept", "Answers kept", SampleKind::Gauge, figures.kept));
        samples.push(plain("cmdiag_answers_bytes", "Bytes of kept answers", SampleKind::Gauge, figures.bytes));
        samples
    }
}
