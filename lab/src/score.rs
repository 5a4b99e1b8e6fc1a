//! How well a diagnosis found the planted faults: pure, so that anybody can check the counting.

use crate::fault::{Expected, Fault};

/// One finding of a diagnosis, as far as the score needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFinding {
    /// The check's code.
    pub check: String,
    /// What it is about.
    pub resource: String,
    /// ok, warning, critical or unknown.
    pub outcome: String,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Score {
    /// Names of planted faults all of whose required findings were raised.
    pub found: Vec<String>,
    /// Names of planted faults that were not.
    pub missed: Vec<String>,
    /// Findings (and unknowns) that no planted fault explains.
    pub false_findings: Vec<SeenFinding>,
}

/// Compares a diagnosis with what was planted.
///
/// A fault is found when every required expectation has a warning or critical finding: an unknown never counts as
/// found. A finding is false when no planted fault expects it, required or as a known consequence; so is an unknown.
pub fn score(planted: &[&Fault], findings: &[SeenFinding]) -> Score {
    let mut score = Score::default();
    for fault in planted {
        let required = fault.expects.iter().filter(|expected| expected.required);
        let mut any = false;
        let mut all = true;
        for expected in required {
            any = true;
            all &= findings.iter().any(|finding| is_problem(finding) && matches(expected, finding));
        }
        // A fault that requires nothing could never be missed: it is not counted as found either.
        let list = if any && all { &mut score.found } else { &mut score.missed };
        list.push(fault.name.to_owned());
    }
    for finding in findings {
        let explained = planted.iter().flat_map(|fault| fault.expects).any(|expected| matches(expected, finding));
        if finding.outcome != "ok" && !explained {
            score.false_findings.push(finding.clone());
        }
    }
    score
}

fn is_problem(finding: &SeenFinding) -> bool {
    matches!(finding.outcome.as_str(), "warning" | "critical")
}

fn matches(expected: &Expected, finding: &SeenFinding) -> bool {
    expected.check == finding.check && finding.resource.contains(expected.resource_contains)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::faults;

    fn seen(check: &str, resource: &str, outcome: &str) -> SeenFinding {
        SeenFinding { check: check.to_owned(), resource: resource.to_owned(), outcome: outcome.to_owned() }
    }

    fn fault(name: &str) -> &'static Fault {
        faults().iter().find(|fault| fault.name == name).expect("a listed fault")
    }

    #[test]
    fn each_kind_of_outcome_is_counted_in_its_place() {
        let planted = [fault("wgs-down"), fault("file-missing")];
        let cases: [(&str, Vec<SeenFinding>, &[&str], usize); 6] = [
            ("nothing seen", vec![], &[], 0),
            ("found", vec![seen("CM-WGS-DOWN", "wgs-2", "critical")], &["wgs-down"], 0),
            ("unknown is not found", vec![seen("CM-WGS-DOWN", "wgs-2", "unknown")], &[], 0),
            ("ok is not found", vec![seen("CM-WGS-DOWN", "wgs-2", "ok")], &[], 0),
            ("a consequence is no false finding", vec![seen("CM-STORE-COUNTERS", "store-1", "warning")], &[], 0),
            ("unrelated is false", vec![seen("CM-AUDIT-GAP", "wgs-1", "unknown"), seen("X", "", "ok")], &[], 1),
        ];
        for (name, findings, found, wrong) in cases {
            let score = score(&planted, &findings);
            assert_eq!(score.found, found, "{name}");
            assert_eq!(score.found.len() + score.missed.len(), planted.len(), "{name}");
            assert_eq!(score.false_findings.len(), wrong, "{name}");
        }
    }

    #[test]
    fn a_finding_about_another_resource_is_false_and_finds_nothing() {
        let score = score(&[fault("wgs-down")], &[seen("CM-WGS-DOWN", "wgs-1", "critical")]);
        assert_eq!((score.missed.len(), score.false_findings.len()), (1, 1));
    }
}
